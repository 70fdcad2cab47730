"""Check the attributes of a stored result when it is read: a page reads nothing else.

Files come from anywhere. What has another type or shape, or is no possible number, is found before
anything is worded or drawn; texts may hold whatever they like, pages make them harmless.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

#: Levels of lists and tables within each other.
_DEEPEST = 12

#: Sums of shares may pass 1 by rounding.
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
Level = Annotated[float, Field(ge=0.5, le=0.99)]
NotBelow0 = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Text = Annotated[str, Field(max_length=20_000)]
#: mm: no head is larger.
Millimetres = Annotated[float, Field(ge=0, le=1000)]
Vector = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


class Reason(_Part):
    """Why a verdict is not ``reliable``."""

    code: Text = Field(description="kind of doubt")
    sentence: Text = Field(description="the doubt in words")
    value: float | None = Field(None, description="number behind it; without unit, or a share")


class Trust(_Part):
    """Whether to rely on the answer."""

    verdict: Literal["reliable", "caution", "abstain"] = Field(
        description="what a reader should do"
    )
    reasons: list[Reason] = Field(description="doubts; empty where reliable")

    @model_validator(mode="after")
    def _says_why(self) -> Trust:
        if self.verdict == "abstain" and not self.reasons:
            raise ValueError("nothing is localised, and no reason given")
        return self


class _Model(_Part):
    name: Text
    details: dict[str, Any]

    @model_validator(mode="after")
    def _counts(self) -> _Model:
        _Details.model_validate(self.details)
        return self


class _Details(_Part):
    family: Text = ""
    count_probability: list[Share] | None = None
    likelihood_power: NotBelow0 = 1.0


class _Checks(_Part):
    chi2: NotBelow0
    explained_share: float
    snr_db: float | None = None
    null_probability: Share
    null_at_even_odds: Share | None = None
    r_hat: NotBelow0
    sample_efficiency: Share
    outside: list[Text]


class _Head(_Part):
    forward: Text
    electrodes: Text
    heads_drawn: Count | None


class _Observation(_Part):
    condition: Text | None = None
    nave: Annotated[float, Field(gt=0, le=1e9)] | None = None
    window_s: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    bads: list[Text] | None = None


class _Held(_Part):
    level: Level
    held: Share
    n: Count


class _Moment(_Part):
    region: Text
    low: NotBelow0
    high: NotBelow0


class _OwnCases(_Part):
    """Of cases that were simulated as this recording shows them."""

    n: Count
    of_noise: Count
    population: Text
    level: Level
    held: Share
    area: Share


class _Calibration(_Part):
    """Why the model's card says nothing, or what it says, and what its own cases say."""

    why_not: Text | None = None
    own: _OwnCases | None = None
    n: Count | None = None
    cell: Text | None = None
    ece: Share | None = None
    unusual: Share | None = None
    said: list[Share] | None = None
    found: list[Share] | None = None
    held: _Held | None = None
    null_p: Share | None = None
    radius_mm: Millimetres | None = None
    moment: _Moment | None = None
    off: bool = False

    @model_validator(mode="after")
    def _speaks(self) -> _Calibration:
        if self.why_not:
            return self
        needed = ("n", "cell", "ece", "unusual", "said", "found", "held")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"neither why nothing was measured, nor {missing[0]}")
        if len(self.said or ()) != len(self.found or ()):
            raise ValueError("said and found are of different lengths")
        return self


class _Covered(_Part):
    coverage: dict[str, Share]
    log_score: float
    least: Text = ""
    each: Count = 0

    @model_validator(mode="after")
    def _both(self) -> _Covered:
        if not {"0.5", "0.9"} <= set(self.coverage):
            raise ValueError("coverage is of 0.5 and 0.9")
        return self


class _Foreseen(_Part):
    channels: _Covered
    trials: _Covered | None = None


class _Evidence(_Part):
    probability: Annotated[dict[str, Share], Field(min_length=3, max_length=3)]
    error: NotBelow0 = 0.0


class _Credible(_Part):
    level: Level
    peak_area_m2: NotBelow0 | None = None
    peak_share: Share | None = None
    n_regions: Count | None = None
    area_m2: NotBelow0 | None = None
    share_of_cortex: Share | None = None


class _RegionSet(_Part):
    level: Level
    guarantee: Text
    n_conformal: Count
    whole: bool
    area_m2: NotBelow0
    share_of_cortex: Share


class _AreaSet(_Part):
    level: Level
    guarantee: Text
    n_conformal: Count
    area_m2: NotBelow0
    share_of_cortex: Share


class Alternative(_Part):
    """Regions that are active together."""

    regions: list[Text] = Field(description="names of the active ones")
    probability: Share = Field(description="share of draws, 0 to 1")


class Perturbation(_Part):
    """A re-run with something left out or assumed otherwise."""

    kind: Literal["channels", "trials", "head", "prior"] = Field(
        description="what was left out or changed"
    )
    words: Text = Field(description="which re-run")
    top: Text = Field(description="region that is most probable now")
    probability: Share = Field(description="its probability, 0 to 1")
    of_first: Share = Field(description="probability now of the first region of the result, 0 to 1")
    largest: Share = Field(description="largest difference of the probability of a region, 0 to 1")
    region: Text | None = Field(None, description="the region of that difference")
    before: Share | None = Field(None, description="its probability in the result, 0 to 1")
    after: Share | None = Field(None, description="its probability in the re-run, 0 to 1")
    moved_mm: Millimetres | None = Field(
        description="between the centres of activity, mm; null without activity"
    )
    null: Share = Field(description="probability of no source, with equal prior odds, 0 to 1")

    @model_validator(mode="after")
    def _whole(self) -> Perturbation:
        if self.region and (self.before is None or self.after is None):
            raise ValueError("a region that moves has a probability before and after")
        return self


class _When(_Part):
    time_s: float
    region: Text
    probability: Share


class _Apart(_Part):
    low: Millimetres
    median: Millimetres
    high: Millimetres


class _Rise(_Part):
    same_region: Share
    apart_mm: _Apart
    rise: _When
    peak: _When


class Target(_Part):
    """Distance of the peak from a target of the user."""

    name: Text = Field(description="as the user called it")
    said: Text = Field(description="what was asked about, in words")
    median_mm: Millimetres = Field(description="median distance of the peak, mm")
    low_mm: Millimetres = Field(description="lower end of its central interval, mm")
    high_mm: Millimetres = Field(description="upper end of its central interval, mm")
    inside: Share = Field(description="probability that the peak lies inside, 0 to 1")
    mode_mm: Millimetres = Field(description="distance of the most probable peak, mm")


class Conclusion(_Part):
    """What a reader wrote, a paragraph each."""

    paragraphs: Annotated[list[Text], Field(min_length=1, max_length=20, description="in order")]
    reader: Text = Field(description="who wrote them, or in what role")


class _Dipole(_Part):
    place_mm: Annotated[list[float], Field(min_length=3, max_length=3)]
    nearest_region: Text
    distance_mm: Millimetres
    volume_cm3: NotBelow0
    share_of_brain: Share
    axes_mm: Annotated[list[NotBelow0], Field(min_length=3, max_length=3)]
    directions: Annotated[
        list[Annotated[list[float], Field(min_length=3, max_length=3)]],
        Field(min_length=3, max_length=3),
    ]
    moment_nAm: Annotated[list[NotBelow0], Field(min_length=3, max_length=3)] | None = None


class _Dipoles(_Part):
    each: Annotated[list[_Dipole], Field(min_length=1, max_length=2)]
    count_probability: Annotated[list[Share], Field(min_length=3, max_length=3)]


class _Truth(_Part):
    regions: list[Text]
    position: list[Any]


class About(_Part):
    """All attributes of a result; a page reads others only in tables of texts."""

    version: Text = Field(description="of bayesesi")
    created: Text | None = Field(None, description="day on which it was inferred")
    level: Level = Field(description="of sets and intervals, 0.5 to 0.99")
    n_draws: Annotated[int, Field(ge=1, le=10**7, description="number of posterior draws")]
    seed: Annotated[int, Field(ge=0, lt=2**32, description="of the draws")]
    scale_known: bool = Field(description="whether moments are in A m")
    model: _Model = Field(description="name and details")
    observation: _Observation = Field(description="provenance of the recording")
    trust: Trust = Field(description="the verdict")
    checks: _Checks = Field(description="numbers of the checks")
    head: _Head = Field(description="the head model")
    calibration: _Calibration = Field(description="what the card of the model says")
    foreseen: _Foreseen | None = Field(None, description="held-out channels and trials")
    evidence: _Evidence | None = Field(None, description="of other source priors")
    credible: _Credible | None = Field(None, description="the credible set")
    region_set: _RegionSet | None = Field(None, description="the set with a guarantee")
    area_set: _AreaSet | None = Field(None, description="sources that hold most active area")
    alternatives: list[Alternative] | None = Field(
        None, description="regions that are active together"
    )
    sensitivity: list[Perturbation] | None = Field(None, description="re-runs")
    rise: _Rise | None = Field(None, description="where the event begins and peaks")
    targets: list[Target] | None = Field(None, description="distances to them")
    dipoles: _Dipoles | None = Field(None, description="one, or two")
    truth: _Truth | None = Field(None, description="of a simulated patient")
    conclusion: Conclusion | None = Field(None, description="of a reader")

    @model_validator(mode="after")
    def _agrees(self) -> About:
        given = self.calibration
        if self.region_set is not None and given.why_not and given.own is None:
            raise ValueError("a set with a guarantee, and a reason why there is none")
        if self.trust.verdict != "abstain" and (self.alternatives is None or not self.credible):
            raise ValueError("something is localised, but neither alternatives nor a set are there")
        return self


def check_about(about: dict[str, Any]) -> None:
    """Check that a table is what ``infer`` writes.

    Parameters
    ----------
    about : of a result.

    Raises
    ------
    ValueError : it is not; where, and what is wrong, in a few words.
    """
    if not _shallow(about, _DEEPEST):
        raise ValueError("lists within lists without end")
    try:
        About.model_validate(about)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from error


def _shallow(value: Any, left: int) -> bool:
    if isinstance(value, dict):
        return left > 0 and all(_shallow(item, left - 1) for item in value.values())
    if isinstance(value, list | tuple):
        return left > 0 and all(_shallow(item, left - 1) for item in value)
    return True
