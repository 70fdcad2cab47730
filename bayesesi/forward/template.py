"""A forward model for anybody: the template head under the recording's own electrodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesesi.deprecated import renamed
from bayesesi.errors import InputError
from bayesesi.forward.bank import LeadfieldBank, template_bank
from bayesesi.forward.electrodes import place_electrodes
from bayesesi.forward.head_setting import HeadSetting
from bayesesi.forward.operator import BankedHead, ForwardOperator

if TYPE_CHECKING:
    import mne


@renamed(level="ico")
def template_forward(
    info: mne.Info,
    setting: HeadSetting | None = None,
    ico: int = 4,
    source_space: str = "cortex",
    bank: LeadfieldBank | None = None,
) -> ForwardOperator:
    """Compute the template head's leadfield for the EEG channels of a recording.

    Parameters
    ----------
    info : of any MNE recording. Positions are taken from it, else by channel name from the 10-05
        system; ``forward.sensors.origin`` says which.
    setting : head shape, conductivities (S/m), skull thickness; the template's by default.
    ico : icosahedral level of the cortex: 4 gives 5,124 fixed sources.
    source_space : ``"cortex"`` (fixed along the normals) or ``"volume"`` (free, about 3,000).
    bank : another bank than the one that ships.

    Returns
    -------
    ForwardOperator with (C, S) or (C, S, 3) V/(A m), average reference.

    Raises
    ------
    InputError : see ``place_electrodes``; OutsideRangeError for a head the bank does not hold.
    """
    bank, setting = bank or template_bank(), setting or HeadSetting()
    if source_space not in ("cortex", "volume"):
        raise InputError(f"source_space is 'cortex' or 'volume', not {source_space!r}")
    sensors, alignment = place_electrodes(info, bank.scalp)
    # nobody measured a head where electrodes are nominal
    size = 1 / alignment.scale if sensors.origin == "measured" else 1.0
    provenance = {
        "forward": "template",
        "head": f"fsaverage, 4-shell BEM, shape {setting.shape}",
        "conductivities_S_per_m": vars(setting.conductivities),
        "skull_thickness_factor": setting.skull_thickness,
        "electrodes": sensors.origin,
        "head_size_over_template": round(size, 4),
        "electrode_to_scalp_mm": round(float(np.median(alignment.distance)) * 1e3, 2),
    }
    within = ico if source_space == "cortex" else None
    banked = BankedHead(bank, setting, sensors.positions, within, size)
    return ForwardOperator(
        banked.leadfield(setting),
        bank.source_space(setting.shape, within),
        sensors=sensors,
        banked=banked,
        provenance=provenance,
    )
