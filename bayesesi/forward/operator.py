"""The linear map from dipoles to sensors, with the geometry it was computed for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError
from bayesesi.forward.bank import LeadfieldBank
from bayesesi.forward.head_setting import HeadSetting
from bayesesi.forward.sensors import Sensors

if TYPE_CHECKING:
    import mne


@dataclass(frozen=True, eq=False)
class BankedHead:
    """How to ask the bank for the same montage on another head.

    Attributes
    ----------
    bank : where heads come from. setting : the head that is assumed.
    electrodes : (C, 3) m on the template's scalp. ico : icosahedral level of the
        sources, None in the volume.
    scale : the subject's head over the template's, a ratio (potentials fall with its square).
    """

    bank: LeadfieldBank
    setting: HeadSetting
    electrodes: NDArray[np.float64]
    ico: int | None
    scale: float = 1.0

    def leadfield(
        self, setting: HeadSetting, electrodes: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """Compute (C, S), or (C, S, 3) in the volume, V/(A m) of another ``setting``.

        ``electrodes`` (C, 3) m, if given, sit there instead.
        """
        rows = self.electrode_modes(setting, electrodes)
        if self.ico is None:
            return np.asarray(rows @ self.bank.volume_modes, np.float32).reshape(len(rows), -1, 3)
        return np.asarray(rows @ self.bank.cortex_modes(self.ico), np.float32)

    def electrode_modes(
        self, setting: HeadSetting, electrodes: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """Compute (C, modes) V/(A m): what electrodes see of the bank's source modes.

        ``setting`` is the head; ``electrodes`` (C, 3) m, if given, sit there instead.
        """
        where = self.electrodes if electrodes is None else electrodes
        return self.bank.electrode_modes(setting, where) / np.float32(self.scale**2)

    def in_volume(self) -> BankedHead:
        """Return the same head for free sources in its volume."""
        return replace(self, ico=None)

    def pick(self, chosen: NDArray[np.int64]) -> BankedHead:
        """Keep the electrodes with indices ``chosen`` (n,)."""
        return replace(self, electrodes=self.electrodes[chosen])


@dataclass(frozen=True, eq=False)
class ForwardOperator:
    """v = L j: potentials (or fields) of unit dipoles.

    Parameters
    ----------
    leadfield : (C, S) V/(A m) along the source space's normals, or (C, S, 3) along x, y, z of the
        head frame; T/(A m) for magnetometers, T/(A m²) for gradiometers.
    source_space : where the S sources are.
    ch_names : C names (or give ``sensors``).
    loose : ratio of the variances of tangential and normal component that a prior should give
        free sources on a cortex; 1 for free ones.
    banked : handle to the bank the leadfield came from, or None: then the head can't be redrawn.
    provenance : what a methods section would say.

    Raises
    ------
    InputError : shapes that disagree, or values that are not finite.
    """

    leadfield: NDArray[np.floating]
    source_space: SourceSpace
    ch_names: Sequence[str] = ()
    sensors: Sensors | None = None
    loose: float = 1.0
    banked: BankedHead | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.source_space, SourceSpace):
            raise InputError(
                f"source_space is a SourceSpace, not {type(self.source_space).__name__}; make one "
                "of positions in m: bayesesi.anatomy.SourceSpace(positions, normals)"
            )
        object.__setattr__(self, "leadfield", np.asarray(self.leadfield))
        shape = self.leadfield.shape
        names = tuple(self.sensors.names if self.sensors is not None else self.ch_names)
        object.__setattr__(self, "ch_names", names)
        wanted = (len(names), self.source_space.n_sources)
        if shape[:2] != wanted or shape[2:] not in ((), (3,)):
            raise InputError(
                f"the leadfield has shape {shape}; for {wanted[0]} channels and {wanted[1]} "
                f"sources it must be {wanted} (fixed) or {(*wanted, 3)} (free orientation)"
            )
        if not np.isfinite(self.leadfield).all():
            raise InputError("the leadfield has values that are not finite; compute it again")
        if not 0 < self.loose <= 1:
            raise InputError(f"loose lies in (0, 1], not {self.loose:g}; use fixed() for 0")
        if self.sensors is None:
            nowhere = np.full((len(names), 3), np.nan)
            object.__setattr__(self, "sensors", Sensors(names, ("eeg",) * len(names), nowhere))

    @property
    def orientation(self) -> str:
        """``"fixed"``, ``"loose"`` or ``"free"``."""
        if self.leadfield.ndim == 2:
            return "fixed"
        return "loose" if self.loose < 1 else "free"

    @property
    def n_channels(self) -> int:
        return len(self.ch_names)

    @property
    def n_sources(self) -> int:
        return self.source_space.n_sources

    @property
    def matrix(self) -> NDArray[np.floating]:
        """(C, S) or (C, 3 S): components of a source side by side."""
        return self.leadfield.reshape(self.n_channels, -1)

    def __repr__(self) -> str:
        kinds = {k: self._sensors.kinds.count(k) for k in dict.fromkeys(self._sensors.kinds)}
        channels = ", ".join(f"{n} {k}" for k, n in kinds.items())
        return (
            f"<ForwardOperator | {channels} × {self.n_sources} {self.orientation} sources "
            f"({self.source_space.kind}), positions {self._sensors.origin}"
            f"{', head can be redrawn' if self.banked else ''}>"
        )

    @property
    def _sensors(self) -> Sensors:
        assert self.sensors is not None
        return self.sensors

    def pick(self, ch_names: Sequence[str]) -> ForwardOperator:
        """Keep the rows of the channels ``ch_names``, in this order.

        Raises
        ------
        InputError : naming those that are not here.
        """
        if tuple(ch_names) == self.ch_names:
            return self
        chosen = self._sensors.indices(ch_names)
        return replace(
            self,
            leadfield=self.leadfield[chosen],
            ch_names=tuple(ch_names),
            sensors=self._sensors.pick(ch_names),
            banked=None if self.banked is None else self.banked.pick(chosen),
        )

    def fixed(self) -> ForwardOperator:
        """Keep sources along the cortical normals only.

        Raises
        ------
        InputError : sources in a volume.
        """
        if self.leadfield.ndim == 2:
            return self
        if self.source_space.normals is None:
            raise InputError("sources in a volume have no normal to be fixed to; keep them free")
        along = np.einsum("csk,sk->cs", self.leadfield, self.source_space.normals)
        return replace(self, leadfield=along, loose=1.0)

    def in_volume(self) -> ForwardOperator:
        """Compute free sources in the volume of the same head.

        Raises
        ------
        InputError : a forward that came from no bank.
        """
        if self.banked is None:
            raise InputError("only a head of the bank has a volume; use template_forward(info)")
        banked = self.banked.in_volume()
        return replace(
            self,
            leadfield=banked.leadfield(banked.setting),
            source_space=banked.bank.source_space(banked.setting.shape, None),
            banked=banked,
        )

    def with_loose(self, loose: float) -> ForwardOperator:
        """Hold the tangential part of free sources to ``loose`` (0 to 1) of the normal's variance.

        Raises
        ------
        InputError : fixed sources.
        """
        if self.leadfield.ndim == 2:
            raise InputError("fixed sources have no tangential part; read the forward as free")
        return replace(self, loose=loose)

    def at_level(self, ico: int) -> ForwardOperator:
        """Keep the columns of a coarser level ``ico`` of the same cortex."""
        space = self.source_space.at_level(ico)
        columns = space.index_in(self.source_space)
        banked = None if self.banked is None else replace(self.banked, ico=ico)
        return replace(
            self, leadfield=self.leadfield[:, columns], source_space=space, banked=banked
        )

    @classmethod
    def from_mne(cls, forward: mne.Forward, name: str = "mne.Forward") -> ForwardOperator:
        """Convert any ``mne.Forward``: BEM or FEM, EEG and MEG, cortex or volume, fixed or free.

        ``name`` stands for ``forward`` in errors and in the provenance.

        Raises
        ------
        InputError : another frame than the head's, or sources that are no whole cortex and no
            volume.
        """
        from bayesesi.forward.mne_forward import operator_from_mne

        return operator_from_mne(forward, name)

    def to_mne(self) -> mne.Forward:
        """Convert to an ``mne.Forward`` (fixed, or free in head axes).

        Raises
        ------
        InputError : sensors without a position, MEG sensors, or fixed sources without normals.
        """
        from bayesesi.forward.mne_forward import operator_to_mne

        return operator_to_mne(self)


def read_forward(path: str | Path) -> ForwardOperator:
    """Read the ``-fwd.fif`` file at ``path``.

    Raises
    ------
    InputError : a missing file, one that is not FIF, or one without a forward solution.
    """
    from bayesesi.forward.mne_forward import read_mne_forward

    return ForwardOperator.from_mne(read_mne_forward(path), Path(path).name)
