"""Usual sets of electrodes, where a cap's plan puts them on the template."""

from __future__ import annotations

from functools import cache

import numpy as np

from bayesesi.errors import InputError, some
from bayesesi.forward.bank import template_bank
from bayesesi.forward.electrodes import nominal_positions, place_electrodes
from bayesesi.forward.sensors import Sensors

_EEG19 = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
# The 10-10 places of DeepSIF's cap; AFpz, I1 and I2 stand in for Nz, TP11 and TP12, which lie
# where the template has no scalp for them.
_EEG75 = (
    "Fp1 F7 T7 T9 P7 O1 F3 C3 P3 Fpz Fz Cz Pz Fp2 F8 T8 T10 P8 O2 F4 C4 P4 AFpz Iz F9 F10 I1 I2 P9 "
    "P10 Oz FT9 TP9 FT7 TP7 AF7 F5 FC5 C5 CP5 P5 PO7 AF3 FC3 CP3 PO3 F1 FC1 C1 CP1 P1 AFz FCz CPz "
    "POz F2 FC2 C2 CP2 P2 AF4 FC4 CP4 PO4 AF8 F6 FC6 C6 CP6 P6 PO8 FT8 TP8 FT10 TP10"
).split()

#: Family -> names of the 10-05 system, or a montage of MNE's.
_PLANS: dict[str, list[str] | str] = {
    "eeg19": _EEG19,
    "eeg21": [*_EEG19, "Fpz", "Oz"],
    "eeg32": "biosemi32",
    "eeg64": "biosemi64",
    "eeg75": _EEG75,
    "eeg128": "GSN-HydroCel-128",
    "eeg256": "GSN-HydroCel-256",
}
MONTAGES = tuple(_PLANS)


@cache
def montage_sensors(family: str) -> Sensors:
    """Place the electrodes of ``family``, one of ``MONTAGES``, on the template's scalp, by plan.

    Raises
    ------
    InputError : a family that does not exist.
    """
    import mne

    if family not in _PLANS:
        raise InputError(f"montage is one of {', '.join(MONTAGES)}, not {some([family])}")
    plan = _PLANS[family]
    if isinstance(plan, str):
        montage = mne.channels.make_standard_montage(plan)
        info = mne.create_info(montage.ch_names, 1000.0, "eeg").set_montage(montage)
    else:
        known = nominal_positions(plan)
        assert len(known) == len(plan), set(plan) - set(known)
        info = mne.create_info(plan, 1000.0, "eeg")
    sensors, _ = place_electrodes(info, template_bank().scalp)
    return Sensors(sensors.names, sensors.kinds, np.asarray(sensors.positions), "nominal")
