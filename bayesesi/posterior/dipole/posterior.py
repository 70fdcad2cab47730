"""Dipoles of one observation: draws weighted by the likelihood, volumes, fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from torch import Tensor

from bayesesi.anatomy import template_blobs, template_parcellation
from bayesesi.errors import InputError
from bayesesi.estimator.dipole import DipoleEstimator, DipoleStates
from bayesesi.features import TrainingRange
from bayesesi.features.covariance_likelihood import SCALES, CourseInputs, grid_log_t
from bayesesi.features.dipole import DipoleForward
from bayesesi.features.dipole_scan import DipoleSummary
from bayesesi.observation import Observation
from bayesesi.posterior.base import Posterior
from bayesesi.posterior.dipole.belief import DipoleBelief
from bayesesi.posterior.dipole.draws import DipoleDraws, Ellipsoid, WeightedDraws
from bayesesi.prior.volume_dipole import MOST_DIPOLES

if TYPE_CHECKING:
    from sbi.inference.posteriors import DirectPosterior

#: Draws of each count that are weighed, and behind means of fields.
N_PROPOSALS, _N_FIELDS = 1000, 200
#: Counts that are less probable are not weighed.
_NEVER = 1e-4
#: m: of a place.
_LEAST_SD = 0.001
#: Of a variance of moments, over the unit: rounding may take it below 0.
_JITTER = 1e-9


def dipole_posterior(
    obs: Observation,
    estimator: DipoleEstimator,
    belief: DipoleBelief,
    seed: int = 0,
    support: TrainingRange | None = None,
    n_proposals: int = N_PROPOSALS,
) -> DipolePosterior:
    """Condition the flows on one observation and weigh their draws by its likelihood.

    Parameters
    ----------
    obs : in the template's volume. estimator : the flows. belief : the prior. seed : of heads and
        draws. support : which contexts the network met. n_proposals : draws of each count.

    Raises
    ------
    InputError : a forward that is not the template's volume.
    """
    if obs.forward.banked is None or obs.source_space.kind != "volume":
        raise InputError(
            "dipoles are looked for in the template's volume, because its head can be varied; this "
            f"forward has {obs.source_space!r}; use "
            "template_forward(info, source_space='volume')"
        )
    forward = belief.forward(obs.forward, obs.whitener.matrix, seed)
    scene = belief.scene(obs.values[None], forward, scale_known=obs.scale_known)
    with torch.inference_mode():
        summary = DipoleSummary.of(scene, belief.scan(forward), estimator.components)
    return DipolePosterior(
        obs, belief, forward, scene, summary, estimator.eval(), seed, support, n_proposals
    )


@dataclass(frozen=True, eq=False)
class DipolePosterior(Posterior):
    """Hold the posterior; see ``estimator`` and ``features.covariance_likelihood``.

    The network gives the probability of how many dipoles there are; where and what they are, given
    that, is weighed by the likelihood.

    Attributes
    ----------
    belief : the prior. forward, scene, summary : of the observation. estimator : the flows.
    seed : of draws. support : contexts the network met. n_proposals : draws of each count.
    """

    belief: DipoleBelief = field(repr=False)
    forward: DipoleForward = field(repr=False)
    scene: CourseInputs = field(repr=False)
    summary: DipoleSummary = field(repr=False)
    estimator: DipoleEstimator = field(repr=False)
    seed: int = 0
    support: TrainingRange | None = None
    n_proposals: int = N_PROPOSALS

    @cached_property
    def count_probability(self) -> NDArray[np.float64]:
        """(3,) probability of no dipole, one, two."""
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
            "in simulated recordings two dipoles are mistaken for one in about half of the cases "
            "and one for two in a fifth of the cases; another number of dipoles is possible"
        )

    @cached_property
    def weighed(self) -> dict[int, WeightedDraws]:
        """``n_proposals`` draws of the flows for each count."""
        return {
            k: self.propose(self.n_proposals, k, self.seed)
            for k in range(1, MOST_DIPOLES + 1)
            if self.count_probability[k] >= _NEVER
        }

    def propose(self, n: int, k: int, seed: int = 0) -> WeightedDraws:
        """Draw ``k`` dipoles ``n`` times by ``seed`` from the flows, with all densities."""
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
        return WeightedDraws(drawn, *(x.double().numpy() for x in (log_q, log_p, likelihood)))

    @property
    def sample_efficiency(self) -> float:
        """Mean over counts, weighted by their probability."""
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
        """Draw ``n`` times, with the moments and the noise's scale; ``seed`` is of the draws.

        Raises
        ------
        InputError : fewer than one.
        """
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        rng = np.random.default_rng([self.seed, seed])
        known = np.array([0, *self.weighed])
        share = self.count_probability[known]
        count = known[rng.choice(len(known), size=n, p=share / share.sum())]
        pair = (n, MOST_DIPOLES)
        shapes = ((*pair, 3), pair, (n,), (n,), (*pair, 3, self.obs.n_functions))
        draws = DipoleDraws(count, *(np.full(shape, np.nan) for shape in shapes))
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
        self, dipoles: DipoleStates, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D, K, 3, R) A m and (D,) tau, given everything else.

        With L the mean topographies, y of one course has E[m y'] = t L, so that m is Gaussian about
        t L (nu I + t P)^-1 y with covariance t I - t² L (nu I + t P)^-1 L'.
        """
        scene = self.scene.double()
        mean = self.belief.means(dipoles, self.forward).double()  # (D, 3 K, m)
        gain, turn = torch.linalg.eigh(self.belief.squares(dipoles, self.forward).double())
        sizes = [each[0] for each in scene.of_sizes(gain, turn)]  # (D, Q, M + 1) a scale
        scales = scene.power * scene.of_scales(each[None] for each in sizes)[:, 0]  # (S, D)
        pick = _drawn(scales.T, rng)
        own = torch.stack(sizes)[pick, torch.arange(len(pick))]
        grid = torch.cat([grid_log_t().double().exp(), torch.zeros(1).double()])
        t = grid[_drawn(own, rng)]  # (D, Q), over nu
        tau = torch.tensor(SCALES).double()[pick]
        inverse = 1 / (1 + gain.clamp(min=0)[:, None] * t[..., None])  # (D, Q, m)
        look, seen = mean @ turn, turn.transpose(1, 2) @ scene.values[0]
        middle = torch.einsum("dki,dqi,diq->dqk", look, inverse, seen) * t[..., None]
        spread = torch.einsum("dki,dqi,dli->dqkl", look, inverse, look) * (t**2)[..., None, None]
        eye = torch.eye(mean.shape[1]).double()
        lower = torch.linalg.cholesky((t[..., None, None] + _JITTER) * eye - spread)
        z = torch.from_numpy(rng.standard_normal(middle.shape))
        moments = middle + tau[:, None, None] * (lower @ z[..., None])[..., 0]
        moments = moments * scene.noise[0].sqrt()[:, None] / self.forward.unit**0.5
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
        """Average ``_N_FIELDS`` draws."""
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

    def _of_count(self, k: int) -> WeightedDraws:
        """Draws of k dipoles.

        Raises
        ------
        InputError : a count that is not weighed.
        """
        if k not in self.weighed:
            told = ", ".join(map(str, self.weighed)) or "none"
            raise InputError(
                f"draws are of 1 or {MOST_DIPOLES} dipoles, where that has a probability of "
                f"{_NEVER:g} or more: here {told}, not {k}"
            )
        return self.weighed[k]

    def places(self, k: int, n: int = 1000, seed: int = 0) -> NDArray[np.float64]:
        """Draw places given that there are k dipoles, (n, k, 3) m.

        Parameters
        ----------
        k : 1 or 2. n : number of draws. seed : of the draws.

        Raises
        ------
        InputError : a count that is not weighed.
        """
        each = self._of_count(k)
        rows = each.weights.resample(n, np.random.default_rng([self.seed, seed, k]))
        return each.dipoles.place[torch.from_numpy(rows)].double().numpy()

    def place_probability(self, k: int) -> NDArray[np.float64]:
        """Compute the probability (V, k) of each cell for each of ``k`` dipoles, the left first.

        The weighted draws as a sum of Gaussians, with Scott's (1992) share of their covariance by
        the number they are worth: a plain count would leave most cells of a wide posterior empty.
        Raises InputError for a count that is not weighed.
        """
        each = self._of_count(k)
        weight = each.weights.normalised
        share = (weight**2).sum() ** (2 / 7)  # their number to the power of -2 / (3 + 4)
        points = template_blobs().source_space.positions
        floor = _LEAST_SD**2 * np.eye(3)  # of draws of which one has all the weight
        out = np.empty((len(points), k))
        for j in range(k):
            places = each.dipoles.place[:, j].double().numpy()
            cov = share * np.cov(places.T, aweights=weight, ddof=0) + floor
            white = np.linalg.inv(np.linalg.cholesky(cov)).T
            found = np.exp(-0.5 * cdist(points @ white, places @ white, "sqeuclidean")) @ weight
            out[:, j] = found / found.sum()
        return out

    def confidence_volume(self, level: float = 0.9, k: int | None = None) -> NDArray[np.float64]:
        """Measure the fewest cells, (k,) m³, that hold each dipole with probability ``level``.

        Parameters
        ----------
        level : 0 to 1. k : 1 or 2; the more probable if not given.
        """
        k = k or self.likely_count
        share = -np.sort(-self.place_probability(k), axis=0)
        cells = (share.cumsum(axis=0) < level - 1e-9).sum(axis=0) + 1
        return np.asarray(cells * template_blobs().spacing ** 3)

    def ellipsoids(self, level: float = 0.9, k: int | None = None) -> tuple[Ellipsoid, ...]:
        """Make the ellipsoid of each of k dipoles.

        Parameters
        ----------
        level : probability inside, 0 to 1. k : 1 or 2; the more probable if not given.
        """
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
        along = moment.moment @ self.obs.time_basis.functions.T  # (n, 2, 3, T)
        size = np.linalg.norm(along, axis=2)
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
                    "share_of_brain": round(float(volumes[j]) / template_blobs().volume, 4),
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
        """Wrap the flows given k dipoles, not weighed, for sbi.

        Places in mm, the normal scores of extents, and that of the skull. Its default observation
        is this one; ``k`` is the more probable count if not given.
        """
        from bayesesi.estimator.dipole_density import direct_posterior

        return direct_posterior(self.estimator, self.summary, k or self.likely_count)


def _drawn(log_share: Tensor, rng: np.random.Generator) -> Tensor:
    """(...) one of the last axis each, by (..., N) log shares."""
    return (log_share + torch.from_numpy(rng.gumbel(size=log_share.shape))).argmax(-1)
