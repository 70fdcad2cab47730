"""Simulated recordings as MNE objects and FIF files, the truth beside them, for any other tool.

Folders and names follow BIDS: a case is a subject, a table says who is who.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesesi.anatomy import template_source_space
from bayesesi.anatomy.template import template_fiducials
from bayesesi.errors import InputError, some
from bayesesi.io.atomic import write_text
from bayesesi.simulator.simulation import Batch, Session, Simulation, Truth

if TYPE_CHECKING:
    import mne

Kind = Literal["evoked", "raw", "epochs"]
KINDS: tuple[Kind, ...] = ("evoked", "raw", "epochs")


def check_kind(kind: str) -> Kind:
    """Return ``kind`` if it is one of ``KINDS``.

    Raises
    ------
    InputError : another.
    """
    for known in KINDS:
        if kind == known:
            return known
    raise InputError(f"a recording is exported as {', '.join(KINDS)}, not {some([kind])}")


def make_info(session: Session) -> mne.Info:
    """Make an info with channels, assumed positions, bads and filter band of ``session``."""
    import mne

    sensors = session.forward.sensors
    assert sensors is not None
    info = mne.create_info(list(sensors.names), session.sfreq, "eeg")
    left, nasion, right = template_fiducials()
    positions = dict(zip(sensors.names, sensors.positions, strict=True))
    montage = mne.channels.make_dig_montage(positions, nasion, left, right, coord_frame="head")
    info.set_montage(montage, verbose="error")
    info["bads"] = list(session.bads)
    with info._unlock():  # MNE has no public way to say how data were filtered elsewhere
        info["highpass"], info["lowpass"] = session.band
    return info


def to_evoked(batch: Batch, k: int) -> mne.EvokedArray:
    """Convert case ``k`` of ``batch`` to an average."""
    import mne

    session = batch.session
    return mne.EvokedArray(
        batch.volts[k].astype(float),
        make_info(session),
        tmin=float(session.times[0]),
        comment=f"{batch.spec.name} {batch.first + k}",
        nave=session.n_trials,
        verbose="error",
    )


def to_raw(batch: Batch, k: int) -> mne.io.RawArray:
    """Convert case ``k`` of ``batch`` to a continuous recording.

    Raises
    ------
    InputError : cases that are averages of several trials.
    """
    import mne

    _check_single(batch)
    return mne.io.RawArray(batch.volts[k].astype(float), make_info(batch.session), verbose="error")


def to_epochs(batch: Batch) -> mne.EpochsArray:
    """Convert all cases of ``batch`` to one epoch each; ``metadata`` says what made them.

    Raises
    ------
    InputError : cases that are averages of several trials.
    """
    import mne
    import pandas as pd

    _check_single(batch)
    rows = [_row(batch.truth(k)) for k in range(len(batch))]
    numbers = np.arange(len(batch))
    events = np.column_stack([numbers, 0 * numbers, 1 + 0 * numbers])
    return mne.EpochsArray(
        batch.volts.astype(float),
        make_info(batch.session),
        events,
        tmin=float(batch.session.times[0]),
        metadata=pd.DataFrame(rows, index=batch.first + numbers),
        verbose="error",
    )


def write_fif(simulation: Simulation, folder: str | Path, kind: Kind = "evoked") -> Path:
    """Write every case of ``simulation`` (as epochs, every session), its covariance and truth.

    Beside each FIF file: ``-cov.fif`` as estimated, and of single cases ``truth.json`` with every
    number that was drawn and ``truth-lh.stc``, ``truth-rh.stc``, the event on fsaverage's 5,124
    sources in A m. ``folder`` is new or empty; ``kind`` is one of ``KINDS``.

    Raises
    ------
    InputError : an unknown kind, a folder that is not empty.
    """
    check_kind(kind)
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder.name} holds other files; choose an empty folder")
    if kind != "evoked":
        _check_single(simulation.batches[0])
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for batch in simulation:
        if kind == "epochs":
            rows.append(_write_session(batch, folder))
            continue
        rows += [_write_case(batch, k, folder, kind) for k in range(len(batch))]
    spec = simulation.spec
    about = {
        "Name": spec.name,
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "bayesesi"}],
        "Description": spec.description,
        "Seed": simulation.seed,
        "Namespace": simulation.namespace,
        "Simulator": spec.resolved(),
    }
    write_text(folder / "dataset_description.json", json.dumps(about, indent=1))
    keys = list(rows[0])
    table = ["\t".join(keys), *("\t".join(str(row[key]) for key in keys) for row in rows)]
    write_text(folder / "participants.tsv", "\n".join(table) + "\n")
    return folder


def _write_case(batch: Batch, k: int, folder: Path, kind: Kind) -> dict[str, Any]:
    truth, subject = batch.truth(k), f"sub-{batch.first + k:06d}"
    place = folder / subject / "eeg"
    place.mkdir(parents=True)
    stem = f"{subject}_task-{_letters(batch.spec.name)}"
    if kind == "raw":
        to_raw(batch, k).save(place / f"{stem}_raw.fif", verbose="error")
    else:
        to_evoked(batch, k).save(place / f"{stem}_ave.fif", verbose="error")
    _write_cov(batch, float(batch.noise_scale[k]), place / f"{stem}_cov.fif")
    write_text(place / f"{stem}_truth.json", json.dumps(_plain(vars(truth)), indent=1))
    _write_field(batch, k, place / f"{stem}_truth")
    return {"participant_id": subject, **_row(truth)}


def _write_session(batch: Batch, folder: Path) -> dict[str, Any]:
    subject = f"sub-{batch.first:06d}"
    place = folder / subject / "eeg"
    place.mkdir(parents=True)
    stem = f"{subject}_task-{_letters(batch.spec.name)}"
    epochs = to_epochs(batch)
    epochs.save(place / f"{stem}_epo.fif", verbose="error")
    _write_cov(batch, 1.0, place / f"{stem}_cov.fif")
    epochs.metadata.to_csv(place / f"{stem}_truth.tsv", sep="\t", index_label="case")
    return {"participant_id": subject, "first_case": batch.first, "n_cases": len(batch)}


def _write_cov(batch: Batch, scale: float, path: Path) -> None:
    """Of single trials, as MNE keeps it."""
    import mne

    noise = batch.session.noise
    cov = mne.Covariance(noise.matrix * scale**2, list(noise.ch_names), [], [], int(noise.dof or 0))
    cov.save(path, verbose="error")


def _write_field(batch: Batch, k: int, path: Path) -> None:
    import mne

    session, half = batch.session, template_source_space(4).n_sources // 2
    estimate = mne.SourceEstimate(
        batch.field(k, ico=4),
        [np.arange(half), np.arange(half)],
        float(session.times[0]),
        1 / session.sfreq,
        "fsaverage",
    )
    estimate.save(path, verbose="error")


def _row(truth: Truth) -> dict[str, Any]:
    return {
        "n_sources": truth.count,
        "snr_db": round(truth.snr_db, 2) if np.isfinite(truth.snr_db) else "n/a",
        "active": ";".join(truth.active) or "n/a",
    }


def _check_single(batch: Batch) -> None:
    if batch.session.n_trials > 1:
        raise InputError(
            f"cases of {batch.spec.name!r} are averages of {batch.session.n_trials} trials; export "
            "them as 'evoked', or set n_trials = 1"
        )


def _letters(name: str) -> str:
    """BIDS labels have letters and digits alone."""
    return "".join(part for part in name if part.isalnum())


def _plain(value: Any) -> Any:
    """What JSON can hold; numbers that are not finite as text."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float | bool | None):
        return value
    return _plain(vars(value))
