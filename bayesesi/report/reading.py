"""A ``Result`` as a page reads it: everything from outside already harmless and short."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_mesh
from bayesesi.anatomy.template import SUBJECT
from bayesesi.report.observation_figure import UNITS
from bayesesi.report.words import chance, plain, plain_tree

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesesi.conformal import RegionSet
    from bayesesi.result import CredibleSet, Result

#: Characters of a sentence, which may hold names from outside.
_SENTENCE = 600


@dataclass(frozen=True, eq=False)
class Reading:
    """Read a result for a page: what a page shows is read through this, and nowhere else.

    Attributes
    ----------
    result : to read. image : an MRI in MNI152 (nibabel) to draw slices on, if there is one.
    """

    result: Result
    image: Any = None

    @cached_property
    def about(self) -> dict[str, Any]:
        """The result's attributes beside its arrays."""
        return dict(plain_tree(self.result.about, _SENTENCE))

    @property
    def localisable(self) -> bool:
        return self.result.localisable

    @property
    def level(self) -> float:
        return float(self.about["level"])

    @property
    def scale_known(self) -> bool:
        return bool(self.about["scale_known"])

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the recording and its forward model, names in it shortened."""
        return dict(plain_tree(self.about["observation"]))

    @cached_property
    def truth(self) -> dict[str, Any] | None:
        """The active regions of a simulated patient and their places (m, head frame)."""
        return self.about.get("truth") or None

    @property
    def true_positions(self) -> NDArray[np.float64]:
        """(n, 3) m, true places in a simulated patient; none where the truth is not known."""
        return np.asarray((self.truth or {}).get("position", []), float).reshape(-1, 3)

    @property
    def null_at_even_odds(self) -> float:
        """Probability that nothing is active, as the verdict weighs it."""
        found = self.about["checks"]
        return float(found.get("null_at_even_odds", found["null_probability"]))

    @property
    def modality(self) -> str:
        """EEG, MEG, or both."""
        recording = self.group("recording")
        kinds = set() if recording is None else {str(kind) for kind in recording["kind"].values}
        said = ["EEG"] * ("eeg" in kinds) + ["MEG"] * bool(kinds - {"eeg"})
        return " and ".join(said) or "EEG / MEG"

    @property
    def nave(self) -> float:
        return float(self.provenance.get("nave") or 1)

    def group(self, name: str) -> xr.Dataset | None:
        """Get a group of the result, or None where it has none.

        Parameters
        ----------
        name : of the group.
        """
        tree = self.result.inference_data
        return tree[name] if name in tree.groups() else None

    @property
    def has_regions(self) -> bool:
        """Whether there is a table of named regions: never where nothing is localisable."""
        return self.localisable and self.group("regions") is not None

    @property
    def best_set(self) -> RegionSet | CredibleSet:
        """The set with a guarantee, else the credible set."""
        return self.result.region_set or self.result.credible_set

    @property
    def first_probability(self) -> str:
        """Probability of the first region, in words; calibrated where the model's is known to be
        off."""
        top = self.regions.iloc[0]
        if self.about["calibration"].get("off") and np.isfinite(top.calibrated):
            return f"{chance(float(top.calibrated))} calibrated"
        return chance(float(top.probability))

    @property
    def kind_of_set(self) -> str:
        """What ``best_set`` is, in a word."""
        return "credible" if self.result.region_set is None else "conformal"

    @property
    def has_dipoles(self) -> bool:
        """Whether the answer is one dipole, or two."""
        return self.result.has_dipoles

    @cached_property
    def regions(self) -> pd.DataFrame:
        """The result's own table, most probable first; ``marked`` are those of ``best_set``."""
        table = self.result.region_table()
        earned = self.result.region_set is not None
        return table.assign(marked=table["in_region_set" if earned else "in_set"])

    @cached_property
    def template_vertices(self) -> NDArray[np.int64] | None:
        """(S,) vertices of the template's mesh that sources sit on; None on another cortex."""
        maps = self.group("maps")
        if maps is None or "vertex" not in maps.coords or maps.attrs.get("subject") != SUBJECT:
            return None
        own, right = np.asarray(maps["vertex"], np.int64), np.asarray(maps["hemisphere"]) == 1
        n_left = template_mesh().n_left
        # finer meshes of fsaverage begin with the vertices of this one
        return own + n_left * right if own.max(initial=0) < n_left else None


@dataclass(frozen=True, eq=False)
class Volts:
    """Hold the recording's window as it is drawn: one kind of channel, in its own unit.

    Attributes
    ----------
    measured, explained : (C, T). ``explained`` is None where nothing is.
    positions : (C, 3) m. times : (T,) ms. peak : index of the sample of most power.
    kind : of channel, in words. unit : of the values. n_all : number of channels of all kinds.
    """

    measured: NDArray[np.float64]
    explained: NDArray[np.float64] | None
    positions: NDArray[np.float64]
    times: NDArray[np.float64]
    peak: int
    kind: str
    unit: str
    n_all: int

    @property
    def n_channels(self) -> int:
        return len(self.measured)

    @property
    def peak_ms(self) -> int:
        return round(float(self.times[self.peak]))


def read_volts(reading: Reading) -> Volts | None:
    """Read the first of EEG, magnetometers, gradiometers that the recording has.

    Parameters
    ----------
    reading : of the result; None where it holds no recording.
    """
    recording = reading.group("recording")
    if recording is None:
        return None
    kinds = np.array([str(kind) for kind in recording["kind"].values])
    kind = next((k for k in UNITS if k in kinds), None)
    if kind is None:
        return None
    scale, unit = UNITS[kind] if reading.scale_known else (1.0, "unknown unit")
    rows = kinds == kind
    centre = kind == "eeg"

    def drawn(name: str) -> NDArray[np.float64]:
        values = np.asarray(recording[name].transpose("channel", "time"), float)[rows] * scale
        return values - values.mean(axis=0) if centre else values

    measured = drawn("measured")
    return Volts(
        measured,
        drawn("explained") if "explained" in recording else None,
        np.asarray(recording["position"].transpose("channel", ...), float)[rows],
        np.asarray(recording["time"], float) * 1e3,
        int((measured**2).sum(axis=0).argmax()),
        {"eeg": "EEG", "mag": "magnetometer", "grad": "gradiometer"}[kind],
        plain(unit),
        len(kinds),
    )
