"""Convert an observation for MNE: magnetometers with noise of covariance I, v~ = L~ j + e.

So fixed, loose and free sources of any recording, on a cortex or in a volume, are the same to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator
from bayesesi.observation import Observation

if TYPE_CHECKING:
    import mne

#: MNE's exponent of its depth weighting.
DEPTH = 0.8


@dataclass(frozen=True, eq=False)
class WhitenedProblem:
    """Hold what MNE's inverses take, and the way back.

    Attributes
    ----------
    evoked : n_eff channels by R "samples", the functions of time. forward : MNE's.
    noise : I. loose : MNE's, 0 to 1, 0 for fixed sources.
    axes : (S, 3, 3) from the axes of ``forward`` to those of the head, or None for fixed sources.
    """

    evoked: mne.EvokedArray
    forward: mne.Forward
    noise: mne.Covariance
    loose: float
    axes: NDArray[np.float64] | None

    @property
    def rank(self) -> dict[str, int]:
        return {"mag": len(self.evoked.ch_names)}

    @property
    def pick_ori(self) -> str | None:
        """``"vector"`` where sources have three axes."""
        return None if self.axes is None else "vector"

    def to_head(
        self, moments: NDArray[np.floating], sources: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Place the moments of some sources among all: (S[, 3], R) in head axes, else zero.

        Parameters
        ----------
        moments : (K[, 3], R) along the axes of ``forward``, A m or a statistic.
        sources : (K,) their indices.
        """
        shape = (self.forward["nsource"], *(() if self.axes is None else (3,)))
        out = np.zeros((*shape, len(self.evoked.times)))
        if self.axes is not None and len(sources):
            moments = np.einsum("skj,sjr->skr", self.axes[sources], moments)
        if len(sources):
            out[sources] = moments
        return out


def whitened_problem(obs: Observation) -> WhitenedProblem:
    """Convert an observation.

    Parameters
    ----------
    obs : of which v~ = L~ j + e is taken.

    Raises
    ------
    InputError : loose sources without normals.
    """
    import mne

    leadfield, loose, axes = surface_axes(obs.forward, np.asarray(obs.leadfield, float))
    info = mne_info(obs.n_eff)
    return WhitenedProblem(
        mne.EvokedArray(np.asarray(obs.values, float), info, nave=1, verbose="error"),
        mne_forward(leadfield, obs.source_space.positions),
        mne.Covariance(np.eye(obs.n_eff), channel_names(obs.n_eff), [], [], nfree=1),
        loose,
        axes,
    )


def surface_axes(
    forward: ForwardOperator, leadfield: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64] | None]:
    """Turn a leadfield to surface axes: (n, F) for MNE, its ``loose``, and axes (S, 3, 3).

    Columns of the axes are two tangents and the normal; None for fixed sources.

    Parameters
    ----------
    forward : whose normals and ``loose`` are used. leadfield : (n, S[, 3]), whitened.

    Raises
    ------
    InputError : loose sources without normals.
    """
    if leadfield.ndim == 2:
        return leadfield, 0.0, None
    n, normals = leadfield.shape[1], forward.source_space.normals
    axes = np.tile(np.eye(3), (n, 1, 1))
    if forward.loose < 1:
        if normals is None:
            raise InputError(
                "loose sources need normals, and these have none; give SourceSpace(positions, "
                "normals), or free sources with forward.with_loose(1.0)"
            )
        axes = np.linalg.svd(normals[:, :, None])[0][:, :, [1, 2, 0]]
    turned = np.einsum("csk,skj->csj", leadfield, axes)
    return turned.reshape(len(leadfield), -1), forward.loose, axes


def channel_names(n: int) -> list[str]:
    """Name whitened components as channels.

    Parameters
    ----------
    n : number of channels.
    """
    return [f"white {i}" for i in range(n)]


def mne_info(n: int) -> Any:
    """Describe n magnetometers: EEG channels would need a reference, which is whitened away.

    Parameters
    ----------
    n : number of channels.
    """
    import mne

    return mne.create_info(channel_names(n), 1000.0, "mag")


def mne_forward(leadfield: NDArray[np.float64], positions: NDArray[np.float64]) -> mne.Forward:
    """Make a forward of discrete sources, for which MNE needs no surface.

    Parameters
    ----------
    leadfield : (n, S) of fixed sources or (n, 3 S), whitened. positions : (S, 3) m.
    """
    import mne
    from mne._fiff.constants import FIFF

    n = len(positions)
    fixed = leadfield.shape[1] == n
    names = channel_names(len(leadfield))
    normals = np.tile([0.0, 0.0, 1.0], (n, 1)) if fixed else np.tile(np.eye(3), (n, 1))
    source = dict(
        type="discrete",
        id=FIFF.FIFFV_MNE_SURF_UNKNOWN,
        coord_frame=FIFF.FIFFV_COORD_HEAD,
        subject_his_id=None,
        rr=positions,
        nn=np.tile([0.0, 0.0, 1.0], (n, 1)),
        np=n,
        inuse=np.ones(n, int),
        nuse=n,
        vertno=np.arange(n),
        dist=None,
        nearest=None,
        pinfo=None,
        patch_inds=None,
    )
    orientation = FIFF.FIFFV_MNE_FIXED_ORI if fixed else FIFF.FIFFV_MNE_FREE_ORI
    return mne.Forward(
        sol=dict(
            data=leadfield,
            row_names=names,
            col_names=[str(i) for i in range(leadfield.shape[1])],
            nrow=len(names),
            ncol=leadfield.shape[1],
        ),
        _orig_sol=leadfield,
        sol_grad=None,
        source_ori=orientation,
        _orig_source_ori=orientation,
        surf_ori=True,
        source_rr=positions,
        source_nn=normals,
        nsource=n,
        nchan=len(names),
        coord_frame=FIFF.FIFFV_COORD_HEAD,
        src=mne.SourceSpaces([source], dict(working_dir=".", command_line="")),
        info=mne_info(len(names)),
        mri_head_t=mne.transforms.Transform("mri", "head"),
    )
