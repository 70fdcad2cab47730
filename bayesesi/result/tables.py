"""Tables of a result: regions, lobes and dipoles, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import REGIONS, Region

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def region_table(regions: xr.Dataset) -> pd.DataFrame:
    """Return one row a region, the most probable first; for columns see ``Result.region_table``.

    Parameters
    ----------
    regions : the group ``regions`` of a result, moments in A m.
    """
    import pandas as pd

    table = pd.DataFrame(
        {
            "region": regions["region"].values.astype(str),
            "lobe": regions["lobe"].values.astype(str),
            "side": regions["side"].values.astype(str),
            "sublobe": [_sublobe(str(name)) for name in regions["region"].values],
            "probability": regions["probability"].values,
            "in_set": regions["in_credible_set"].values.astype(bool),
            "calibrated": regions["calibrated"].values,
            "in_region_set": regions["in_region_set"].values.astype(bool),
            "peak_nAm": regions["peak_median"].values * 1e9,
            "low_nAm": regions["peak_low"].values * 1e9,
            "high_nAm": regions["peak_high"].values * 1e9,
        }
    )
    return _most_probable_first(table)


def lobe_table(regions: xr.Dataset, active: NDArray[np.bool_]) -> pd.DataFrame:
    """Return one row a lobe of a side, the one most probably active first.

    Parameters
    ----------
    regions : the group ``regions`` of a result, P of them.
    active : (D, P) which regions are active in each draw.
    """
    import pandas as pd

    lobes = _lobes(regions)
    rows = [
        {
            "side": side,
            "lobe": lobe,
            "probability": float(
                active[:, [each == (side, lobe) for each in lobes]].any(axis=1).mean()
            ),
        }
        for side, lobe in dict.fromkeys(lobes)
    ]
    return _most_probable_first(pd.DataFrame(rows))


def one_lobe(regions: xr.Dataset, active: NDArray[np.bool_]) -> float:
    """Return the probability that all activity lies in one lobe of one side, given any.

    Parameters
    ----------
    regions : the group ``regions`` of a result, P of them.
    active : (D, P) which regions are active in each draw.
    """
    lobes = _lobes(regions)
    number = np.array([list(dict.fromkeys(lobes)).index(lobe) for lobe in lobes])
    alone = [len(set(number[row])) == 1 for row in active[active.any(axis=1)]]
    return float(np.mean(alone)) if alone else 0.0


def dipole_table(dipoles: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a dipole, in their order; for columns see ``Result.dipole_table``.

    Parameters
    ----------
    dipoles : what ``DipolePosterior.findings`` gives of each, lengths in mm and moments in nA m.
    """
    import pandas as pd

    rows = []
    for dipole in dipoles:
        low, middle, high = dipole["moment_nAm"] or (np.nan,) * 3
        rows.append(
            {
                **dict(zip(("x_mm", "y_mm", "z_mm"), dipole["place_mm"], strict=True)),
                **{k: dipole[k] for k in ("nearest_region", "distance_mm", "volume_cm3")},
                "axes_mm": tuple(dipole["axes_mm"]),
                "moment_nAm": middle,
                "low_nAm": low,
                "high_nAm": high,
            }
        )
    return pd.DataFrame(rows)


def _lobes(regions: xr.Dataset) -> list[tuple[str, str]]:
    """(P,) side and lobe of each region."""
    sides, lobes = regions["side"].values, regions["lobe"].values
    return [(str(side), str(lobe)) for side, lobe in zip(sides, lobes, strict=True)]


def _most_probable_first(table: pd.DataFrame) -> pd.DataFrame:
    table = table.sort_values("probability", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def _sublobe(name: str) -> str:
    return Region.named(name).sublobe if name in REGIONS else ""
