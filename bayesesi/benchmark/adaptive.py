"""Data-dependent inverses of MNE-Python: beamformer, sparse estimates, MUSIC.

All are computed by MNE on the whitened components of an observation, as the linear ones are, and
give (S[, 3], R): signed moments of fixed sources, or those along the axes of the head. Sparse ones
are zero but at the sources they find, and everywhere if they find none.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.benchmark.mne_problem import DEPTH, channel_names, whitened_problem
from bayesesi.errors import InputError
from bayesesi.observation import Observation

#: Reweightings of irMxNE, as in MNE's examples.
_REWEIGHTED = 10
#: How MNE says that it found no source.
_NOTHING = "No active dipoles"
#: Of the power that the sensors see of a source's best axis: less is none.
_SILENT = 1e-10
#: Dipoles that MNE's MUSIC looks for if nobody says.
_MOST_DIPOLES = 5


def lcmv(obs: Observation, reg: float = 0.05) -> NDArray[np.float64]:
    """Estimate by linearly constrained minimum variance, over what noise makes of it: (S[, 3], R).

    w_s = C^-1 l_s / |C^-1 l_s| with C = V V' / R + reg tr(V V' / R) / n_eff I (Van Veen et al.
    1997, doi:10.1109/10.623056; Sekihara & Nagarajan 2008): of three axes the square root of their
    matrix, loose ones as if free. With R < n_eff functions C is singular but for ``reg``.

    Parameters
    ----------
    obs : with two functions of time or more. reg : share of the mean power of a channel, above 0.

    Raises
    ------
    InputError : one function of time only, a ``reg`` that is not positive.
    """
    import mne

    if obs.n_functions < 2:
        raise InputError(
            "a beamformer takes the covariance of the data from several time functions, and "
            "this observation has one: observe a longer window, or scan with rap_music"
        )
    reg = _positive(reg, "reg, a share of the mean power of a channel,")
    problem = whitened_problem(obs)
    seen = obs.values @ obs.values.T / obs.n_functions
    data = mne.Covariance(seen, channel_names(obs.n_eff), [], [], nfree=obs.n_functions)
    filters = mne.beamformer.make_lcmv(
        problem.evoked.info,
        problem.forward,
        data,
        reg,
        problem.noise,
        pick_ori=problem.pick_ori,
        rank=problem.rank,
        reduce_rank=_has_silent_axes(obs),
        verbose="error",
    )
    found = mne.beamformer.apply_lcmv(problem.evoked, filters, verbose="error")
    return problem.to_head(found.data, np.arange(len(found.data)))


def gamma_map(
    obs: Observation, alpha: float = 1.0, depth: float | None = DEPTH
) -> NDArray[np.float64]:
    """Estimate the mean, A m, given the source variances that make the data most probable.

    v~ ~ N(0, L~ diag(gamma) L~' + alpha I), gamma by MacKay's steps, 10,000 at most (Wipf &
    Nagarajan 2009, doi:10.1016/j.neuroimage.2008.02.059). Of three axes MNE 1.13 divides MacKay's
    common gamma by 3, which is as if ``alpha`` were larger, and finds nothing more often.

    Parameters
    ----------
    obs : of which (S[, 3], R) is estimated. alpha : variance of the whitened noise, above 0: 1 by
        whitening, more where the head is not known.
    depth : exponent of MNE's depth weighting, None for none.

    Raises
    ------
    InputError : an ``alpha`` that is not positive.
    """

    return _sparse(
        "gamma_map", obs, _positive(alpha, "alpha, a variance of whitened noise,"), depth=depth
    )


def mixed_norm(
    obs: Observation,
    alpha: float | None = None,
    depth: float | None = DEPTH,
    reweighted: int = 1,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Estimate by MxNE, A m: the least |V - L J|² / 2 + alpha sum_s |J_s|, amplitudes fitted again.

    Gramfort et al. (2012, doi:10.1088/0031-9155/57/7/1937); with ``reweighted`` > 1 irMxNE, the
    penalty sum_s sqrt|J_s| (Strohmeier et al. 2016, doi:10.1109/TMI.2016.2553445).

    Parameters
    ----------
    obs : of which (S[, 3], R) is estimated.
    alpha : % of that which leaves no source, 0 to below 100. By default the one of 15 between 10
        and 100 whose risk is least by Stein's unbiased estimate for noise of variance 1
        (Deledalle et al. 2014), which draws from ``seed``.
    depth : exponent of MNE's depth weighting, None for none. reweighted : number of passes.

    Raises
    ------
    InputError : an ``alpha`` outside [0, 100).
    """
    if alpha is not None and not 0 <= alpha < 100:
        raise InputError(
            f"alpha is a percentage of that which leaves no source, 0 to below 100, not {alpha!r}"
        )
    return _sparse(
        "mixed_norm",
        obs,
        "sure" if alpha is None else float(alpha),
        depth=depth,
        n_mxne_iter=reweighted,
        rng=np.random.default_rng(seed),
    )


def reweighted_mixed_norm(
    obs: Observation, alpha: float | None = None, depth: float | None = DEPTH, seed: int = 0
) -> NDArray[np.float64]:
    """Estimate by irMxNE, A m: ``mixed_norm`` with ten reweightings.

    Parameters
    ----------
    obs : of which (S[, 3], R) is estimated. alpha : %, 0 to below 100, or chosen by ``seed``.
    depth : exponent of MNE's depth weighting, None for none.
    """
    return mixed_norm(obs, alpha, depth, _REWEIGHTED, seed)


def rap_music(obs: Observation, n_dipoles: int | None = None) -> NDArray[np.float64]:
    """Find dipoles, A m, whose topographies lie in the signal's subspace, one after another.

    Mosher & Leahy (1999, doi:10.1109/78.740118). The subspace is spanned by as many eigenvectors
    of V V' / R as dipoles are asked for; of one function of time it is the data themselves, and
    MUSIC a scan for the dipole that explains most.

    Parameters
    ----------
    obs : of which (S[, 3], R) is estimated.
    n_dipoles : 1 to R; ``signal_rank(obs)`` if not given.

    Raises
    ------
    InputError : fewer than one dipole, or more than functions of time.
    """
    import mne

    count = signal_rank(obs) if n_dipoles is None else int(n_dipoles)
    if not 1 <= count <= min(obs.n_functions, obs.n_eff):
        raise InputError(
            f"MUSIC finds one dipole to as many as there are time functions, here "
            f"{obs.n_functions}, not {count}; observe a longer window for more"
        )
    problem = whitened_problem(obs)
    dipoles = mne.beamformer.rap_music(
        problem.evoked, problem.forward, problem.noise, count, verbose="error"
    )
    where = obs.source_space.positions
    out = np.zeros_like(problem.to_head(np.zeros(0), np.zeros(0, int)))
    for dipole in dipoles:
        source = np.array([int(((where - dipole.pos[0]) ** 2).sum(axis=1).argmin())])
        along = dipole.ori[:, 2] if problem.axes is None else dipole.ori.T
        out += problem.to_head((dipole.amplitude * along)[None], source)
    return out


def signal_rank(obs: Observation) -> int:
    """Count eigenvalues of V V' / R above what noise alone has, (1 + sqrt(n_eff / R))².

    At least 1, at most 5 and R (Marchenko & Pastur 1967).

    Parameters
    ----------
    obs : whose whitened data V (n_eff, R) are counted on.
    """
    values = np.linalg.eigvalsh(obs.values.T @ obs.values) / obs.n_functions
    edge = (1 + np.sqrt(obs.n_eff / obs.n_functions)) ** 2
    return int(np.clip((values > edge).sum(), 1, min(_MOST_DIPOLES, obs.n_functions)))


def _sparse(
    name: str, obs: Observation, alpha: float | str, depth: float | None, **options: Any
) -> NDArray[np.float64]:
    """(S[, 3], R) of a function of ``mne.inverse_sparse``."""
    import mne

    problem = whitened_problem(obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # MNE says that it found nothing by an exception of no class, or warns and then breaks
        warnings.filterwarnings("error", _NOTHING)
        try:
            found = getattr(mne.inverse_sparse, name)(
                problem.evoked,
                problem.forward,
                problem.noise,
                alpha,
                loose=problem.loose,
                depth={"exp": depth, "allow_fixed_depth": True},
                rank=problem.rank,
                pick_ori=problem.pick_ori,
                verbose="warning",
                **options,
            )
        except Exception as error:
            if _NOTHING not in str(error):
                raise
            return problem.to_head(np.zeros(0), np.zeros(0, int))
    return problem.to_head(found.data, np.asarray(found.vertices[0], int))


def _has_silent_axes(obs: Observation) -> bool:
    """Whether some direction of a source is not seen at all, as a radial one in a sphere."""
    if obs.leadfield.ndim == 2:
        return False
    values = np.linalg.eigvalsh(np.einsum("csi,csj->sij", obs.leadfield, obs.leadfield))
    return bool((values[:, 0] <= _SILENT * values[:, 2]).any())


def _positive(value: float, what: str) -> float:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{what} is positive, not {value!r}")
    return float(value)
