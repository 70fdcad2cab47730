"""The linear inverses of MNE-Python, computed by it on what every other method here is given.

The whitened components of an observation stand for channels whose noise has the covariance I, so
that fixed, loose and free sources of any recording, on a cortex or in a volume, are the same to
MNE: v~ = L~ j + e. Minimum norm (Hamalainen & Ilmoniemi 1994, doi:10.1007/BF02512476), dSPM (Dale
et al. 2000, doi:10.1016/S0896-6273(00)81138-1), sLORETA (Pascual-Marqui 2002) and eLORETA
(Pascual-Marqui 2007, arXiv:0710.3341).

lambda2 is MNE's: its source covariance R is scaled to tr(L~ R L~') = n_eff, so that lambda2 is the
power of the noise over that of the signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesesi.benchmark.metrics import peak_error
from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.observation import Observation

if TYPE_CHECKING:
    import mne

Method = Literal["MNE", "dSPM", "sLORETA", "eLORETA"]
METHODS: tuple[Method, ...] = get_args(Method)
#: MNE's exponent of its depth weighting.
DEPTH = 0.8
#: Where lambda2 is looked for: signal over noise from +20 to -30 dB of power. Under an unknown head
#: the best is far above the noise's share; beyond the end maps no longer change.
LAMBDA2_GRID: tuple[float, ...] = tuple(10.0 ** np.linspace(-2, 3, 11))
#: The least power of a signal over that of the noise that the rule of the data believes in.
_FAINTEST = 0.05
#: MNE stops eLORETA after 20 steps, which is too few at weak regularisation.
_ELORETA = {"max_iter": 200}


@dataclass(frozen=True, eq=False)
class LinearInverse:
    """MNE's inverse operator of one whitened leadfield, prepared once for every lambda2.

    Attributes
    ----------
    operator : of ``n_eff`` channels in MNE's sense.
    axes : (S, 3, 3) from the axes it was made in to those of the head, or None for fixed sources.
    """

    operator: mne.minimum_norm.InverseOperator
    n_eff: int
    axes: NDArray[np.float64] | None
    _kernels: dict[tuple[str, float], NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def kernel(self, method: Method = "sLORETA", lambda2: float = 1 / 9) -> NDArray[np.float64]:
        """(S, n_eff), or (S, 3, n_eff) in head axes: what MNE makes of unit data.

        Raises
        ------
        InputError : an unknown method, a lambda2 that is not positive.
        """
        if method not in METHODS:
            raise InputError(f"method is one of {', '.join(METHODS)}, not {some([method])}")
        if not (np.isfinite(lambda2) and lambda2 > 0):
            raise InputError(f"lambda2 is a positive ratio of powers, not {lambda2!r}")
        key = (method, float(lambda2))
        if key not in self._kernels:
            self._kernels[key] = self._applied(method, float(lambda2))
        return self._kernels[key]

    def _applied(self, method: Method, lambda2: float) -> NDArray[np.float64]:
        import mne

        unit = mne.EvokedArray(np.eye(self.n_eff), _info(self.n_eff), nave=1, verbose="error")
        found = mne.minimum_norm.apply_inverse(
            unit,
            self.operator,
            lambda2,
            method,
            pick_ori=None if self.axes is None else "vector",
            method_params=_ELORETA if method == "eLORETA" else None,
            verbose="error",
        ).data
        if self.axes is None:
            return np.asarray(found)
        return np.asarray(np.einsum("skj,sjc->skc", self.axes, found))


def prepare(obs: Observation, depth: float | None = DEPTH) -> LinearInverse:
    """MNE's inverse operator of an observation's whitened leadfield.

    Parameters
    ----------
    depth : exponent of MNE's depth weighting, None for none; eLORETA's own weights replace it.
    """
    import mne

    leadfield, loose, axes = _surface_axes(obs.forward, np.asarray(obs.leadfield, float))
    operator = mne.minimum_norm.make_inverse_operator(
        _info(obs.n_eff),
        _forward(leadfield, obs.source_space.positions),
        mne.Covariance(np.eye(obs.n_eff), _names(obs.n_eff), [], [], nfree=1),
        loose=loose,
        depth={"exp": depth, "allow_fixed_depth": True},
        rank={"mag": obs.n_eff},
        use_cps=False,
        verbose="error",
    )
    return LinearInverse(operator, obs.n_eff, axes)


def estimate(
    obs: Observation,
    method: Method = "sLORETA",
    lambda2: float | None = None,
    inverse: LinearInverse | None = None,
) -> NDArray[np.float64]:
    """(S, R): moments in A m (``"MNE"``, ``"eLORETA"``) or the statistic, without a unit.

    Signed for fixed sources, the norm over axes for loose and free ones.

    Parameters
    ----------
    lambda2 : ``snr_lambda2(obs)`` if not given. inverse : ``prepare(obs)`` kept from before.
    """
    moments = _moments(obs, method, lambda2, inverse)
    return moments if moments.ndim == 2 else np.linalg.norm(moments, axis=1)


def power_map(
    obs: Observation,
    method: Method = "sLORETA",
    lambda2: float | None = None,
    inverse: LinearInverse | None = None,
) -> NDArray[np.float64]:
    """(S,): squares of the estimate summed over axes and over the samples of the window."""
    moments = _moments(obs, method, lambda2, inverse)
    split = moments.reshape(len(moments), -1, obs.n_functions)
    functions = obs.time_basis.functions
    gram = functions.T @ functions
    return np.asarray(np.einsum("sir,rq,siq->s", split, gram, split, optimize=True))


def snr_lambda2(obs: Observation) -> float:
    """1 / SNR²: noise over signal power by the data, since v~ has the mean power 1 + SNR²."""
    return float(1 / max((obs.values**2).mean() - 1, _FAINTEST))


def best_lambda(
    cases: Iterable[tuple[Observation, NDArray[np.float64]]],
    method: Method = "sLORETA",
    grid: Sequence[float] = LAMBDA2_GRID,
    depth: float | None = DEPTH,
) -> float:
    """The lambda2 of a grid whose power maps peak nearest to the truth, on average over cases.

    ``cases`` are observations with their true centres (K, 3) in m, none of them a case that the
    method is later judged by. Of equal ones the largest lambda2, the smoothest map.

    Raises
    ------
    InputError : no cases, an empty grid.
    """
    errors = peak_errors(cases, method, grid, depth)
    mean = errors.mean(axis=0)
    return float(max(np.asarray(grid, float)[mean == mean.min()]))


def peak_errors(
    cases: Iterable[tuple[Observation, NDArray[np.float64]]],
    method: Method = "sLORETA",
    grid: Sequence[float] = LAMBDA2_GRID,
    depth: float | None = DEPTH,
) -> NDArray[np.float64]:
    """(n, G) mm: how far each case's power map peaks from its truth at each lambda2 of a grid.

    Observations that share one leadfield array share one inverse operator.
    """
    rows, held, inverse = [], None, None
    for obs, truth in cases:
        if inverse is None or obs.leadfield is not held:
            held, inverse = obs.leadfield, prepare(obs, depth)
        where = obs.source_space.positions
        maps = [power_map(obs, method, lambda2, inverse) for lambda2 in grid]
        rows.append([peak_error(values, where, truth) for values in maps])
    if not rows or not len(grid):
        raise InputError("lambda2 is chosen on cases and from a grid; give at least one of each")
    return np.array(rows)


def _moments(
    obs: Observation, method: Method, lambda2: float | None, inverse: LinearInverse | None
) -> NDArray[np.float64]:
    """(S[, 3], R)."""
    inverse = inverse or prepare(obs)
    if inverse.n_eff != obs.n_eff:
        raise InputError(
            f"the inverse was prepared for {inverse.n_eff} whitened components, the observation "
            f"has {obs.n_eff}; call prepare(obs)"
        )
    return inverse.kernel(method, snr_lambda2(obs) if lambda2 is None else lambda2) @ obs.values


def _surface_axes(
    forward: ForwardOperator, leadfield: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64] | None]:
    """(n, F) for MNE, its ``loose``, and axes (S, 3, 3) whose columns are two tangents and n."""
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


def _names(n: int) -> list[str]:
    return [f"white {i}" for i in range(n)]


def _info(n: int) -> Any:
    """Magnetometers: of EEG channels MNE would ask for a reference, which is whitened away."""
    import mne

    return mne.create_info(_names(n), 1000.0, "mag")


def _forward(leadfield: NDArray[np.float64], positions: NDArray[np.float64]) -> mne.Forward:
    """(n, S) fixed or (n, 3 S): discrete sources, which MNE asks for no surface."""
    import mne
    from mne._fiff.constants import FIFF

    n = len(positions)
    fixed = leadfield.shape[1] == n
    names = _names(len(leadfield))
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
        info=_info(len(names)),
        mri_head_t=mne.transforms.Transform("mri", "head"),
    )
