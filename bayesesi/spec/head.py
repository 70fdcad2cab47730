"""What we believe of the true head, given the one that is assumed."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bayesesi.spec.base import Spec, Table, between
from bayesesi.spec.quantity import Quantity


def _of(
    family: str, first: float, second: float, within: tuple[float, float] | None = None
) -> Quantity:
    return Quantity(family=family, numbers=(first, second), within=within)


class ConductivitySpec(Table):
    """S/m of each tissue of the true head.

    Attributes
    ----------
    brain_S_per_m, scalp_S_per_m : 0.2 to 0.6. csf_S_per_m : 1.2 to 2.2.
    skull_S_per_m : 0.002 to 0.03.
    """

    brain_S_per_m: Annotated[Quantity, between(0.2, 0.6, "brain")] = _of(
        "normal", 0.33, 0.05, (0.2, 0.6)
    )
    csf_S_per_m: Annotated[Quantity, between(1.2, 2.2, "csf")] = _of(
        "normal", 1.71, 0.15, (1.2, 2.2)
    )
    skull_S_per_m: Annotated[Quantity, between(0.002, 0.03, "skull")] = _of(
        "lognormal", 0.01, 1.7, (0.002, 0.03)
    )
    scalp_S_per_m: Annotated[Quantity, between(0.2, 0.6, "scalp")] = _of(
        "normal", 0.41, 0.06, (0.2, 0.6)
    )


#: mm or degrees.
Sd = Annotated[float, Field(ge=0, le=20)]


class FoldSpec(Table):
    """How the folds of another cortex differ from the template's, on the registered sphere.

    At the same labelled vertex v the normal of the other cortex is that of the template nearby,
    tilted: n'(v) = normalise(n(v + delta(v)) + s g(v)), delta a tangential and g a spatial Gaussian
    field of squared-exponential covariance (``prior.folds``).

    Attributes
    ----------
    shift_mm, shift_length_mm : sd of delta, each axis, and its length, mm on a sphere of 100 mm.
    tilt : s, of each head. tilt_length_mm : length of g, likewise.
    """

    shift_mm: Annotated[float, Field(ge=0, le=20)] = 4.0
    shift_length_mm: Annotated[float, Field(ge=1, le=100)] = 12.0
    tilt: Annotated[Quantity, between(0.0, 2.0, "tilt")] = _of("lognormal", 0.35, 1.2, (0.0, 2.0))
    tilt_length_mm: Annotated[float, Field(ge=1, le=100)] = 4.0


class CapSpec(Table):
    """Where the electrodes really sit, against where they are assumed to.

    The cap first moves as one piece, then each electrode by itself.
    """

    worn_shift_mm: Annotated[float, Field(ge=0, le=20)] = Field(
        0.0,
        description="sd, each axis, of the assumed positions about the cap's plan: measured ones",
    )
    worn_rotation_deg: Annotated[float, Field(ge=0, le=20)] = Field(
        0.0, description="sd, each axis, of the assumed positions about the cap's plan"
    )
    shift_mm: Sd | tuple[Sd, Sd, Sd] = Field(
        5.0, description="sd, each axis alike or of left-right, front-back and up-down"
    )
    rotation_deg: Sd | tuple[Sd, Sd, Sd] = Field(
        4.0, description="sd, each axis alike or about those three: pitch, roll and yaw"
    )
    jitter_mm: Annotated[float, Field(ge=0, le=20)] = Field(2.5, description="sd, each axis")


class HeadSpec(Spec):
    """p(true head | assumed head).

    Attributes
    ----------
    conductivity : of the tissues. cap : where the electrodes are.
    """

    kind: ClassVar[str] = "heads"

    family: Literal["bank"]
    conductivity: ConductivitySpec = ConductivitySpec()
    skull_thickness: Annotated[Quantity, between(0.7, 1.4, "skull thickness as a factor")] = Field(
        _of("lognormal", 1.0, 1.15, (0.7, 1.4)), description="over the template's"
    )
    shapes: Literal["template", "any"] = Field(
        "any", description="any: every head of the bank alike, the template among them"
    )
    size: Annotated[Quantity, between(0.8, 1.2, "head size")] = Field(
        _of("normal", 1.0, 0.03, (0.85, 1.15)), description="over the assumed head's"
    )
    cap: CapSpec = CapSpec()
    folds: FoldSpec | None = Field(None, description="of another cortex; none: the template's")

    def resolved(self) -> dict[str, Any]:
        table = super().resolved()
        if self.folds is None:  # as before there were any: hashes stay
            del table["folds"]
        return table
