"""Linear inverses of MNE-Python, computed by it on the data that every other method is given.

The whitened components of an observation stand for channels whose noise has the covariance I, so
that fixed, loose and free sources of any recording, on a cortex or in a volume, are the same to
MNE: v~ = L~ j + e. The linear ones are here: minimum norm (Hamalainen & Ilmoniemi 1994,
doi:10.1007/BF02512476), dSPM (Dale et al. 2000, doi:10.1016/S0896-6273(00)81138-1), sLORETA
(Pascual-Marqui 2002) and eLORETA (Pascual-Marqui 2007, arXiv:0710.3341).

lambda2 is MNE's: its source covariance R is scaled to tr(L~ R L~') = n_eff, so that lambda2 is the
power of the noise over that of the signal.

``BASELINES`` lists them with the others: ``adaptive`` and ``dipole_fit``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesesi.benchmark import adaptive
from bayesesi.benchmark.dipole_fit import dipole_map
from bayesesi.benchmark.mne_problem import (
    DEPTH,
    channel_names,
    mne_forward,
    mne_info,
    surface_axes,
)
from bayesesi.errors import InputError, some
from bayesesi.metrics.peaks import peak_error
from bayesesi.observation import Observation

if TYPE_CHECKING:
    import mne

Method = Literal["MNE", "dSPM", "sLORETA", "eLORETA"]
METHODS: tuple[Method, ...] = get_args(Method)
#: Where lambda2 is looked for: signal over noise from +20 to -30 dB of power. Under an unknown head
#: the best is far above the noise's share; beyond the end maps no longer change.
LAMBDA2_GRID: tuple[float, ...] = tuple(10.0 ** np.linspace(-2, 3, 11))
#: The least power of a signal over that of the noise that the rule of the data believes in.
_FAINTEST = 0.05
#: MNE stops eLORETA after 20 steps, which is too few at weak regularisation.
_ELORETA = {"max_iter": 200}


@dataclass(frozen=True, eq=False)
class LinearInverse:
    """Hold MNE's inverse operator of one whitened leadfield, prepared once for every lambda2.

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
        """Compute what MNE makes of unit data, (S, n_eff), or (S, 3, n_eff) in head axes.

        Raises InputError for an unknown method, a lambda2 that is not positive.

        Parameters
        ----------
        method : one of ``METHODS``. lambda2 : ratio of powers, noise over signal, above 0.
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

        unit = mne.EvokedArray(np.eye(self.n_eff), mne_info(self.n_eff), nave=1, verbose="error")
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
    """Make MNE's inverse operator of an observation's whitened leadfield.

    Parameters
    ----------
    obs : whose leadfield is used. depth : exponent of MNE's depth weighting, None for none; the
        weights of eLORETA itself replace it.
    """
    import mne

    leadfield, loose, axes = surface_axes(obs.forward, np.asarray(obs.leadfield, float))
    operator = mne.minimum_norm.make_inverse_operator(
        mne_info(obs.n_eff),
        mne_forward(leadfield, obs.source_space.positions),
        mne.Covariance(np.eye(obs.n_eff), channel_names(obs.n_eff), [], [], nfree=1),
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
    """Estimate (S, R) moments in A m (``"MNE"``, ``"eLORETA"``) or the statistic, without a unit.

    Signed for fixed sources, the norm over axes for loose and free ones. Raises what ``prepare``
    and ``LinearInverse.kernel`` raise, and InputError for an inverse of other data.

    Parameters
    ----------
    obs : the data. method : one of ``METHODS``. lambda2 : ratio of powers, noise over signal;
        ``snr_lambda2(obs)`` if not given. inverse : ``prepare(obs)`` kept from before.
    """
    moments = _moments(obs, method, lambda2, inverse)
    return moments if moments.ndim == 2 else np.linalg.norm(moments, axis=1)


def power_map(
    obs: Observation,
    method: Method = "sLORETA",
    lambda2: float | None = None,
    inverse: LinearInverse | None = None,
) -> NDArray[np.float64]:
    """Sum the squares of the estimate over axes and over the samples of the window, (S,).

    Parameters
    ----------
    obs, method, inverse : see ``estimate``. lambda2 : ratio of powers, noise over signal.
    """
    moments = _moments(obs, method, lambda2, inverse)
    split = moments.reshape(len(moments), -1, obs.n_functions)
    functions = obs.time_basis.functions
    gram = functions.T @ functions
    return np.asarray(np.einsum("sir,rq,siq->s", split, gram, split, optimize=True))


def snr_lambda2(obs: Observation) -> float:
    """Compute 1 / SNR², noise over signal power by the data, since v~ has the mean power 1 + SNR².

    Parameters
    ----------
    obs : whose whitened data are used.
    """
    return float(1 / max((obs.values**2).mean() - 1, _FAINTEST))


def peak_errors(
    cases: Iterable[tuple[Observation, NDArray[np.float64]]],
    method: Method = "sLORETA",
    grid: Sequence[float] = LAMBDA2_GRID,
    depth: float | None = DEPTH,
) -> NDArray[np.float64]:
    """Measure (n, G) mm from each case's truth to the peak of its power map at each lambda2.

    Observations that share one leadfield array share one inverse operator.

    Parameters
    ----------
    cases : n observations with their true centres (K, 3) m. method : one of ``METHODS``.
    grid : G ratios of powers. depth : exponent of MNE's depth weighting, None for none.

    Raises
    ------
    InputError : no cases, an empty grid.
    """
    rows, held, inverse = [], None, None
    for obs, truth in cases:
        if inverse is None or obs.leadfield is not held:
            held, inverse = obs.leadfield, prepare(obs, depth)
        where = obs.source_space.positions
        maps = [power_map(obs, method, lambda2, inverse) for lambda2 in grid]
        rows.append([peak_error(values, where, truth) for values in maps])
    if not rows or not len(grid):
        raise InputError("lambda2 is chosen from a grid on cases; give at least one of each")
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


@dataclass(frozen=True)
class Baseline:
    """Hold a classic as a harness calls it: ``baseline(obs)`` by its rule, or with a setting.

    Attributes
    ----------
    solve : of an observation, and a setting or None, (S[, 3], R): moments in A m or a statistic,
        signed, in head axes where sources have three.
    setting, rule : what regularises it, and its default.
    grid : settings, each a number as ``setting`` says, to choose from on separate cases, the
        strongest regularisation last; of shape (0,) where there is nothing to choose.
    least : number of functions of time that it needs.
    """

    solve: Callable[[Observation, float | None], NDArray[np.float64]]
    setting: str
    rule: str
    grid: tuple[float, ...] = ()
    least: int = 1

    def __call__(self, obs: Observation, setting: float | None = None) -> NDArray[np.float64]:
        """Estimate (S[, 3], R).

        Parameters
        ----------
        obs : the data. setting : a scalar as ``Baseline.setting`` says; None for the rule.

        Raises
        ------
        InputError : too few time functions, a setting that is not allowed.
        """
        return self.solve(obs, setting)

    def power(self, obs: Observation, setting: float | None = None) -> NDArray[np.float64]:
        """Estimate the (S,) power, see ``power_of``.

        Parameters
        ----------
        obs : the data. setting : a scalar as ``Baseline.setting`` says; None for the rule.
        """
        return power_of(obs, self(obs, setting))


def power_of(obs: Observation, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum squares of moments over axes and over the samples of the window, (S,).

    Parameters
    ----------
    obs : whose time functions are used. moments : (S[, 3], R) A m or a statistic.
    """
    course = moments.reshape(len(moments), -1, obs.n_functions) @ obs.time_basis.functions.T
    return np.asarray((course**2).sum(axis=(1, 2)))


def _linear(method: Method) -> Baseline:
    def solve(obs: Observation, lambda2: float | None) -> NDArray[np.float64]:
        return _moments(obs, method, lambda2, None)

    return Baseline(solve, "lambda2", "1 / SNR² by the data's own power", LAMBDA2_GRID)


def _or(
    solve: Callable[..., NDArray[np.float64]], obs: Observation, setting: float | None
) -> NDArray[np.float64]:
    return solve(obs) if setting is None else solve(obs, setting)


def _music(obs: Observation, n_dipoles: float | None) -> NDArray[np.float64]:
    """No more dipoles than functions of time."""
    count = None if n_dipoles is None else min(int(n_dipoles), obs.n_functions)
    return adaptive.rap_music(obs, count)


def _dipole(obs: Observation, setting: float | None) -> NDArray[np.float64]:
    if setting is not None:
        raise InputError("a dipole fit has nothing to regularise; call it without a setting")
    return dipole_map(obs)


_SURE = "of 15 from 10 to 100 %, the least risk by Stein's estimate for noise of variance 1"
_ALPHAS = tuple(float(alpha) for alpha in range(10, 100, 10))
#: Every classic, by name.
BASELINES: dict[str, Baseline] = {
    **{method: _linear(method) for method in METHODS},
    "LCMV": Baseline(
        partial(_or, adaptive.lcmv),
        "loading of the data's covariance, over the mean power of a channel",
        "MNE's .05",
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
        least=2,
    ),
    "gamma-MAP": Baseline(
        partial(_or, adaptive.gamma_map),
        "alpha, the variance of whitened noise",
        "1, by whitening",
        (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    ),
    "MxNE": Baseline(
        partial(_or, adaptive.mixed_norm), "alpha, % of that without a source", _SURE, _ALPHAS
    ),
    "irMxNE": Baseline(
        partial(_or, adaptive.reweighted_mixed_norm),
        "alpha, % of that without a source",
        _SURE,
        _ALPHAS,
    ),
    "RAP-MUSIC": Baseline(
        _music,
        "number of dipoles",
        "eigenvalues above those of noise, (1 + sqrt(n_eff / R))²; 1 to 5",
        (5.0, 3.0, 2.0, 1.0),
    ),
    "dipole fit": Baseline(_dipole, "none", "one dipole, at the sample of most field power"),
}


def setting_errors(
    cases: Iterable[tuple[Observation, NDArray[np.float64]]],
    name: str,
    grid: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """Measure (n, G) mm from the truth to the peak of each case's power map at each setting.

    A map of zeros counts as a guess: the mean distance of all sources. See ``peak_errors``.

    Parameters
    ----------
    cases : n observations with their true centres (K, 3) m. name : one of ``BASELINES``.
    grid : (G,) settings; the baseline's own if None.

    Raises
    ------
    InputError : no baseline of that name, none to choose from, no cases.
    """
    if name not in BASELINES:
        raise InputError(f"a baseline is one of {', '.join(BASELINES)}, not {some([name])}")
    settings = BASELINES[name].grid if grid is None else grid
    if name in METHODS:
        return peak_errors(cases, name, settings)
    rows = [
        [_error_or_guess(BASELINES[name].power(obs, float(s)), obs, truth) for s in settings]
        for obs, truth in cases
    ]
    if not rows or not len(settings):
        raise InputError(
            "a setting is chosen on cases and from a grid; give at least one of each (a dipole fit "
            "has nothing to choose)"
        )
    return np.array(rows)


def best_setting(
    cases: Iterable[tuple[Observation, NDArray[np.float64]]],
    name: str,
    grid: Sequence[float] | None = None,
) -> float:
    """Choose the setting whose power maps peak nearest to the truth, on average over cases.

    Equal ones: the last, the strongest. The baseline must not be judged by these cases later.
    Raises what ``setting_errors`` raises.

    Parameters
    ----------
    cases : with true centres (K, 3) m. name, grid : (G,) settings, see ``setting_errors``.
    """
    settings = np.asarray(BASELINES[name].grid if grid is None else grid, float)
    mean = setting_errors(cases, name, grid).mean(axis=0)
    return float(settings[np.flatnonzero(mean == mean.min())[-1]])


def _error_or_guess(
    power: NDArray[np.float64], obs: Observation, truth: NDArray[np.float64]
) -> float:
    where = obs.source_space.positions
    if power.any():
        return peak_error(power, where, truth)
    apart = np.linalg.norm(where[:, None] - np.atleast_2d(truth), axis=2).min(axis=1)
    return float(1e3 * apart.mean())
