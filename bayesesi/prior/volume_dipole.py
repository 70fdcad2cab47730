"""One or two free dipoles in the brain volume, each a blob of some extent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import constraints

from bayesesi.anatomy import VolumeBlobs, template_blobs
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.source import SourcePrior
from bayesesi.spec import VolumeDipoleSpec

#: Places of an event at most.
MOST_DIPOLES = 2
#: Pairs of places behind the share of them that lie far enough apart.
_N_PAIRS = 400_000


@dataclass(frozen=True, eq=False)
class VolumeDipolePrior(SourcePrior):
    """p(event): nothing, one dipole, or two.

    A place is uniform in the volume, two are so given that they lie ``min_distance_mm`` apart or
    more; directions are uniform on the sphere. Sites, cases first: ``count`` (n,), ``place`` (n, 2,
    3) m, ``extent_mm``, ``moment_nAm`` (n, 2) and ``direction`` (n, 2, 3), of any length. Those at
    or beyond ``count`` do not enter the density. ``spec`` says how each is distributed.

    Such an event is in no region of the cortex, and its field there is 0.
    """

    spec: VolumeDipoleSpec

    def __repr__(self) -> str:
        return f"<VolumeDipolePrior {self.spec.name!r} | up to {MOST_DIPOLES} dipoles>"

    @property
    def n_slots(self) -> int:
        return MOST_DIPOLES

    @property
    def null_probability(self) -> float:
        return self.spec.count.null

    @property
    def count_probability(self) -> NDArray[np.float64]:
        """(3,) of none, one, two."""
        null, two = self.spec.count.null, self.spec.count.two
        return np.array([null, (1 - null) * (1 - two), (1 - null) * two])

    @property
    def blobs(self) -> VolumeBlobs:
        """What a place and an extent are."""
        return template_blobs()

    @cached_property
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        spec = self.spec
        shares = torch.from_numpy(self.count_probability)

        def program(n: int) -> dict[str, Tensor]:
            with pyro.plate("cases", n, dim=-1):
                count = pyro.sample("count", dist.Categorical(shares))
                apart = spec.count.min_distance_mm * 1e-3
                place = pyro.sample("place", Places(count, apart))
            used = torch.arange(MOST_DIPOLES)[:, None] < count
            on_sphere = dist.Normal(0.0, 1.0).expand([3]).to_event(1)
            with (
                pyro.plate("slots", MOST_DIPOLES, dim=-2),
                pyro.plate("cases_of", n, dim=-1),
                pyro.poutine.mask(mask=used),  # type: ignore[call-overload]
            ):
                each = {
                    "extent_mm": pyro.sample("extent_mm", distribution_of(spec.extent_mm)),
                    "moment_nAm": pyro.sample("moment_nAm", distribution_of(spec.moment_nAm)),
                    "direction": pyro.sample("direction", on_sphere),
                }
            cases_first = {name: value.transpose(0, 1) for name, value in each.items()}
            return {"count": count, "place": place, **cases_first}

        return program

    def patterns(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        """Return (n K, S) without an entry: no dipole of ``draws`` (n, ...) is on the cortex."""
        rows = len(draws["count"]) * self.n_slots
        return sp.csr_array((rows, self.source_space.n_sources))

    def volume(self, draws: dict[str, NDArray[Any]]) -> sp.csr_array:
        used = np.arange(self.n_slots) < draws["count"][:, None]
        place = draws["place"].astype(float).reshape(-1, 3)
        blobs = self.blobs.weights(place, draws["extent_mm"].astype(float).ravel() * 1e-3)
        direction = draws["direction"].astype(float)
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        moment = used * draws["moment_nAm"].astype(float) * 1e-9
        along = (moment[..., None] * direction).reshape(-1, 3)
        parts = [sp.kron(blobs, np.eye(3)[[k]]).multiply(along[:, [k]]) for k in range(3)]
        total = sp.csr_array(sum(parts[1:], parts[0]))
        total.eliminate_zeros()
        return total


@cache
def log_share_apart(distance: float) -> float:
    """Estimate the log probability that two uniform places lie ``distance`` m apart or more."""
    blobs, rng = template_blobs(), np.random.default_rng(0)
    cells = blobs.source_space.positions[rng.integers(blobs.n_points, size=(_N_PAIRS, 2))]
    places = cells + rng.uniform(-0.5, 0.5, cells.shape) * blobs.spacing
    far = np.linalg.norm(places[:, 0] - places[:, 1], axis=1) >= distance
    return float(np.log(far.mean()))


class Places(dist.TorchDistribution):
    """Two places in the volume for each of n counts: uniform, and apart where both count.

    Attributes
    ----------
    count : (n,) 0, 1 or 2. min_distance : m, straight.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, count: Tensor, min_distance: float) -> None:
        self.count, self.min_distance = count, min_distance
        super().__init__(count.shape, torch.Size([MOST_DIPOLES, 3]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, 2)

    def expand(self, batch_shape: Any, _instance: object = None) -> Places:
        """Expand to counts of ``batch_shape``."""
        return Places(self.count.expand(batch_shape), self.min_distance)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw places (..., n, 2, 3) m for ``sample_shape``."""
        shape = (*sample_shape, *self.batch_shape)
        value = _anywhere(shape)
        while True:
            near = self._near(value)
            if not near.any():
                return value
            value = torch.where(near[..., None, None], _anywhere(shape), value)

    def _near(self, value: Tensor) -> Tensor:
        apart = (value[..., 0, :] - value[..., 1, :]).norm(dim=-1)
        return (self.count > 1) & (apart < self.min_distance)

    def log_prob(self, value: Tensor) -> Tensor:
        """Compute the log density of ``value`` (..., 2, 3) m, minus infinity where it cannot be."""
        blobs = template_blobs()
        inside = torch.from_numpy(blobs.cell(value.double().numpy()) >= 0)
        used = torch.arange(MOST_DIPOLES) < self.count[..., None]
        score = -float(np.log(blobs.volume)) * used.sum(-1).double()
        score = score - torch.where(self.count > 1, log_share_apart(self.min_distance), 0.0)
        lost = (~inside & used).any(-1) | self._near(value)
        return torch.where(lost, -torch.inf, score).float()


def _anywhere(shape: tuple[int, ...]) -> Tensor:
    """(*shape, 2, 3) m."""
    blobs = template_blobs()
    cell = torch.randint(blobs.n_points, (*shape, MOST_DIPOLES))
    centre = torch.from_numpy(blobs.source_space.positions)[cell]
    return centre + (torch.rand(centre.shape, dtype=torch.float64) - 0.5) * blobs.spacing
