"""Estimators: what a recipe says in its table ``[estimator]``, from tokens to a distribution."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bayesesi.spec.family import FamilySpec

Density = Literal["zuko_nsf", "zuko_maf", "nsf", "maf", "gaussian", "evidential"]
_DENSITIES = (
    "spline or affine flows of zuko or of nflows, through sbi; or one pass: a Gaussian, or an "
    "evidential head"
)


#: What every network on the cortex reads.
_SCAN = ("context", "scan", "temporal_groups")


class EstimatorSpec(FamilySpec):
    """What distribution a network conditions.

    Attributes
    ----------
    loss : family of the loss that it cannot be trained without.
    on_cortex : whether it needs a ``[network]`` that looks at every source of the cortex.
    separate_mean : whether its mean has a head of its own, trained in turn with its draws.
    features : modules of ``bayesesi.features`` whose constants its weights rest on.
    """

    kind: ClassVar[str] = "estimator"
    loss: ClassVar[str]
    on_cortex: ClassVar[bool] = True
    separate_mean: ClassVar[bool] = False
    features: ClassVar[tuple[str, ...]] = _SCAN


class AtomsSpec(EstimatorSpec):
    """Which few patches of cortex are active; its prior is of the family patch."""

    loss: ClassVar[str] = "next-source"

    family: Literal["atoms"] = "atoms"
    extents: Annotated[int, Field(ge=1, le=12)] = Field(
        3, description="extents that are distinguished"
    )


class DiffusionSpec(EstimatorSpec):
    """The field of moments on the whole cortex, by denoising."""

    loss: ClassVar[str] = "denoising"
    module: ClassVar[str] = "field"
    features: ClassVar[tuple[str, ...]] = (*_SCAN, "field")
    separate_mean: ClassVar[bool] = True

    family: Literal["diffusion"] = "diffusion"
    matching: Literal["flow", "score"] = Field("flow", description="of velocities, or of scores")


class DensitySpec(EstimatorSpec):
    """Which density a network conditions."""

    density: Density = Field("zuko_nsf", description=_DENSITIES)
    hidden: Annotated[int, Field(ge=8, le=512)] = Field(64, description="width of its layers")
    transforms: Annotated[int, Field(ge=1, le=10)] = Field(
        3, description="transforms, one after the other"
    )


class FlowSpec(DensitySpec):
    """The activity of parcels of cortex, by a normalizing flow."""

    loss: ClassVar[str] = "parcel-nll"
    module: ClassVar[str] = "parcels"
    features: ClassVar[tuple[str, ...]] = (*_SCAN, "field")

    family: Literal["flow"] = "flow"
    parcels: Annotated[int, Field(ge=68, le=400)] = Field(
        150, description="parcels of about equal area, within the 68 regions"
    )
    context: Annotated[int, Field(ge=4, le=256)] = Field(
        32, description="numbers of the whole observation that the flow is given"
    )
    floor: Annotated[float, Field(ge=0.01, le=1.0)] = Field(
        0.1, description="resolution of a parcel's activity, as a share of the data's size"
    )


class DipolesSpec(DensitySpec):
    """One or two free dipoles in the volume; its prior is of the family volume-dipole."""

    loss: ClassVar[str] = "dipole-nll"
    features: ClassVar[tuple[str, ...]] = ("covariance_likelihood", "dipole", "dipole_scan")
    on_cortex: ClassVar[bool] = False

    family: Literal["dipole"] = "dipole"
    components: Annotated[int, Field(ge=1, le=32)] = Field(
        8, description="places, or pairs of them, about which flows are mixed"
    )
