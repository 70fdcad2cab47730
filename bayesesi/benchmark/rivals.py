"""Other Bayesian solvers: CaliBrain and SESAME, of the extra ``rivals``.

Both are shown the whitened components of an observation with the noise variance 1, which is theirs
by construction, and answer in A m. CaliBrain's Bayesian minimum norm and sFLEX gamma-MAP (package
``calibrain`` 1.0.3) are Gaussian; SESAME (Sommariva & Sorrentino 2014,
doi:10.1088/0266-5611/30/11/114020; hyperprior of Viani et al. 2021, package ``sesameeg`` 0.0.3) is
a weighted cloud of sets of dipoles, Gaussian given their places.

CaliBrain holds a dense covariance of all sources: keep to 1,284, as its paper does.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.metrics.peaks import neighbours
from bayesesi.observation import Observation

#: nA m: of the size that CaliBrain's starting values and thresholds are for.
_NANO = 1e-9
#: At most so many steps to the most probable variance, and the least, over noise's.
_STEPS, _FAINTEST = 10_000, 1e-9
#: SESAME's moves go this many spacings of the sources far, with a Gaussian of half of that.
_REACH = 2.0
#: What SESAME draws with and this does not: a display would be needed to import them.
_DRAWING = ("pyvista", "pyvistaqt")


@dataclass(frozen=True, eq=False)
class GaussianRival:
    """Hold N(mean, factor factor'), the same for every function of time.

    Attributes
    ----------
    mean : (S[, 3], R) A m. factor : (F, K) A m, F = S or 3 S.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    @property
    def sd(self) -> NDArray[np.float64]:
        """(S[, 3], R) A m."""
        sd = np.sqrt((self.factor**2).sum(axis=1)).reshape(self.mean.shape[:-1])
        return np.broadcast_to(sd[..., None], self.mean.shape)

    def draws(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw (n, S[, 3], R) A m.

        Parameters
        ----------
        n : number of draws. seed : of them.
        """
        white = np.random.default_rng(seed).standard_normal(
            (n, self.factor.shape[1], self.mean.shape[-1])
        )
        return self.mean + (self.factor @ white).reshape(n, *self.mean.shape)


@dataclass(frozen=True, eq=False)
class DipoleCloud:
    """Hold sum_p w_p N(mean_p, root_p root_p') of the moments at the sources of particle p, else 0.

    Attributes
    ----------
    weights : (P,), of sum 1.
    sources : P of (K,), indices.
    means, roots : P of (K A, R) and (K A, K A) A m; A = 1 or 3 axes of a source, side by side.
    shape : (S[, 3], R).
    """

    weights: NDArray[np.float64]
    sources: tuple[NDArray[np.int64], ...]
    means: tuple[NDArray[np.float64], ...]
    roots: tuple[NDArray[np.float64], ...]
    shape: tuple[int, ...]

    @property
    def mean(self) -> NDArray[np.float64]:
        """(S[, 3], R) A m."""
        return self._moment(lambda mean, root: mean)

    @property
    def sd(self) -> NDArray[np.float64]:
        """(S[, 3], R) A m."""
        square = self._moment(lambda mean, root: mean**2 + (root**2).sum(axis=1)[:, None])
        return np.sqrt(np.maximum(square - self.mean**2, 0))

    @property
    def probability(self) -> NDArray[np.float64]:
        """(S,) that a dipole is at a source: SESAME's map."""
        out = np.zeros(self.shape[0])
        for weight, sources in zip(self.weights, self.sources, strict=True):
            out[sources] += weight
        return out

    @property
    def counts(self) -> NDArray[np.float64]:
        """(K + 1,) probability of 0 to K dipoles."""
        counts = np.bincount([len(sources) for sources in self.sources], self.weights)
        return np.asarray(counts, float)

    def draws(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw (n, S[, 3], R) A m.

        Parameters
        ----------
        n : number of draws. seed : of them.
        """
        rng, out = np.random.default_rng(seed), np.zeros((n, *self.shape))
        for field, p in zip(out, rng.choice(len(self.weights), n, p=self.weights), strict=True):
            mean = self.means[p]
            drawn = mean + self.roots[p] @ rng.standard_normal(mean.shape)
            field[self.sources[p]] = drawn.reshape(-1, *self.shape[1:])
        return out

    def _moment(self, of: Any) -> NDArray[np.float64]:
        out = np.zeros(self.shape)
        for weight, sources, mean, root in zip(
            self.weights, self.sources, self.means, self.roots, strict=True
        ):
            out[sources] += weight * of(mean, root).reshape(-1, *self.shape[1:])
        return out


def bayesian_minimum_norm(
    obs: Observation, standardised: bool = False, released: bool = False
) -> GaussianRival:
    """Solve by CaliBrain's BMN: j ~ N(0, gamma I), gamma the most probable by the data.

    Parameters
    ----------
    obs : on 1,284 sources or fewer.
    standardised : variances over sLORETA's weights instead of equal ones, so that deep sources
        count.
    released : gamma by the steps of version 1.0.3, gamma <- n / d, whose fixed point is not the
        most probable one, n = d, which gamma <- gamma n / d has, but 2 to 30 times that.

    Raises
    ------
    InputError : the extra ``rivals`` is not installed.
    """
    solver = _module("calibrain.source_estimation")
    leadfield, axes = _columns(obs)
    leadfield = _NANO * leadfield
    own: dict[str, Any] = {}
    if not released:
        weighted = leadfield @ solver.compute_W(leadfield, axes) if standardised else leadfield
        # its gamma is that of data of length 1 and a leadfield of norm 1
        unit = np.linalg.norm(weighted, 2) ** 2 / (obs.values**2).sum()
        own = {"init_gamma": unit * _most_probable_variance(weighted, obs.values), "max_iter": 0}
    with _quiet():
        found = solver.BMN(
            leadfield, obs.values, 1.0, n_orient=axes, normalization=standardised, **own
        )
    return GaussianRival(_mean(found, obs), _NANO * _root(found["posterior_cov"]))


def sflex_gamma_map(obs: Observation, sigma: float = 0.01, steps: int = 2000) -> GaussianRival:
    """Solve by CaliBrain's sFLEX gamma-MAP: few active patches of ``sigma`` m about each source.

    Parameters
    ----------
    obs : on 1,284 sources or fewer. sigma : m, above 0.
    steps : more than its 300, after which hundreds of patches are still on their way to 0.

    Raises
    ------
    InputError : the extra ``rivals`` is not installed; a ``sigma`` that is not positive.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"sigma is the width of a patch in m, not {sigma!r}")
    solver = _module("calibrain.source_estimation")
    leadfield, axes = _columns(obs)
    with _quiet():
        found = solver.gamma_map_sflex(
            _NANO * leadfield,
            obs.values,
            1.0,
            n_orient=axes,
            max_iter=steps,
            sigma=sigma,
            src_coords=obs.source_space.positions,
        )
    active = np.asarray(found["active_indices"], int)
    weights = np.asarray(found["posterior_cov_coeff"])[np.ix_(active, active)]
    patches = np.kron(found["B_spatial"].toarray(), np.eye(axes))
    return GaussianRival(_mean(found, obs), _NANO * patches[:, active] @ _root(weights))


def sesame(
    obs: Observation,
    seed: int = 0,
    n_particles: int = 100,
    expected: float = 0.25,
    most: int = 10,
) -> DipoleCloud:
    """Solve by SESAME: sequential Monte Carlo from the prior to the posterior over sets of dipoles.

    The size of moments has a log-uniform prior over three decades about 1.5 max|v~| / max|L~|. The
    noise's deviation is 1: left alone, it takes a fifth of the largest value of the data. Dipoles
    move to sources within two spacings, on a mesh to its neighbours, too.

    Parameters
    ----------
    obs : the data. seed : of the particles. n_particles : number of sets of dipoles.
    expected, most : the number of dipoles is Poisson with this mean, a number of 0 to ``most``.

    Raises
    ------
    InputError : the extra ``rivals`` is not installed.
    """
    package = _module("sesameeg")
    leadfield, axes = _columns(obs)
    near, chance = _moves(obs)
    with _quiet(), _own_generator(seed):
        solver = package.Sesame(
            obs.source_space.positions,
            leadfield,
            np.asarray(obs.values, float),
            n_parts=n_particles,
            n_matrix=near,
            np_matrix=chance,
            noise_std=1.0,
            fixed_ori=axes == 1,
            lam=expected,
            max_n_dips=most,
            hyper_q=True,
        )
        solver.apply_sesame(estimate_dip_mom=False)
    particles = solver.posterior.particles
    places = tuple(np.array([d.loc for d in p.dipoles], np.int64) for p in particles)
    laws = [
        _conditional(leadfield, obs.values, sources, float(p.dip_mom_std), axes)
        for sources, p in zip(places, particles, strict=True)
    ]
    weights = np.exp(solver.posterior.logweights)
    shape = (*obs.leadfield.shape[1:], obs.n_functions)
    means, roots = (tuple(x) for x in zip(*laws, strict=True))
    return DipoleCloud(weights / weights.sum(), places, means, roots, shape)


def _most_probable_variance(leadfield: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """gamma of v ~ N(0, gamma L L' + I) by MacKay's steps."""
    power, vectors = np.linalg.eigh(leadfield @ leadfield.T)
    seen = ((vectors.T @ values) ** 2).mean(axis=1)
    gamma = 1 / power.max()
    for _ in range(_STEPS):
        variance = 1 + gamma * power
        ratio = (power * seen / variance**2).sum() / (power / variance).sum()
        gamma *= ratio
        if abs(ratio - 1) < 1e-9:
            break
    return float(max(gamma, _FAINTEST / power.max()))


def _conditional(
    leadfield: NDArray[np.float64],
    values: NDArray[np.float64],
    sources: NDArray[np.int64],
    sd: float,
    axes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (K A, R) and root (K A, K A) of the moments, prior N(0, sd² I), noise N(0, I)."""
    columns = (axes * sources[:, None] + np.arange(axes)).ravel()
    gain = sd * leadfield[:, columns]
    spread, vectors = np.linalg.eigh(gain.T @ gain + np.eye(len(columns)))
    root = sd * vectors / np.sqrt(spread)
    return root @ (root.T @ (gain.T @ values)) / sd, root


def _moves(obs: Observation) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(S, M) sources that each may move to, itself first and -1 behind the last; their chances."""
    from scipy.spatial import cKDTree

    where = obs.source_space.positions
    tree = cKDTree(where)
    spacing = float(np.median(tree.query(where, 2)[0][:, 1]))
    near_by = tree.query_pairs(_REACH * spacing, output_type="ndarray")
    pairs = np.sort(np.vstack([near_by, neighbours(obs.source_space)]), axis=1)
    pairs = np.unique(pairs, axis=0)
    itself = np.repeat(np.arange(len(where))[:, None], 2, axis=1)
    every = np.vstack([itself, pairs, pairs[:, ::-1]])
    every = every[np.argsort(every[:, 0], kind="stable")]
    count = np.bincount(every[:, 0], minlength=len(where))
    column = np.arange(len(every)) - np.repeat(count.cumsum() - count, count)
    near = np.full((len(where), count.max()), -1)
    chance = np.zeros(near.shape)
    apart = np.linalg.norm(where[every[:, 0]] - where[every[:, 1]], axis=1)
    near[every[:, 0], column] = every[:, 1]
    chance[every[:, 0], column] = np.exp(-0.5 * (2 * apart / (_REACH * spacing)) ** 2)
    return near, chance / chance.sum(axis=1, keepdims=True)


def _columns(obs: Observation) -> tuple[NDArray[np.float64], int]:
    """(n_eff, F) 1/(A m), axes of a source side by side, and how many it has."""
    leadfield = np.asarray(obs.leadfield, float)
    return leadfield.reshape(obs.n_eff, -1), 1 if leadfield.ndim == 2 else 3


def _mean(found: dict[str, Any], obs: Observation) -> NDArray[np.float64]:
    return np.asarray(_NANO * found["posterior_mean"]).reshape(*obs.leadfield.shape[1:], -1)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def _module(name: str) -> ModuleType:
    """A rival's, without what it draws with, and without what it sets in the environment."""
    before = os.environ.get("SCIPY_ARRAY_API")
    absent = [each for each in _DRAWING if each not in sys.modules]
    for each in absent:
        sys.modules[each] = ModuleType(each)
        vars(sys.modules[each])["BackgroundPlotter"] = None
    try:
        with _quiet():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name.split('.')[0]} is not installed; pip install 'bayesesi[rivals]'"
        ) from error
    finally:
        for each in absent:
            del sys.modules[each]
        os.environ.pop("SCIPY_ARRAY_API", None)
        if before is not None:
            os.environ["SCIPY_ARRAY_API"] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Rivals print, and warn about what they call."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _own_generator(seed: int) -> Iterator[None]:
    """SESAME draws from numpy's global generator: it gets one that starts at ``seed``."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


#: Every rival, by name: of an observation and a seed.
RIVALS: dict[str, Callable[[Observation, int], GaussianRival | DipoleCloud]] = {
    "CaliBrain BMN": lambda obs, seed: bayesian_minimum_norm(obs),
    "CaliBrain BMN, standardised": lambda obs, seed: bayesian_minimum_norm(obs, standardised=True),
    "CaliBrain BMN, as released": lambda obs, seed: bayesian_minimum_norm(obs, released=True),
    "CaliBrain sFLEX gamma-MAP": lambda obs, seed: sflex_gamma_map(obs),
    "SESAME": sesame,
}
