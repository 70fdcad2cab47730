"""Dipoles for one observation: draws that answer for the likelihood, volumes, fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesesi.anatomy import template_blobs, template_parcellation
from bayesesi.errors import InputError
from bayesesi.network import Support
from bayesesi.network.course_view import (
    COURSES,
    SCALES,
    CourseScene,
    grid_log_t,
    log_scale_share,
)
from bayesesi.network.dipole_scan import DipoleSummary
from bayesesi.network.dipole_view import DipoleForward
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.dipole.belief import DipoleBelief
from bayesesi.posterior.dipole.estimator import DipoleEstimator, Dipoles
from bayesesi.posterior.refine import ImportanceWeights, importance_weights
from bayesesi.prior.volume_dipole import MOST_DIPOLES

if TYPE_CHECKING:
    from sbi.inference.posteriors import DirectPosterior

#: Draws of each count that are weighed, and behind means of fields.
N_PROPOSALS, _N_FIELDS = 1000, 200
#: Counts that are less probable are not weighed.
_NEVER = 1e-4
#: Of the largest weight: lighter draws are left out of densities of places.
_LEAST_WEIGHT = 1e-6


def dipole_posterior(
    obs: Observation,
    estimator: DipoleEstimator,
    belief: DipoleBelief,
    seed: int = 0,
    support: Support | None = None,
    n_proposals: int = N_PROPOSALS,
) -> DipolePosterior:
    """What the flows say of one observation, weighed by its likelihood.

    Raises
    ------
    InputError : a forward that is not the template's volume.
    """
    banked = obs.forward.banked
    if banked is None or obs.source_space.kind != "volume":
        raise InputError(
            "dipoles are looked for in the template's volume, since the head around it must be "
            f"drawn anew, and this forward has {obs.source_space!r}; use "
            "template_forward(info, source_space='volume')"
        )
    heads = belief.heads(obs.forward)
    forward = belief.forward(banked, obs.whitener.matrix, heads, seed)
    scene = belief.scene(obs.values[None], forward, scale_known=obs.scale_known)
    with torch.inference_mode():
        summary = DipoleSummary.of(scene, belief.scan(forward), estimator.components)
    return DipolePosterior(
        obs, belief, forward, scene, summary, estimator.eval(), seed, support, n_proposals
    )


@dataclass(frozen=True, eq=False)
class DipoleDraws:
    """n draws of an event; what lies beyond a draw's count is not a number.

    Attributes
    ----------
    count : (n,). place : (n, 2, 3) m, the left one first. extent_mm : (n, 2). skull_S_per_m,
        noise_scale : (n,), of the true head's skull and of the noise over its covariance.
        moment : (n, 2, 3, R) A m.
    """

    count: NDArray[np.int64]
    place: NDArray[np.float64]
    extent_mm: NDArray[np.float64]
    skull_S_per_m: NDArray[np.float64]
    noise_scale: NDArray[np.float64]
    moment: NDArray[np.float64]


@dataclass(frozen=True)
class Ellipsoid:
    """Of a place: the Gaussian that has the draws' mean and covariance.

    Attributes
    ----------
    centre : (3,) m. axes : (3,) m, half lengths, the longest first. directions : (3, 3), a row an
        axis. level : probability inside, were the draws Gaussian.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    directions: NDArray[np.float64]
    level: float

    @property
    def volume(self) -> float:
        """m³."""
        return float(4 / 3 * np.pi * np.prod(self.axes))


@dataclass(frozen=True, eq=False)
class Weighed:
    """Draws of K dipoles, each with log q, log p(x | K) and log p(v | x)."""

    dipoles: Dipoles
    log_proposal: NDArray[np.float64]
    log_prior: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]

    @cached_property
    def weights(self) -> ImportanceWeights:
        """Of p(v, x | K) over q(x | v, K)."""
        return importance_weights(self.log_prior + self.log_likelihood, self.log_proposal)


@dataclass(frozen=True, eq=False)
class DipolePosterior(Posterior):
    """See ``estimator`` for the proposal and ``network.dipole_view`` for the likelihood.

    How many dipoles there are is the network's word; where and what they are, given that, is
    weighed by the likelihood.
    """

    belief: DipoleBelief = field(repr=False)
    forward: DipoleForward = field(repr=False)
    scene: CourseScene = field(repr=False)
    summary: DipoleSummary = field(repr=False)
    estimator: DipoleEstimator = field(repr=False)
    seed: int = 0
    support: Support | None = None
    n_proposals: int = N_PROPOSALS

    @cached_property
    def count_probability(self) -> NDArray[np.float64]:
        """(3,) of no dipole, one, two."""
        with torch.inference_mode():
            log_count = self.estimator.log_count(self.summary)[0]
        return log_count.double().softmax(0).numpy()

    @property
    def null_probability(self) -> float:
        return float(self.count_probability[0])

    @cached_property
    def outside(self) -> tuple[str, ...]:
        return () if self.support is None else self.support.outside(self.summary.context[0])

    @property
    def caveat(self) -> str:
        if self.likely_count == 1:
            return ""
        return (
            "two dipoles are taken for one as often as not in simulated recordings, and one for "
            "two in one of five: another count may be as good an answer"
        )

    @cached_property
    def weighed(self) -> dict[int, Weighed]:
        """By count: ``n_proposals`` draws of the flows."""
        return {
            k: self.propose(self.n_proposals, k, self.seed)
            for k in range(1, MOST_DIPOLES + 1)
            if self.count_probability[k] >= _NEVER
        }

    def propose(self, n: int, k: int, seed: int = 0) -> Weighed:
        """n draws of k dipoles from the flows, with all densities."""
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed + k)
            drawn = self.estimator.sample(n, k, self.summary).sorted()
            log_q = self.estimator.symmetric_log_prob(drawn, self.summary)
        log_p = self.belief.log_prior(drawn)
        inside = torch.isfinite(log_p)
        likelihood = torch.full((n,), -torch.inf)
        some = drawn.pick(inside)
        if len(some):
            likelihood[inside] = self.belief.log_likelihood(some, self.forward, self.scene)
        return Weighed(drawn, *(x.double().numpy() for x in (log_q, log_p, likelihood)))

    @property
    def sample_efficiency(self) -> float:
        """Over counts, by their probability."""
        share = {k: self.count_probability[k] for k in self.weighed}
        total = sum(share.values())
        each = [share[k] * w.weights.sample_efficiency for k, w in self.weighed.items()]
        return float(sum(each) / total) if total else 1.0

    @property
    def log_evidence(self) -> NDArray[np.float64]:
        """(3,) log p(v | K) of none, one, two, by the likelihood; -inf where not weighed."""
        out = np.full(MOST_DIPOLES + 1, -np.inf)
        out[0] = float(self.scene.log_nothing()[0])
        for k, each in self.weighed.items():
            out[k] = each.weights.log_evidence
        return out

    def dipoles(self, n: int, seed: int = 0) -> DipoleDraws:
        """n draws, with their moments and the noise's scale.

        Raises
        ------
        InputError : fewer than one.
        """
        if n < 1:
            raise InputError(f"draw at least once, not {n} times")
        rng = np.random.default_rng([self.seed, seed])
        known = np.array([0, *self.weighed])
        share = self.count_probability[known]
        count = known[rng.choice(len(known), size=n, p=share / share.sum())]
        nothing = np.nan
        draws = DipoleDraws(
            count,
            np.full((n, MOST_DIPOLES, 3), nothing),
            np.full((n, MOST_DIPOLES), nothing),
            np.full(n, nothing),
            np.full(n, nothing),
            np.full((n, MOST_DIPOLES, 3, self.obs.n_functions), nothing),
        )
        for k, each in self.weighed.items():
            rows = np.flatnonzero(count == k)
            if not len(rows):
                continue
            picked = rng.permutation(each.weights.resample(len(rows), rng))
            some = each.dipoles.pick(torch.from_numpy(picked))
            draws.place[rows, :k] = some.place.double().numpy()
            draws.extent_mm[rows, :k] = self.belief.extent.value(some.extent.numpy())
            draws.skull_S_per_m[rows] = self.belief.skull.value(some.skull.numpy())
            draws.moment[rows, :k], draws.noise_scale[rows] = self._moments(some, rng)
        return draws

    def _moments(
        self, dipoles: Dipoles, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D, K, 3, R) A m and (D,) tau, given everything else.

        With L the mean topographies, y of one course has E[m y'] = t L, so that m is Gaussian about
        t L (nu I + t P)^-1 y with covariance t I - t² L (nu I + t P)^-1 L'.
        """
        scene, log_t = self.scene, grid_log_t().double()
        mean = self.belief.means(dipoles, self.forward).double()  # (D, 3 K, m)
        gain, turn = torch.linalg.eigh(self.belief.squares(dipoles, self.forward).double())
        values, rest = scene.values[0].double(), scene.rest[0].double()
        fit = (turn.transpose(1, 2) @ values).square()  # (D, m, Q)
        grown = 1 + gain.clamp(min=0)[:, :, None] * log_t.exp()  # (D, m, M)
        log_det = grown.log().sum(1)
        quad = torch.einsum("dmq,dmt->dqt", fit, 1 / grown)
        empty = values.square().sum(0) + rest  # (Q,)
        first = torch.tensor([0.0] + [np.log(0.5)] * (COURSES - 1))[: len(rest)].double()
        scales = torch.tensor(SCALES).double()[:, None, None, None]
        size = -0.5 * log_det[:, None] + scene.log_size[0].double() + first[:, None]
        size = size - 0.5 / scales**2 * (quad + rest[:, None])  # (S, D, Q, M)
        none = torch.where(first < 0, first, -torch.inf) - 0.5 / scales[..., 0] ** 2 * empty
        every = torch.cat([size, none.expand(*size.shape[:3])[..., None]], dim=3)
        total = every.logsumexp(3).sum(2)  # (S, D)
        total = total - scene.n * len(rest) * scales[:, 0, 0].log()
        total = scene.power * (total + log_scale_share().double()[:, None])
        noise = torch.from_numpy(rng.gumbel(size=total.shape))
        pick = (total + noise).argmax(0)  # (D,)
        rows = torch.arange(len(pick))
        own = every[pick, rows]  # (D, Q, M + 1)
        at = (own + torch.from_numpy(rng.gumbel(size=own.shape))).argmax(2)
        t = torch.cat([log_t.exp(), torch.zeros(1).double()])[at]  # (D, Q), over nu
        tau = scales[pick, 0, 0, 0]
        inverse = 1 / (1 + gain.clamp(min=0)[:, None] * t[..., None])  # (D, Q, m)
        along = torch.einsum("dmi,mq->dqi", turn, values) * inverse
        middle = torch.einsum("dkm,dmi,dqi->dqk", mean, turn, along) * t[..., None]
        look = mean @ turn  # (D, 3 K, m)
        spread = torch.einsum("dki,dqi,dli->dqkl", look, inverse, look) * (t**2)[..., None, None]
        eye = torch.eye(mean.shape[1]).double()
        cov = t[..., None, None] * eye - spread + 1e-9 * eye
        lower = torch.linalg.cholesky(cov)
        z = torch.from_numpy(rng.standard_normal(middle.shape))
        moments = middle + tau[:, None, None] * (lower @ z[..., None])[..., 0]
        moments = moments * scene.noise[0].double().sqrt()[:, None] / self.forward.unit**0.5
        turned = torch.einsum("dqk,rq->dkr", moments, scene.turn[0])
        return turned.unflatten(1, (dipoles.count, 3)).numpy(), tau.numpy()

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        return self._fields(self.dipoles(n, seed))

    def _fields(self, draws: DipoleDraws) -> NDArray[np.float64]:
        """(n, V, 3, R) A m: every dipole as the blob that it stands for."""
        out = np.zeros((len(draws.count), *self.obs.leadfield.shape[1:], self.obs.n_functions))
        for k in range(MOST_DIPOLES):
            rows = np.flatnonzero(draws.count > k)
            if len(rows):
                extent = draws.extent_mm[rows, k] * 1e-3
                blobs = template_blobs().weights(draws.place[rows, k], extent)
                for row, d in enumerate(rows):
                    first, last = blobs.indptr[row : row + 2]
                    points, weight = blobs.indices[first:last], blobs.data[first:last]
                    out[d, points] += weight[:, None, None] * draws.moment[d, k]
        return out

    @cached_property
    def _some(self) -> NDArray[np.float64]:
        return self.sample(_N_FIELDS, self.seed)

    def mean(self) -> NDArray[np.float64]:
        """Of ``_N_FIELDS`` draws."""
        return np.asarray(self._some.mean(axis=0))

    def sd(self) -> NDArray[np.float64]:
        return np.asarray(self._some.std(axis=0))

    def latents(self, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
        draws = self.dipoles(n, seed)
        return {
            "count": draws.count,
            "skull": draws.skull_S_per_m,
            "noise_scale": draws.noise_scale,
        }

    def places(self, k: int, n: int = 1000, seed: int = 0) -> NDArray[np.float64]:
        """(n, k, 3) m: places given that there are k dipoles.

        Raises
        ------
        InputError : a count that is not weighed.
        """
        if k not in self.weighed:
            raise InputError(
                f"there are 1 or {MOST_DIPOLES} dipoles, and {k} has probability "
                f"{self.count_probability[k] if 0 <= k <= MOST_DIPOLES else 0:.2g} here; ask for "
                f"one of {', '.join(map(str, self.weighed)) or 'none'}"
            )
        each = self.weighed[k]
        rows = each.weights.resample(n, np.random.default_rng([self.seed, seed, k]))
        return each.dipoles.place[torch.from_numpy(rows)].double().numpy()

    def place_probability(self, k: int) -> NDArray[np.float64]:
        """(V, k): of each point's cell, for each of k dipoles, the left one first.

        The weighted draws as a sum of Gaussians (Scott's rule for the number they are worth): a
        plain count would leave most cells of a wide posterior empty.
        """
        from scipy.stats import gaussian_kde

        if k not in self.weighed:
            self.places(k, 1)
        each = self.weighed[k]
        weight = each.weights.normalised
        places = each.dipoles.place.double().numpy()
        points = template_blobs().source_space.positions
        used = weight > _LEAST_WEIGHT * weight.max()
        out = np.empty((len(points), k))
        for j in range(k):
            found = gaussian_kde(places[used, j].T, weights=weight[used])(points.T)
            out[:, j] = found / found.sum()
        return out

    def confidence_volume(self, level: float = 0.9, k: int | None = None) -> NDArray[np.float64]:
        """(k,) m³: of the fewest cells that hold each dipole with probability ``level``."""
        k = k or self.likely_count
        share = -np.sort(-self.place_probability(k), axis=0)
        cells = (share.cumsum(axis=0) < level - 1e-9).sum(axis=0) + 1
        return np.asarray(cells * template_blobs().spacing ** 3)

    def ellipsoids(self, level: float = 0.9, k: int | None = None) -> tuple[Ellipsoid, ...]:
        """Of each of k dipoles, as many as are most probable if not given."""
        from scipy.stats import chi2

        k = k or self.likely_count
        places, radius = self.places(k, self.n_proposals), float(np.sqrt(chi2.ppf(level, 3)))
        out = []
        for j in range(k):
            variance, turn = np.linalg.eigh(np.cov(places[:, j].T))
            axes = radius * np.sqrt(np.maximum(variance[::-1], 0))
            out.append(Ellipsoid(places[:, j].mean(axis=0), axes, turn[:, ::-1].T, level))
        return tuple(out)

    @property
    def likely_count(self) -> int:
        """1 or 2, given that there are any."""
        return int(1 + self.count_probability[1:].argmax())

    def findings(self, level: float) -> dict[str, Any]:
        regions = template_parcellation(5)
        inside = np.flatnonzero(regions.labels >= 0)
        tree = KDTree(regions.source_space.positions[inside])
        volumes, moment = self.confidence_volume(level), self.dipoles(500, self.seed)
        size = np.linalg.norm(moment.moment, axis=2) @ np.abs(self.obs.time_basis.functions.T)
        rows = []
        for j, found in enumerate(self.ellipsoids(level)):
            distance, nearest = tree.query(found.centre)
            own = size[moment.count == self.likely_count, j].max(axis=1) * 1e9
            rows.append(
                {
                    "place_mm": (found.centre * 1e3).round(1).tolist(),
                    "nearest_region": regions.names[regions.labels[inside[nearest]]],
                    "distance_mm": round(float(distance) * 1e3, 1),
                    "volume_cm3": round(float(volumes[j]) * 1e6, 2),
                    "axes_mm": (found.axes * 1e3).round(1).tolist(),
                    "directions": found.directions.round(4).tolist(),
                    "moment_nAm": [round(float(q), 1) for q in np.quantile(own, [0.05, 0.5, 0.95])]
                    if len(own)
                    else None,
                }
            )
        return {
            "dipoles": {
                "count_probability": [round(float(p), 4) for p in self.count_probability],
                "each": rows,
            }
        }

    def details(self) -> dict[str, Any]:
        return {
            "family": "dipole",
            "prior": self.belief.spec.name,
            "heads": "a covariance of how topographies differ between heads that were drawn",
            "likelihood_power": self.scene.power,
            "count_probability": [float(p) for p in self.count_probability],
            "log_evidence": [float(e) for e in self.log_evidence],
        }

    def as_sbi_posterior(self, k: int | None = None) -> DirectPosterior:
        """sbi's posterior given k dipoles, of the flows, not weighed: places in mm, the normal
        scores of extents, and that of the skull. Its default observation is this one."""
        from bayesesi.posterior.dipole.density import direct_posterior

        return direct_posterior(self.estimator, self.summary, k or self.likely_count)
