"""When a result is doubted, and when it is not given at all."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bayesesi.spec.base import Spec

Share = Annotated[float, Field(ge=0, le=1)]


class VerdictSpec(Spec):
    """Thresholds of a verdict."""

    kind: ClassVar[str] = "verdicts"

    family: Literal["verdict"]
    null_caution: Share = Field(
        description="probability of nothing after even odds, from which on a result is doubted"
    )
    null_abstain: Share = Field(description="and from which on it is not given")
    unusual_caution: Share = Field(
        description="share of simulated recordings that are as unusual, below which one is doubted"
    )
    unusual_abstain: Share = Field(description="and below which its result is not given")
    most_r_hat: Annotated[float, Field(ge=1)] = Field(description="of chains that agree")
    least_efficiency: Share = Field(description="of weighted draws")
    widest_set: Share = Field(description="share of the cortex of a set that localises well")
    slopes: tuple[Share, Annotated[float, Field(ge=1)]] = Field(
        (0.85, 1.15), description="of found on said probabilities on a card: none of them is off"
    )
    largest_ece: Share = Field(
        0.05,
        description="mean deviation of probabilities on a card up to which none is off",
    )
    most_sources: Share = Field(
        0.5, description="probability of the largest number of sources that a model knows"
    )
    least_channels: Annotated[int, Field(ge=2)] = Field(description="that a map is worth having of")

    @model_validator(mode="after")
    def _ordered(self) -> VerdictSpec:
        if self.null_caution > self.null_abstain:
            raise ValueError("null_caution must not lie above null_abstain")
        if self.unusual_caution < self.unusual_abstain:
            raise ValueError("unusual_caution must not lie below unusual_abstain")
        return self
