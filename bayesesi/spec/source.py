"""What we believe of the event on the cortex before a recording is seen."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from bayesesi.spec.base import Spec, Table, between
from bayesesi.spec.quantity import Quantity

#: A region is active with this share of the event's energy, by default.
ACTIVE_SHARE = 0.10
_Weight = Annotated[float, Field(ge=0, le=1e6)]
Profile = Literal["gaussian", "flat", "ragged"]
_Share = Annotated[float, Field(ge=0, le=1)]


class Count(Table):
    """How many sources there are."""

    null: _Share = Field(0.1, description="probability that nothing is active")
    weights: tuple[_Share, ...] = Field(
        (1.0,),
        min_length=1,
        max_length=8,
        description="probabilities of one, two, three... sources, given that something is active",
    )
    min_distance_mm: Annotated[float, Field(ge=0, le=150)] = Field(
        30.0, description="least straight distance between centres"
    )

    @field_validator("weights")
    @classmethod
    def _sum(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if abs(sum(weights) - 1) > 1e-6:
            raise ValueError(f"must sum to 1, these sum to {sum(weights):g}")
        return weights

    @property
    def largest(self) -> int:
        return len(self.weights)


class Place(Table):
    """Where a source's centre may be."""

    by: Literal["area", "depth"] = Field(
        "area",
        description="area: every cm² alike; depth: every depth below the cortex' hull",
    )
    regions: dict[str, _Weight] = Field(
        default_factory=dict,
        description="relative weights of regions or lobes; those not named get other_regions",
    )
    other_regions: _Weight = Field(1.0, description="relative weight of regions that are not named")

    @model_validator(mode="after")
    def _somewhere(self) -> Place:
        if self.other_regions == 0 and not any(self.regions.values()):
            raise ValueError("gives every region weight 0; let at least one have more")
        return self


class Orientation(Table):
    """Which way dipoles point."""

    family: Literal["fixed", "loose", "free"] = Field("fixed", description="to the cortex")
    loose: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="sd of the tangential over that of the normal part (family loose)"
    )


class FocalSpec(Spec):
    """Keys that every prior of single sources has.

    Attributes
    ----------
    count : how many there are. place : of their centres. orientation : of their dipoles.
    """

    kind: ClassVar[str] = "sources"

    count: Count = Count()
    place: Place = Place()
    moment_nAm: Annotated[Quantity, between(0.0, 1e4, "a moment in nAm")] = Field(
        Quantity(family="lognormal", numbers=(50.0, 2.0), within=(1.0, 1000.0)),
        description="size of the moment of one source, summed over its area",
    )
    correlation: Annotated[Quantity, between(-1.0, 1.0, "a correlation")] | None = Field(
        None,
        description="between the time course of the first source of an event and any other; drawn "
        "apart and left as they are if not given",
    )
    orientation: Orientation = Orientation()


class DipoleSpec(FocalSpec):
    """Single points."""

    family: Literal["cortical-dipole"]


class PatchSpec(FocalSpec):
    """Patches of cortex around a centre, by distance along the surface."""

    family: Literal["patch"]
    profile: dict[Profile, _Share] = Field(
        default={"gaussian": 1.0},
        description="probabilities of the shapes: a Gaussian, a disc, a disc with a random edge",
    )
    extent_mm: Annotated[Quantity, between(1.0, 60.0, "an extent in mm")] = Field(
        Quantity(family="loguniform", numbers=(5.0, 25.0)),
        description="standard deviation of a Gaussian; radius of a disc is twice it",
    )

    @field_validator("profile")
    @classmethod
    def _sum(cls, profile: dict[str, float]) -> dict[str, float]:
        if abs(sum(profile.values()) - 1) > 1e-6:
            raise ValueError(f"must sum to 1, these sum to {sum(profile.values()):g}")
        return profile


class ParcelSpec(FocalSpec):
    """Patches grown from whole parcels of a fine partition of the cortex, layer by layer."""

    family: Literal["parcels"]
    n_parcels: Annotated[int, Field(ge=100, le=4000)] = Field(
        994, description="cells of about one area, half of them on each side"
    )
    map_file: str = Field(
        "",
        description="a partition of fsaverage5 of one's own instead: a .mat file beside the spec "
        "with the parcel of each of the 20,484 vertices, from 0, as rm",
    )
    layers: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field(
        (2, 3), min_length=1, description="how many rings of neighbours, one of these alike"
    )
    half_amplitude_mm: Annotated[Quantity, between(1.0, 200.0, "a distance in mm")] = Field(
        Quantity(family="uniform", numbers=(40.0, 60.0)),
        description="distance of parcels from the middle one at which they are half as strong",
    )


class VolumeDipoleCount(Table):
    """How many dipoles there are."""

    null: _Share = Field(0.1, description="probability that nothing is active")
    two: _Share = Field(0.3, description="probability of two, given that something is active")
    min_distance_mm: Annotated[float, Field(ge=0, le=60)] = Field(
        15.0, description="least distance between two"
    )


class VolumeDipoleSpec(Spec):
    """One or two free dipoles anywhere in the brain volume.

    Attributes
    ----------
    count : how many there are.
    """

    kind: ClassVar[str] = "sources"

    family: Literal["volume-dipole"]
    count: VolumeDipoleCount = VolumeDipoleCount()
    extent_mm: Annotated[Quantity, between(4.0, 16.0, "an extent in mm")] = Field(
        Quantity(family="loguniform", numbers=(4.0, 16.0)),
        description="standard deviation of the Gaussian blob that a dipole stands for",
    )
    moment_nAm: Annotated[Quantity, between(0.0, 1e4, "a moment in nAm")] = Field(
        Quantity(family="lognormal", numbers=(40.0, 2.0), within=(1.0, 1000.0)),
        description="size of the moment of a dipole at its peak, whichever way it points",
    )


class SmoothSpec(Spec):
    """A field all over the cortex that varies smoothly."""

    kind: ClassVar[str] = "sources"

    family: Literal["smooth"]
    null: _Share = Field(0.1, description="probability that nothing is active")
    moment_nAm: Annotated[Quantity, between(0.0, 1e5, "a moment in nAm")] = Field(
        Quantity(family="lognormal", numbers=(300.0, 2.0), within=(10.0, 10_000.0)),
        description="expected sum of the sizes of all moments",
    )
    smoothness_mm: Annotated[Quantity, between(8.0, 100.0, "a smoothness in mm")] = Field(
        Quantity(family="loguniform", numbers=(8.0, 40.0)),
        description="distance along the surface at which correlation falls to .6",
    )


class Component(Table):
    spec: str = Field(description="name of a source prior")
    weight: Annotated[float, Field(ge=1e-6, le=1e6)] = Field(
        1.0, description="relative probability"
    )


class MixtureSpec(Spec):
    """One of several source priors, drawn anew for every case.

    Attributes
    ----------
    components : two or more specs with their weights.
    """

    kind: ClassVar[str] = "sources"

    family: Literal["mixture"]
    components: tuple[Component, ...] = Field(min_length=2)

    @field_validator("components")
    @classmethod
    def _differ(cls, components: tuple[Component, ...]) -> tuple[Component, ...]:
        names = [component.spec for component in components]
        if len(set(names)) < len(names):
            raise ValueError("must name different specs; add up the weights of one named twice")
        return components
