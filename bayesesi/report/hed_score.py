"""Name the location in the vocabulary that EEG reports share (HED-SCORE, version 1)."""

from __future__ import annotations

from bayesesi.anatomy import REGIONS, Region
from bayesesi.report.reading import Reading


def hed_score(reading: Reading) -> dict[str, str | None] | None:
    """Name side, lobe and sublobe of the most probable region as the HED-SCORE schema does.

    Parameters
    ----------
    reading : of the result; None where it has no named region.
    """
    if not reading.has_regions:
        return None
    name = str(reading.regions.iloc[0].region)
    if name not in REGIONS:
        return None
    place = Region.named(name)
    return {
        "laterality": f"Brain-laterality-{place.side}",
        # the schema has no tag for the insula as a lobe
        "region": None if place.lobe == "insula" else f"Brain-region-{place.lobe}",
        "source": f"Source-analysis-{place.sublobe}",
    }
