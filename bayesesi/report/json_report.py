"""The page as data: what a database or another program reads, with a schema that is published.

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

    region: str
    lobe: str
    side: str
    sublobe: str = Field(description="HED-SCORE 1: 'Source-analysis-' stands before it there")
    probability: float
    in_set: bool = Field(description="in the credible set")
    calibrated: float | None
    in_region_set: bool = Field(description="in the set with a guarantee")
    peak_nAm: float | None
    low_nAm: float | None
    high_nAm: float | None


class CredibleSet(_Part):
    """The model's belief; no guarantee."""

    level: float
    regions: list[str]
    n_regions: int
    area_m2: float
    share_of_cortex: float
    peak_area_m2: float
    peak_share: float


class ConformalSet(_Part):
    """A set with a guarantee, in words."""

    level: float
    regions: list[str]
    guarantee: str
    n_conformal: int
    whole: bool
    area_m2: float
    share_of_cortex: float


class Check(_Part):
    """Something that was looked at, and whether it raised a doubt."""

    name: str
    passed: bool
    value: str


class LobeRow(_Part):
    """That anything is active in a lobe of one side."""

    side: str
    lobe: str
    probability: float


class HedScore(_Part):
    """Tags of HED-SCORE 1 for the most probable region."""

    laterality: str
    region: str | None
    source: str


class Twin(_Part):
    """A report of bayesesi. Research use only."""

    sentence: str
    notes: list[str]
    page: str
    result_schema: int = Field(alias="schema")
    version: str
    created: str | None = None
    level: float
    n_draws: int
    seed: int
    scale_known: bool
    localisable: bool
    trust: Trust
    checks: dict[str, Any]
    checked: list[Check]
    head: dict[str, Any]
    calibration: dict[str, Any]
    model: dict[str, Any]
    observation: dict[str, Any]
    citations: list[str]
    hed_score: HedScore | None = None
    evidence: dict[str, Any] | None = None
    sensitivity: list[Perturbation] | None = None
    targets: list[Target] | None = None
    rise: dict[str, Any] | None = None
    truth: dict[str, Any] | None = None
    foreseen: dict[str, Any] | None = None
    dipoles: dict[str, Any] | None = None
    conclusion: Conclusion | None = None
    credible_set: CredibleSet | None = None
    region_set: ConformalSet | None = None
    alternatives: list[Alternative] | None = None
    lobes: list[LobeRow] | None = None
    one_lobe: float | None = Field(
        None, description="that all of the activity lies in one lobe of one side, given that any is"
    )
    regions: list[RegionRow] | None = None


def twin_schema() -> dict[str, Any]:
    """JSON Schema of ``Twin``."""
    schema = Twin.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def twin(reading: Reading, sentence: str, notes: list[str], page: str) -> dict[str, Any]:
    """What ``page`` says of a reading, and what it rests on."""
    return {
        "sentence": sentence,
        "notes": notes,
        "page": page,
        **reading.result.to_dict(),
        "checked": checks(reading),
        "citations": citations(reading),
        "hed_score": hed_score(reading),
    }
