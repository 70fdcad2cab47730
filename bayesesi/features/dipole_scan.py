"""Where one or two dipoles may be, by the likelihood on a grid, as a mixture of Gaussians.

All places of one dipole are looked at, in heads of each node's skull, and all pairs of some coarse
places, each by its likelihood there (``features.dipole``; of pairs along the sensors' first
directions, at one extent and skull). A posterior on a grid that is narrower than its cells is first
flattened, p^(1 / T) with T >= 1 the least that leaves ``_LEAST`` points of weight; a mixture of
Gaussians is fitted to it by expectation-maximisation, its covariances are divided by T again, and
its weights are those of p. A pair's first place is the one to the left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import EXTENT_NODES, template_blobs
from bayesesi.features.covariance_likelihood import COURSES, CourseInputs
from bayesesi.features.dipole import SKULL_NODES, DipoleForward, unpacked

#: Node of the extent that is looked at, for one and for pairs, and of the skull for pairs.
_EXTENT, _PAIR_EXTENT, _PAIR_SKULL = 1, 2, 1
#: Coarse places of pairs, directions of the sensors, and pairs that a mixture is fitted to.
_N_COARSE, _PAIR_MOST, _N_PAIRS = 160, 24, 1500
#: Observations, and covariances, that are looked at together.
_TOGETHER, _CHUNK = 16, 5000
#: Grid points that must have weight, rounds that look for T, and of fitting.
_LEAST, _N_ROUNDS, _N_FITS = 12.0, 16, 8
#: m: sd of a mixture's first components, how far apart they begin, least sd (one, pair).
_FIRST, _APART, _FLOORS = 0.012, 0.02, (0.002, 0.004)


@dataclass(frozen=True, eq=False)
class PlaceMixture:
    """Hold M Gaussians over d numbers for B observations: places in m (3, or 6 for a pair).

    Attributes
    ----------
    log_weight : (B, M). mean : (B, M, d). lower : (B, M, d, d) of the covariance. skull : (B, M)
        mean node of the skull within each, -1 to 1; 0 for pairs. log_evidence : (B,) nats.
    temper : (B,) log T.
    """

    log_weight: Tensor
    mean: Tensor
    lower: Tensor
    skull: Tensor
    log_evidence: Tensor
    temper: Tensor

    def __len__(self) -> int:
        return len(self.mean)

    def pick(self, rows: slice | Tensor) -> PlaceMixture:
        """Pick the observations in ``rows``, indices (k,) or a slice."""
        return PlaceMixture(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to(self, device: torch.device | str) -> PlaceMixture:
        """Move all to a ``device``."""
        return PlaceMixture(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class DipoleScan:
    """Hold what all observations of one forward share.

    Attributes
    ----------
    gain, turn : (C V, m) and (C V, m, m), eigenvalues and vectors of P at each place.
    pair_gain, pair_turn : (N + N', m') and (N + N', m', m') of the sums of P at ``pairs`` (N, 2) of
        points, then of the N' coarse points alone, by which pairs are compared with one dipole.
    log_skull : (C,) log shares of the nodes of the skull.
    """

    gain: Tensor
    turn: Tensor
    pair_gain: Tensor
    pair_turn: Tensor
    pairs: Tensor
    log_skull: Tensor

    @classmethod
    def of(cls, forward: DipoleForward, log_skull: NDArray[np.float64], apart: float) -> DipoleScan:
        """Decompose P at every place and pair.

        Parameters
        ----------
        forward : of the heads. log_skull : (C,) log shares of the nodes of the skull.
        apart : least distance of a pair, m.
        """
        n_points, shape = forward.blobs.n_points, (len(SKULL_NODES), len(EXTENT_NODES), -1)
        nodes = torch.arange(len(forward.square)).view(*shape)  # (C, E, V)
        packed = torch.from_numpy(forward.square)
        gain, turn = _eigen(unpacked(packed[nodes[:, _EXTENT].flatten()], forward.m))
        pairs = torch.from_numpy(_pairs(apart))
        held = nodes[_PAIR_SKULL, _PAIR_EXTENT][torch.from_numpy(_coarse_points())]
        whole = unpacked(packed[held], forward.m)[:, :_PAIR_MOST, :_PAIR_MOST]
        place = torch.full((n_points,), -1)
        place[torch.from_numpy(_coarse_points())] = torch.arange(_N_COARSE)
        first, second = place[pairs].unbind(1)
        two = _eigen(torch.cat([whole[first] + whole[second], whole]))
        return cls(gain, turn, *two, pairs, torch.from_numpy(log_skull).float())

    def one(self, scene: CourseInputs) -> Tensor:
        """Evaluate (B, C, V) log p(v | one dipole there) for a ``scene`` of B observations."""
        found = self._all(scene, self.gain, self.turn)
        return found.unflatten(1, (len(self.log_skull), -1))

    def two(self, scene: CourseInputs) -> Tensor:
        """Evaluate (B, N + N') log p(v | a pair), then of coarse points alone, for a ``scene``."""
        return self._all(scene.first(_PAIR_MOST), self.pair_gain, self.pair_turn)

    @staticmethod
    def _all(scene: CourseInputs, gain: Tensor, turn: Tensor) -> Tensor:
        rows = range(0, len(scene), _TOGETHER)
        parts = [
            torch.cat(
                [
                    scene.pick(slice(row, row + _TOGETHER)).of_eigen(
                        gain[first : first + _CHUNK], turn[first : first + _CHUNK]
                    )
                    for first in range(0, len(gain), _CHUNK)
                ],
                dim=1,
            )
            for row in rows
        ]
        return torch.cat(parts)

    def one_mixture(self, scene: CourseInputs, components: int) -> PlaceMixture:
        """Fit ``components`` Gaussians to the places of a single dipole in a ``scene``."""
        joint = self.one(scene) + self.log_skull[:, None]
        log_p = joint.logsumexp(1)  # (B, V)
        node = torch.linspace(-1, 1, len(self.log_skull))
        skull = torch.einsum("bcv,c->bv", (joint - log_p[:, None]).exp(), node)
        points = _positions().expand(len(log_p), -1, -1)
        return _mixture(points, log_p, skull, components, _FLOORS[0])

    def two_mixture(self, scene: CourseInputs, components: int) -> PlaceMixture:
        """Fit ``components`` Gaussians to the places of a pair in a ``scene``.

        Its evidence is that over one dipole's, both on the coarse grid.
        """
        log_p, alone = self.two(scene).split([len(self.pairs), _N_COARSE], dim=1)
        evidence = log_p.logsumexp(1) - float(np.log(log_p.shape[1]))
        evidence = evidence - alone.logsumexp(1) + float(np.log(_N_COARSE))
        best, place = log_p.topk(min(_N_PAIRS, log_p.shape[1]), dim=1)
        points = _positions()[self.pairs[place]].flatten(2)  # (B, N', 6)
        found = _mixture(points, best, torch.zeros_like(best), components, _FLOORS[1])
        return replace(found, log_evidence=evidence)


def _eigen(squares: Tensor) -> tuple[Tensor, Tensor]:
    parts = [torch.linalg.eigh(part) for part in squares.split(_CHUNK)]
    gain, turn = zip(*parts, strict=True)
    return torch.cat(gain).clamp(min=0), torch.cat(turn)


@cache
def _positions() -> Tensor:
    """(V, 3) m."""
    return torch.from_numpy(template_blobs().source_space.positions).float()


@cache
def _coarse_points() -> NDArray[np.int64]:
    """(P,) points of the volume."""
    return template_blobs().source_space.spread(_N_COARSE)


@cache
def _pairs(apart: float) -> NDArray[np.int64]:
    """(N, 2) points, the first to the left of the second and far enough from it."""
    chosen = _coarse_points()
    places = template_blobs().source_space.positions[chosen]
    far = np.linalg.norm(places[:, None] - places[None], axis=2) >= apart
    left = places[:, None, 0] < places[None, :, 0]
    return chosen[np.argwhere(far & left)]


def _mixture(
    points: Tensor, log_p: Tensor, skull: Tensor, components: int, floor: float
) -> PlaceMixture:
    """Of (B, N, d) points with (B, N) log weights."""
    inverse_t = _tempered(log_p)
    flat = (log_p * inverse_t[:, None]).softmax(1)
    mean, cov, log_weight = _begin(points, flat, components)
    for _ in range(_N_FITS):
        share = _shares(points, mean, cov, log_weight) * flat[:, :, None]  # (B, N, M)
        mass = share.sum(1).clamp(min=1e-9)
        mean = torch.einsum("bnm,bnd->bmd", share, points) / mass[..., None]
        apart = points[:, :, None] - mean[:, None]
        cov = torch.einsum("bnm,bnmd,bnme->bmde", share, apart, apart) / mass[..., None, None]
        cov = cov + (floor**2) * torch.eye(points.shape[2])
        log_weight = mass.log()
    own = _shares(points, mean, cov, log_weight) * log_p.softmax(1)[:, :, None]
    mass = own.sum(1)
    held = torch.einsum("bnm,bn->bm", own, skull) / mass.clamp(min=1e-12)
    least = floor**2 * torch.eye(points.shape[2])
    narrow = (cov - least) * inverse_t[:, None, None, None] + least
    return PlaceMixture(
        mass.clamp(min=1e-6).log().log_softmax(1),
        mean,
        torch.linalg.cholesky(narrow),
        held,
        log_p.logsumexp(1) - float(np.log(log_p.shape[1])),
        -inverse_t.log(),
    )


def _tempered(log_p: Tensor) -> Tensor:
    """(B,) the largest 1 / T up to 1 that leaves weight to ``_LEAST`` points."""
    low, high = log_p.new_full((len(log_p),), 1e-4), log_p.new_ones(len(log_p))
    enough = _points(log_p, high) >= _LEAST
    for _ in range(_N_ROUNDS):
        middle = (low * high).sqrt()
        wide = _points(log_p, middle) >= _LEAST
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    return torch.where(enough, 1.0, low)


def _points(log_p: Tensor, power: Tensor) -> Tensor:
    """(B,) points with weight."""
    return 1 / (log_p * power[:, None]).softmax(1).square().sum(1)


def _begin(points: Tensor, weight: Tensor, components: int) -> tuple[Tensor, Tensor, Tensor]:
    """First components: the points of most weight that are apart from each other."""
    rows, left, means = torch.arange(len(points)), weight.clone(), []
    for _ in range(components):
        mean = points[rows, left.argmax(1)]
        means.append(mean)
        near = (-0.5 * (points - mean[:, None]).square().sum(2) / _APART**2).exp()
        left = left * (1 - near)
    mean = torch.stack(means, dim=1)
    cov = (_FIRST**2 * torch.eye(points.shape[2])).expand(*mean.shape[:2], -1, -1)
    return mean, cov, mean.new_zeros(mean.shape[:2])


def _shares(points: Tensor, mean: Tensor, cov: Tensor, log_weight: Tensor) -> Tensor:
    """(B, N, M) to which component each point belongs."""
    lower = torch.linalg.cholesky(cov)
    apart = (points[:, None] - mean[:, :, None]).transpose(2, 3)  # (B, M, d, N)
    z = torch.linalg.solve_triangular(lower, apart, upper=False).square().sum(2)
    size = lower.diagonal(dim1=2, dim2=3).log().sum(2)
    return (log_weight[..., None] - 0.5 * z - size[..., None]).softmax(1).transpose(1, 2)


FEATURES = (
    "power of the data, dB",
    "sensors",
    "courses of time",
    "evidence of one dipole over nothing",
    "evidence of two over one",
    "spread of one",
    "spread of two",
)


@dataclass(frozen=True, eq=False)
class DipoleSummary:
    """Hold what a network sees of B observations.

    Attributes
    ----------
    context : (B, F), see ``FEATURES``. one, two : where one dipole may be, and a pair.
    """

    context: Tensor
    one: PlaceMixture
    two: PlaceMixture

    @classmethod
    def of(cls, scene: CourseInputs, scan: DipoleScan, components: int) -> DipoleSummary:
        """Sum up B observations.

        Parameters
        ----------
        scene : of them. scan : of the forward. components : number of Gaussians.
        """
        one, two = (f(scene, components) for f in (scan.one_mixture, scan.two_mixture))
        energy = (scene.values.square().sum(1) + scene.rest).sum(1)
        whole, n_courses = torch.ones_like(energy), scene.values.shape[2]
        columns = [
            (energy / (scene.n * n_courses)).clamp(min=1e-12).log10(),
            whole * float(np.log(scene.n)) / 5,
            whole * n_courses / COURSES,
            _squashed(one.log_evidence - scene.log_nothing()),
            _squashed(two.log_evidence),
            *(_spread(each) for each in (one, two)),
        ]
        return cls(torch.stack(columns, dim=1), one, two)

    def __len__(self) -> int:
        return len(self.context)

    def features(self, k: int) -> Tensor:
        """List (B, M, F') numbers of the components of ``k`` dipoles; see ``n_features``."""
        found = self.one if k == 1 else self.two
        d = found.mean.shape[2]
        diagonal = found.lower.diagonal(dim1=2, dim2=3)
        row, column = torch.tril_indices(d, d, -1)
        parts = [
            (found.log_weight / 3)[..., None],
            found.skull[..., None],
            found.mean / 0.05,
            (diagonal / _FIRST).log(),
            found.lower[:, :, row, column] / _FIRST,
            self.context[:, None].expand(-1, found.mean.shape[1], -1),
        ]
        return torch.cat(parts, dim=2)

    def pick(self, rows: slice | Tensor) -> DipoleSummary:
        """Pick the observations in ``rows``, indices (k,) or a slice."""
        return DipoleSummary(self.context[rows], self.one.pick(rows), self.two.pick(rows))

    def to(self, device: torch.device | str) -> DipoleSummary:
        """Move all to a ``device``."""
        return DipoleSummary(self.context.to(device), self.one.to(device), self.two.to(device))


def n_features(k: int) -> int:
    """Count a component's numbers for ``k`` dipoles: weight, skull, mean, covariance, context."""
    d = 3 * k
    return 2 + d + d * (d + 1) // 2 + len(FEATURES)


def _spread(found: PlaceMixture) -> Tensor:
    """(B,) log of the mean sd over 12 mm."""
    variance = found.lower.square().sum((2, 3)) / found.mean.shape[2]
    return ((found.log_weight.exp() * variance).sum(1).sqrt() / _FIRST).log()


def _squashed(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p() / 3
