"""How a network is trained: from which simulators, how large, for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bayesesi.spec.base import Spec, Table


class MixtureShare(Table):
    """A simulator that cases come from."""

    simulator: str = Field(description="a spec under simulators")
    share: Annotated[float, Field(ge=1e-6, le=1e6)] = Field(
        1.0, description="relative number of cases"
    )
    begins: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the training before its first case: easy simulators go first"
    )


class TransformerSpec(Table):
    """Sizes of the transformer over patches of the cortex."""

    level: Literal[2, 3, 4] = Field(4, description="of the template's sources")
    width: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="numbers a token")
    source_width: Annotated[int, Field(ge=4, le=256)] = Field(32, description="numbers a source")
    place_width: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="numbers that are learned for each source"
    )
    n_blocks: Annotated[int, Field(ge=1, le=24)] = Field(4, description="of attention")
    n_heads: Annotated[int, Field(ge=1, le=16)] = Field(4, description="of attention")

    @field_validator("n_heads")
    @classmethod
    def _divides(cls, n_heads: int, info: object) -> int:
        width = getattr(info, "data", {}).get("width", n_heads)
        if width % n_heads:
            raise ValueError(f"must divide the width, {width}")
        return n_heads


class Optimiser(Table):
    """AdamW with a warm-up and a cosine, and an average of the weights along the way."""

    steps: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        description="of 64 cases each, on one device"
    )
    rate: Annotated[float, Field(gt=0, le=1)] = Field(1e-3, description="largest learning rate")
    warm_up: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        300, description="steps in which the rate grows"
    )
    decay: Annotated[float, Field(ge=0, le=1)] = Field(1e-4, description="of weights")
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="largest norm of a gradient")
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="what is kept of the average of weights in a step"
    )


class Recipe(Spec):
    """What every recipe says.

    Attributes
    ----------
    mixture : simulators that cases come from. optimiser : how weights are fitted.
    seed : of weights and cases, a whole number from 0.
    """

    kind: ClassVar[str] = "recipes"

    prior: str = Field(description="a spec under priors/sources")
    mixture: tuple[MixtureShare, ...] = Field(min_length=1)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    optimiser: Optimiser

    @field_validator("mixture")
    @classmethod
    def _starts(cls, mixture: tuple[MixtureShare, ...]) -> tuple[MixtureShare, ...]:
        if all(ingredient.begins > 0 for ingredient in mixture):
            raise ValueError("no simulator begins at 0; training must begin with one")
        return mixture

    def beside(self, name: str) -> str | Path:
        """Find the file beside the recipe that ``name`` stands for, else return the name."""
        file = name if self.folder is None else self.folder / name
        return file if name.endswith(".toml") and Path(file).is_file() else name

    def mixture_at(self, along: float) -> tuple[MixtureShare, ...]:
        """List what cases come from when a share ``along`` (0 to 1) of the training is over."""
        return tuple(each for each in self.mixture if each.begins <= along)


class CorticalRecipe(Recipe):
    """Of a network that looks at every source of the template's cortex.

    Attributes
    ----------
    backbone : sizes of the network.
    """

    backbone: TransformerSpec = TransformerSpec()


class AtomRecipe(CorticalRecipe):
    """Of ``atoms``: which few patches of cortex there are; its prior is of the family patch."""

    family: Literal["atoms"]
    extents: Annotated[int, Field(ge=1, le=12)] = Field(
        3, description="extents that are told apart"
    )


Weight = Annotated[float, Field(ge=0, le=1e6)]
Estimator = Literal["zuko_nsf", "zuko_maf", "nsf", "maf", "gaussian", "evidential"]
_FLOWS = (
    "of sbi: spline or affine flows, of zuko or of nflows; or one pass: a Gaussian, or an "
    "evidential head"
)


class FieldLosses(Table):
    """How much each counts. All but the first two are of the posterior mean's head alone."""

    denoising: Weight = Field(1.0, description="of a field under noise: what draws come from")
    nothing: Weight = Field(0.2, description="cross-entropy of whether there is an event")
    regression: Weight = Field(1.0, description="squares of what the mean misses")
    forward: Weight = Field(0.0, description="squares of what its data miss, a number")
    laplacian: Weight = Field(0.0, description="squares of what its neighbours differ by")
    variation: Weight = Field(0.0, description="sizes of what its neighbours differ by")
    temporal: Weight = Field(0.0, description="squares of its second differences in time")
    group: Weight = Field(0.0, description="sizes of sources over the window (group lasso)")
    band: Weight = Field(0.0, description="squares of what its spectrum of time misses")


class DiffusionRecipe(CorticalRecipe):
    """Of ``cortex``: the field of moments on the whole cortex, by denoising.

    Attributes
    ----------
    losses : weights of the terms that are summed.
    """

    family: Literal["diffusion"]
    matching: Literal["flow", "score"] = Field("flow", description="of velocities, or of scores")
    losses: FieldLosses = FieldLosses()


class DensityKeys(Table):
    """Which density a network conditions."""

    estimator: Estimator = Field("zuko_nsf", description=_FLOWS)
    hidden: Annotated[int, Field(ge=8, le=512)] = Field(64, description="numbers of its layers")
    transforms: Annotated[int, Field(ge=1, le=10)] = Field(3, description="one after the other")


class FlowRecipe(CorticalRecipe, DensityKeys):
    """Of ``parcels``: the activity of parcels of cortex, by a normalizing flow."""

    family: Literal["flow"]
    parcels: Annotated[int, Field(ge=68, le=400)] = Field(
        150, description="of about equal area, within the 68 regions"
    )
    context: Annotated[int, Field(ge=4, le=256)] = Field(
        32, description="numbers of the whole observation that the flow is given"
    )
    floor: Annotated[float, Field(ge=0.01, le=1.0)] = Field(
        0.1, description="to which a parcel's activity is told, of the size of the data"
    )


class DipoleRecipe(Recipe, DensityKeys):
    """Of ``dipole``: one or two free dipoles in the volume; its prior is of that family."""

    family: Literal["dipole"]
    replay: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="times that a case is met on average: they are slow to make"
    )
    components: Annotated[int, Field(ge=1, le=32)] = Field(
        8, description="places, or pairs of them, about which flows are mixed"
    )
