"""Hold the result of an inference in one object that a file can hold: a report needs no more."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.conformal import RegionSet
from bayesesi.errors import InputError, some
from bayesesi.io.atomic import atomic_file
from bayesesi.result import tables
from bayesesi.result.groups import Groups
from bayesesi.trust import Trust, Verdict

if TYPE_CHECKING:
    import arviz as az
    import mne
    import pandas as pd
    import xarray as xr

SCHEMA = 4
#: The attribute that holds everything which is no array, as JSON.
ATTRIBUTE = "bayesesi"

_WORDS = ("mean", "sd", "probability")
#: What a result may say of itself and its plain table repeats.
_SAID = ("evidence", "sensitivity", "targets", "rise", "truth", "foreseen", "conclusion")
#: Of what a reader concludes: paragraphs, and characters of one and of a name.
PARAGRAPHS, LONGEST, NAME = 20, 600, 80


@dataclass(frozen=True)
class CredibleSet:
    """Hold the credible set of the model; no guarantee.

    Attributes
    ----------
    level : 0.5 to 0.99. regions : names, the most probable first. area_cm2 : cm².
    share : of the cortex, 0 to 1.
    """

    level: float
    regions: tuple[str, ...]
    area_cm2: float
    share: float

    def __repr__(self) -> str:
        return (
            f"<CredibleSet | {len(self.regions)} regions, {self.area_cm2:.0f} cm² "
            f"({self.share:.0%} of the cortex), level {self.level:g}>"
        )


@dataclass(frozen=True, eq=False)
class Result:
    """Draws, maps, regions and how they came about, as ``bayesesi.infer`` gives them.

    Attributes
    ----------
    held : ``arviz.InferenceData``, or the arrays of it before ArviZ is loaded.
    inference_data : ``arviz.InferenceData`` in SI units: ``posterior`` (chain, draw[, region]);
        ``maps`` (source[, time]) and ``regions``, which are missing where nothing can be
        localised; ``recording`` (channel, time); ``observed_data``, whitened.
    """

    held: az.InferenceData | Groups

    def __repr__(self) -> str:
        name = self.about["observation"].get("condition") or "recording"
        if not self.localisable:
            return f"<Result | {name[:40]!r}, not localisable>"
        of = f", {self.credible_set!r}" if self.has_regions else ""
        return f"<Result | {name[:40]!r}, {self.trust.verdict}{of}>"

    @cached_property
    def inference_data(self) -> az.InferenceData:
        return self.held.to_inference_data() if isinstance(self.held, Groups) else self.held

    @cached_property
    def about(self) -> dict[str, Any]:
        """All that is no array: version, level, seed, model, observation, checks, trust, head..."""
        return dict(json.loads(self.held.attrs[ATTRIBUTE]))

    @property
    def level(self) -> float:
        return float(self.about["level"])

    @property
    def trust(self) -> Trust:
        """The verdict, with the reasons."""
        return Trust.from_dict(self.about["trust"])

    @property
    def localisable(self) -> bool:
        """False where the verdict is to abstain: then there is no map and no table."""
        return self.trust.verdict is not Verdict.ABSTAIN

    @property
    def has_regions(self) -> bool:
        """Whether there is a table of regions: something is localised, on a cortex."""
        return self.localisable and "regions" in self.held.groups()

    @property
    def on_cortex(self) -> bool:
        """Whether sources are vertices of a cortex, so that maps can be drawn on it."""
        return "maps" in self.held.groups() and "vertex" in self.held["maps"]

    @property
    def region_set(self) -> RegionSet | None:
        """The set with a guarantee; None without one: ``no_region_set`` has the reason."""
        found = self.about.get("region_set")
        if not found or not self.has_regions:
            return None
        inside = self._array("regions", "in_region_set") > 0
        names = self._array("regions", "region")[inside]
        order = self._array("regions", "probability")[inside]
        return RegionSet(
            float(found["level"]),
            tuple(str(names[i]) for i in np.argsort(-order, kind="stable")),
            str(found["guarantee"]),
            int(found["n_conformal"]),
            bool(found["whole"]),
            float(found["area_m2"]) * 1e4,
            float(found["share_of_cortex"]),
        )

    @property
    def no_region_set(self) -> str:
        """Why no set has a guarantee; empty where one has."""
        if self.region_set is not None:
            return ""
        why = str(self.about["calibration"].get("why_not") or "")
        return why or ("nothing is localised" if not self.has_regions else "")

    @property
    def credible_set(self) -> CredibleSet:
        """The credible set of the model; no guarantee.

        Raises
        ------
        InputError : nothing can be localised, or the sources are in no named regions.
        """
        inside, found = self._array("regions", "in_credible_set") > 0, self.about["credible"]
        names = self._array("regions", "region")[inside]
        order = np.argsort(-self._array("regions", "probability")[inside])
        return CredibleSet(
            float(found["level"]),
            tuple(str(name) for name in names[order]),
            float(found["area_m2"]) * 1e4,
            float(found["share_of_cortex"]),
        )

    def region_table(self) -> pd.DataFrame:
        """List regions in a table, the most probable first.

        Columns ``region``, ``lobe``, ``side``, ``sublobe`` (as HED-SCORE calls it; empty for a
        name that the atlas has not), ``probability`` (of being active), ``in_set`` (the
        credible one), ``calibrated`` (what simulations made of the probability; NaN without a
        calibration card), ``in_region_set`` (the one with a guarantee), and ``peak_nAm`` with
        ``low_nAm`` and ``high_nAm``: median and central interval of the region's largest moment
        over the window, given that it is active; without a known scale their unit is arbitrary.

        Raises
        ------
        InputError : nothing can be localised, or the sources are in no named regions.
        """
        return tables.region_table(self._group("regions"))

    def lobe_table(self) -> pd.DataFrame:
        """List lobes in a table, the most probable first.

        Columns ``side``, ``lobe`` and ``probability`` that anything is active there.

        Raises
        ------
        InputError : nothing can be localised, or the sources are in no named regions.
        """
        return tables.lobe_table(self._group("regions"), self._active)

    @property
    def one_lobe(self) -> float:
        """Probability that all of the activity lies in one lobe of one side, given that there is
        any."""
        return tables.one_lobe(self._group("regions"), self._active)

    @property
    def _active(self) -> NDArray[np.bool_]:
        """(D, P) which regions are active in each draw."""
        active = self._array("posterior", "region_active")
        return np.asarray(active.reshape(-1, active.shape[-1]) > 0)

    @property
    def has_dipoles(self) -> bool:
        """Whether the answer is one dipole, or two."""
        return self.localisable and bool(self.about.get("dipoles"))

    def dipole_table(self) -> pd.DataFrame:
        """List dipoles in a table, the left one first; as many as are most probable.

        Columns ``x_mm``, ``y_mm``, ``z_mm`` (centre, head frame), ``nearest_region`` and
        ``distance_mm`` to it, ``volume_cm3`` (the fewest cells of the grid that hold the dipole
        with probability ``level``), ``axes_mm`` (half lengths of the ellipsoid of that level) and
        ``moment_nAm`` with ``low_nAm`` and ``high_nAm``, of its largest size over the window.

        Raises
        ------
        InputError : the answer is no dipole.
        """
        if not self.has_dipoles:
            raise InputError("this result holds no dipoles; infer with the model 'dipole'")
        return tables.dipole_table(self.about["dipoles"]["each"])

    def source_estimate(self, which: str = "mean") -> mne.SourceEstimate:
        """Make an ``mne.SourceEstimate`` of the mean or sd (A m over time), or the probability.

        The probability is that of a source being among the strongest, at one instant for the
        whole window.

        Parameters
        ----------
        which : ``"mean"``, ``"sd"`` or ``"probability"``.

        Raises
        ------
        InputError : another word, nothing can be localised, sources that are on no cortex.
        """
        import mne

        if which not in _WORDS:
            raise InputError(f"a source estimate is of {', '.join(_WORDS)}, not {some([which])}")
        maps = self._group("maps")
        if not self.on_cortex:
            raise InputError("a source estimate needs sources on a cortex; these are on none")
        values, times = maps[which].values, maps["time"].values
        left = maps["hemisphere"].values == 0
        vertex = maps["vertex"].values
        step = float(times[1] - times[0]) if len(times) > 1 else 1.0
        return mne.SourceEstimate(
            values.astype(float).reshape(len(values), -1),
            [vertex[left], vertex[~left]],
            float(times[0]),
            step,
            maps.attrs.get("subject") or None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert verdict, checks, regions and credible set to plain JSON, as for a database."""
        keys = (
            *("schema", "version", "created", "level", "scale_known", "trust", "checks", "head"),
            *("calibration", "n_draws", "seed", "observation"),
        )
        table = {key: self.about[key] for key in keys if key in self.about}
        table |= {"localisable": self.localisable, "model": self.about["model"]}
        for key in _SAID:
            if self.about.get(key):
                table |= {key: self.about[key]}
        if self.has_dipoles:
            table |= {"dipoles": self.about["dipoles"]}
        if not self.has_regions:
            return table
        rows = self.region_table().to_dict("records")
        regions = [{k: _plain(v) for k, v in row.items()} for row in rows]
        found = self.credible_set
        credible = {**self.about["credible"], "regions": list(found.regions)}
        earned = self.region_set
        guaranteed = earned and {**self.about["region_set"], "regions": list(earned.regions)}
        return table | {
            "credible_set": credible,
            "region_set": guaranteed,
            "alternatives": self.about["alternatives"],
            "lobes": self.lobe_table().to_dict("records"),
            "one_lobe": self.one_lobe,
            "regions": regions,
        }

    def with_truth(self, regions: tuple[str, ...], position: NDArray[np.floating]) -> Result:
        """Copy the result with what was really active, for simulated patients: the report shows it.

        Parameters
        ----------
        regions : names of active ones. position : (3,) or (n, 3) m, in the frame of the sources.
        """
        truth = {"regions": list(regions), "position": np.asarray(position, float).tolist()}
        return self.with_about("truth", truth)

    def with_conclusion(self, text: str, reader: str = "") -> Result:
        """Copy the result with what a reader concludes, which the report shows as theirs.

        Parameters
        ----------
        text : up to 20 paragraphs, one a line. reader : who or in what role, in their words.

        Raises
        ------
        InputError : nothing, or more than fits.
        """
        lines = [" ".join(line.split()) for line in text.splitlines()]
        lines = [line for line in lines if line]
        if not lines or len(lines) > PARAGRAPHS or max(map(len, lines)) > LONGEST:
            raise InputError(
                f"a conclusion has 1 to {PARAGRAPHS} paragraphs, one a line, of up to {LONGEST} "
                f"characters; this has {len(lines)}, the longest of "
                f"{max(map(len, lines), default=0)}"
            )
        if len(reader) > NAME:
            raise InputError(f"a reader has up to {NAME} characters, not {len(reader)}")
        said = {"paragraphs": lines, "reader": " ".join(reader.split())}
        return self.with_about("conclusion", said)

    def with_about(self, key: str, value: Any) -> Result:
        """Copy the result with one more thing in ``about``.

        Parameters
        ----------
        key : its name. value : plain data.
        """
        attrs = {ATTRIBUTE: json.dumps({**self.about, key: value})}
        if isinstance(self.held, Groups):
            return Result(replace(self.held, attrs=attrs))
        data = self.held.copy()
        data.attrs = attrs
        return Result(data)

    def save(self, path: str | Path) -> Path:
        """Write a netCDF file, whole or not at all; by convention its name ends in ``-post.nc``.

        Parameters
        ----------
        path : of the file.

        Raises
        ------
        InputError : a place that cannot be written.
        """
        with atomic_file(path) as draft:
            self.inference_data.to_netcdf(str(draft), engine="h5netcdf", compress=True)
        return Path(path)

    def _group(self, name: str) -> xr.Dataset:
        self._check_group(name)
        return self.inference_data[name]

    def _array(self, group: str, name: str) -> NDArray[Any]:
        """Values of one array, without ArviZ where it is not loaded yet."""
        self._check_group(group)
        held = self.held[group][name]
        return held if isinstance(held, np.ndarray) else np.asarray(held.values)

    def _check_group(self, name: str) -> None:
        """Raise an InputError where the result has no such group."""
        if name in self.held.groups():
            return
        if not self.localisable:
            raise InputError(f"{self.trust.reasons[0].sentence}; there is no map and no table")
        raise InputError("these sources are on no cortex with named regions; look at the maps")


def _plain(value: Any) -> Any:
    """A number, word or None (for "no such number") that JSON knows."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
