"""Convert the page to data for a database or another program, with a published schema.

``reports/report.schema.json`` is ``Twin``'s; every number that a page shows is in here.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bayesesi.report.checks import checks
from bayesesi.report.citations import citations
from bayesesi.report.hed_score import hed_score
from bayesesi.report.reading import Reading
from bayesesi.result.schema import Alternative, Conclusion, Perturbation, Target, Trust


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RegionRow(_Part):
    """One region; moments in nAm, given that it is active."""

    region: str = Field(description="name in the atlas")
    lobe: str = Field(description="in which it lies")
    side: str = Field(description="left or right")
    sublobe: str = Field(description="HED-SCORE 1: 'Source-analysis-' stands before it there")
    probability: float = Field(description="of being active, 0 to 1")
    in_set: bool = Field(description="in the credible set")
    calibrated: float | None = Field(
        description="that probability after the repair, 0 to 1; null without a calibration card"
    )
    in_region_set: bool = Field(description="in the set with a guarantee")
    peak_nAm: float | None = Field(description="median of the largest moment over the window, nAm")
    low_nAm: float | None = Field(description="lower end of its central interval, nAm")
    high_nAm: float | None = Field(description="upper end of its central interval, nAm")


class CredibleSet(_Part):
    """The credible set of the model; no guarantee."""

    level: float = Field(description="0.5 to 0.99")
    regions: list[str] = Field(description="names, the most probable first")
    n_regions: int = Field(description="number of them")
    area_m2: float = Field(description="their area, m²")
    share_of_cortex: float = Field(description="their area over that of all, 0 to 1")
    peak_area_m2: float = Field(
        description="area of the sources that hold the peak at this level, m²"
    )
    peak_share: float = Field(description="that area over that of all, 0 to 1")


class ConformalSet(_Part):
    """A set of regions with a guarantee."""

    level: float = Field(description="0.5 to 0.99")
    regions: list[str] = Field(description="names, the most plausible first")
    guarantee: str = Field(description="in words")
    n_conformal: int = Field(description="number of simulated cases behind it")
    whole: bool = Field(description="whether it is the whole cortex")
    area_m2: float = Field(description="area, m²")
    share_of_cortex: float = Field(description="area over that of all, 0 to 1")


class Check(_Part):
    """A check, and whether it raised a doubt."""

    name: str = Field(description="of the check")
    passed: bool = Field(description="without a doubt")
    value: str = Field(description="what it found, in words")


class LobeRow(_Part):
    """One lobe of one side."""

    side: str = Field(description="left or right")
    lobe: str = Field(description="its name")
    probability: float = Field(description="that anything is active there, 0 to 1")


class HedScore(_Part):
    """Tags of HED-SCORE 1 for the most probable region."""

    laterality: str = Field(description="tag of the side")
    region: str | None = Field(description="tag of the lobe; null where the schema has none")
    source: str = Field(description="tag of the sublobe")


class Twin(_Part):
    """A report of bayesesi. Research use only."""

    sentence: str = Field(description="the verdict in words")
    notes: list[str] = Field(description="doubts that change how to read it")
    page: str = Field(description="name of the page's specification")
    result_schema: int = Field(alias="schema", description="number of the schema of results")
    version: str = Field(description="of bayesesi")
    created: str | None = Field(None, description="day on which it was inferred")
    level: float = Field(description="of sets and intervals, 0.5 to 0.99")
    n_draws: int = Field(description="number of posterior draws")
    seed: int = Field(description="of the draws")
    scale_known: bool = Field(description="whether moments are in A m")
    localisable: bool = Field(description="false where the verdict is to abstain")
    trust: Trust = Field(description="the verdict and its reasons")
    checks: dict[str, Any] = Field(description="numbers of the checks")
    checked: list[Check] = Field(description="the checks in words")
    head: dict[str, Any] = Field(description="the head model")
    calibration: dict[str, Any] = Field(description="what the model's calibration card says")
    model: dict[str, Any] = Field(description="name and details of the model")
    observation: dict[str, Any] = Field(description="provenance of the recording")
    citations: list[str] = Field(description="what to cite")
    hed_score: HedScore | None = Field(None, description="tags of the most probable region")
    evidence: dict[str, Any] | None = Field(
        None, description="how probable other descriptions of the sources are"
    )
    sensitivity: list[Perturbation] | None = Field(
        None, description="re-runs with something left out or changed"
    )
    targets: list[Target] | None = Field(None, description="distances to what the user asked about")
    rise: dict[str, Any] | None = Field(
        None, description="where the event begins, and where it peaks"
    )
    truth: dict[str, Any] | None = Field(None, description="what was active in a simulated patient")
    foreseen: dict[str, Any] | None = Field(
        None, description="how well held-out channels and trials are predicted"
    )
    dipoles: dict[str, Any] | None = Field(None, description="one dipole, or two")
    conclusion: Conclusion | None = Field(None, description="what a reader wrote")
    credible_set: CredibleSet | None = Field(None, description="of regions, no guarantee")
    region_set: ConformalSet | None = Field(None, description="of regions, with a guarantee")
    alternatives: list[Alternative] | None = Field(
        None, description="regions that are active together"
    )
    lobes: list[LobeRow] | None = Field(None, description="each lobe of each side")
    one_lobe: float | None = Field(
        None, description="probability that all activity lies in one lobe of one side, given any"
    )
    regions: list[RegionRow] | None = Field(None, description="each region")


def twin_schema() -> dict[str, Any]:
    """Make the JSON Schema of ``Twin``."""
    schema = Twin.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def twin(reading: Reading, sentence: str, notes: list[str], page: str) -> dict[str, Any]:
    """Make the twin of a page.

    Parameters
    ----------
    reading : of the result. sentence, notes : as the page has them. page : name of its spec.
    """
    return {
        "sentence": sentence,
        "notes": notes,
        "page": page,
        **reading.result.to_dict(),
        "checked": checks(reading),
        "citations": citations(reading),
        "hed_score": hed_score(reading),
    }
