"""Losses: what a recipe says in its tables ``[[losses]]``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bayesesi.spec.family import FamilySpec

Weight = Annotated[float, Field(ge=0, le=1e6)]


class LossSpec(FamilySpec):
    """A loss and how much it counts.

    Attributes
    ----------
    fits : families of estimators that it can train.
    """

    kind: ClassVar[str] = "loss"
    fits: ClassVar[tuple[str, ...]]

    weight: Weight = Field(1.0, description="by which it is multiplied")


class NextSourceSpec(LossSpec):
    """Negative log probability of the next source, over all questions of an event."""

    fits: ClassVar[tuple[str, ...]] = ("atoms",)

    family: Literal["next-source"] = "next-source"


class DenoisingSpec(LossSpec):
    """Error of the denoised field under noise: what draws come from."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["denoising"] = "denoising"


class NoEventSpec(LossSpec):
    """Cross-entropy of whether there is an event."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion", "flow")

    family: Literal["no-event"] = "no-event"
    weight: Weight = Field(0.2, description="by which it is multiplied")


class RegressionSpec(LossSpec):
    """Squared error of the posterior mean."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["regression"] = "regression"


class ForwardConsistencySpec(LossSpec):
    """Squared misfit of the data that the posterior mean predicts."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["forward-consistency"] = "forward-consistency"


class LaplacianSpec(LossSpec):
    """Squared differences between neighbours on the cortex."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["laplacian"] = "laplacian"


class TotalVariationSpec(LossSpec):
    """Absolute differences between neighbours on the cortex."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["total-variation"] = "total-variation"


class TemporalSmoothnessSpec(LossSpec):
    """Squared second differences in time."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["temporal-smoothness"] = "temporal-smoothness"


class GroupSparsitySpec(LossSpec):
    """Size of each source over the window (group lasso)."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["group-sparsity"] = "group-sparsity"


class BandPowerSpec(LossSpec):
    """Squared difference of temporal power spectra."""

    fits: ClassVar[tuple[str, ...]] = ("diffusion",)

    family: Literal["band-power"] = "band-power"


class ParcelNllSpec(LossSpec):
    """Negative log likelihood of the activity of parcels."""

    fits: ClassVar[tuple[str, ...]] = ("flow",)

    family: Literal["parcel-nll"] = "parcel-nll"


class DipoleNllSpec(LossSpec):
    """Negative log likelihood of how many dipoles there are, and of where and what they are."""

    fits: ClassVar[tuple[str, ...]] = ("dipole",)

    family: Literal["dipole-nll"] = "dipole-nll"
