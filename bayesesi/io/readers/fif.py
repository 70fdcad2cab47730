"""FIF, the format of MNE and of MEGIN: averages, epochs and continuous recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bayesesi.io.readers import reader

if TYPE_CHECKING:
    import mne


@reader(".fif", ".fif.gz")
def averages(path: Path) -> list[mne.Evoked]:
    """Read every average of the file at ``path``."""
    import mne

    found: list[mne.Evoked] = mne.read_evokeds(path, verbose="error")
    return found


@reader("-epo.fif", "_epo.fif", "-epo.fif.gz", "_epo.fif.gz")
def epochs(path: Path) -> mne.BaseEpochs:
    """Read the trials of the file at ``path``."""
    import mne

    return mne.read_epochs(path, verbose="error")


@reader("raw.fif", "raw.fif.gz", "_eeg.fif", "_meg.fif")
def continuous(path: Path) -> mne.io.BaseRaw:
    """Read the continuous recording of the file at ``path``, in V and T."""
    import mne

    return mne.io.read_raw_fif(path, preload=True, verbose="error")
