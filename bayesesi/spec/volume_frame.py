"""One moment of free dipoles in the brain's volume: the protocol of methods on a grid."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bayesesi.spec.base import Spec, Table, between
from bayesesi.spec.quantity import Quantity

_Conductivity = Annotated[float, Field(ge=0.001, le=5)]


class ThreeShells(Table):
    """S/m; what is inside the skull is one.

    Attributes
    ----------
    brain_S_per_m, skull_S_per_m, scalp_S_per_m : 0.001 to 5.
    """

    brain_S_per_m: _Conductivity
    skull_S_per_m: _Conductivity
    scalp_S_per_m: _Conductivity


class VolumeFrameSpec(Spec):
    """Blobs of free dipoles on a grid, one moment, independent noise; two heads of three shells.

    Attributes
    ----------
    spacing_mm : of the grid. assumed, true : conductivities of the head that the answer assumes and
        of the one that makes the data.
    """

    kind: ClassVar[str] = "simulators"

    family: Literal["volume-frame"]
    montage: Literal["easycap-M10", "easycap-M1", "biosemi64"] = Field(
        "easycap-M10", description="of MNE's"
    )
    spacing_mm: Annotated[float, Field(ge=5, le=30)] = 7.0
    n_vertices: Literal[162, 642] = Field(642, description="of each surface")
    assumed: ThreeShells
    true: ThreeShells
    n_sources: tuple[Annotated[int, Field(ge=1, le=20)], ...] = Field(
        (1,), min_length=1, description="one of these, all alike"
    )
    extent_mm: Annotated[Quantity, between(1.0, 400.0, "an extent in mm")] = Field(
        Quantity(family="uniform", numbers=(5.0, 40.0)), description="sd of a blob"
    )
    snr_db: Annotated[Quantity, between(-40.0, 60.0, "an SNR in dB")] = Field(
        Quantity(family="constant", numbers=(5.0,)),
        description="20 log10 of the sd over channels of the event over that of the noise",
    )
