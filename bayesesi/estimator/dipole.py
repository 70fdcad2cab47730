"""q(dipoles | observation): how many, and a mixture of flows about the places a scan finds.

Of one dipole the numbers are x = (place, u_s), of two (places, u_s1, u_s2), the left one first, and
last u_c: u are normal scores of the extent and of the skull's conductivity under their priors
(``prior.NormalScore``). With the M Gaussians (mu, L L') of places of ``features.dipole_scan``,

    q(K, x | v) = q(K | v) sum_m w_m |L_m|^-1 f_K(L_m^-1 (place - mu_m), u | c_m),

f_K a flow of sbi (neural posterior estimation, Papamakarios & Murray 2016, arXiv:1605.06376; by
splines, Durkan et al. 2019, arXiv:1906.04032), w_m and c_m what a small network makes of each
Gaussian. The density is exact, in metres and scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn

from bayesesi.estimator.density import flow_of
from bayesesi.features.dipole_scan import FEATURES, DipoleSummary, n_features
from bayesesi.registry import implements
from bayesesi.spec import DipolesSpec, Recipe, Spec

if TYPE_CHECKING:
    from sbi.neural_nets.estimators import ConditionalDensityEstimator

#: Numbers of a component that its flow is given.
_CONTEXT = 16


@dataclass(frozen=True, eq=False)
class DipoleStates:
    """D draws of an event of K dipoles each.

    Attributes
    ----------
    place : (D, K, 3) m, the left one first. extent : (D, K) and skull : (D,), normal scores.
    """

    place: Tensor
    extent: Tensor
    skull: Tensor

    def __len__(self) -> int:
        return len(self.place)

    @property
    def count(self) -> int:
        """K."""
        return self.place.shape[1]

    def pick(self, rows: Tensor | slice) -> DipoleStates:
        """Keep the draws in ``rows`` (n,)."""
        return DipoleStates(self.place[rows], self.extent[rows], self.skull[rows])

    def sorted(self) -> DipoleStates:
        """Put the left dipole first."""
        order = self.place[:, :, 0].argsort(1)
        place = self.place.gather(1, order[..., None].expand(-1, -1, 3))
        return DipoleStates(place, self.extent.gather(1, order), self.skull)

    def swapped(self) -> DipoleStates:
        """Swap the two dipoles."""
        return DipoleStates(self.place.flip(1), self.extent.flip(1), self.skull)


@implements(DipolesSpec)
class DipoleEstimator(nn.Module):
    """See the module.

    Parameters
    ----------
    spec : sizes. seed : of the weights.
    """

    context_names: ClassVar[tuple[str, ...]] = FEATURES

    def __init__(self, spec: DipolesSpec, seed: int = 0) -> None:
        super().__init__()
        self.components, width = spec.components, spec.hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.count = _perceptron(len(FEATURES), width, 3)
            self.looks = nn.ModuleList(
                [_perceptron(n_features(k), width, 1 + _CONTEXT) for k in (1, 2)]
            )
            sizes = (spec.density, width, spec.transforms)
            self.flows = nn.ModuleList([flow_of(*sizes, 4 * k + 1, _CONTEXT) for k in (1, 2)])

    @classmethod
    def of(cls, recipe: Recipe, prior: Spec) -> DipoleEstimator:
        """Make the untrained network of ``recipe``; ``prior`` is of its sources."""
        assert isinstance(recipe.estimator, DipolesSpec)
        return cls(recipe.estimator, recipe.seed)

    def contexts(self, inputs: DipoleSummary) -> Tensor:
        """Take the contexts (B, C) of the observations in ``inputs``."""
        return inputs.context

    def log_count(self, summary: DipoleSummary) -> Tensor:
        """Compute log q(K | v) of B observations, (B, 3), from ``summary``."""
        found: Tensor = self.count(summary.context)
        return found.log_softmax(1)

    def _flow(self, k: int) -> ConditionalDensityEstimator:
        return cast("ConditionalDensityEstimator", self.flows[k - 1])

    def _components(self, summary: DipoleSummary, k: int) -> tuple[Tensor, Tensor]:
        """(B, M) log w and (B, M, C) of each."""
        ends = self.looks[k - 1](summary.features(k))
        found = summary.one if k == 1 else summary.two
        return (found.log_weight + ends[..., 0]).log_softmax(1), ends[..., 1:]

    def log_prob(self, dipoles: DipoleStates, summary: DipoleSummary) -> Tensor:
        """Compute (D,) log q(x | v, K) of draws ``dipoles`` of D observations, or all of one.

        ``summary`` is of the D observations, or of the one.
        """
        k = dipoles.count
        log_weight, context = self._components(summary, k)
        found = summary.one if k == 1 else summary.two
        n, size = len(dipoles), log_weight.shape[1]
        apart = dipoles.place.flatten(1)[:, None] - found.mean  # (D, M, 3 K)
        lower = found.lower.expand(n, -1, -1, -1)
        z = torch.linalg.solve_triangular(lower, apart[..., None], upper=False)[..., 0]
        log_det = found.lower.diagonal(dim1=2, dim2=3).log().sum(2)
        scores = torch.cat([dipoles.extent, dipoles.skull[:, None]], dim=1)
        x = torch.cat([z, scores[:, None].expand(-1, size, -1)], dim=2)
        each = self._flow(k).log_prob(
            x.flatten(0, 1)[None], context.expand(n, -1, -1).flatten(0, 1)
        )
        return (log_weight - log_det + each[0].unflatten(0, (n, size))).logsumexp(1)

    def sample(self, n: int, k: int, summary: DipoleSummary) -> DipoleStates:
        """Draw ``n`` events of ``k`` dipoles of one observation, from the generator of torch.

        ``summary`` is of that observation.
        """
        log_weight, context = self._components(summary, k)
        found = summary.one if k == 1 else summary.two
        own = torch.multinomial(log_weight[0].exp(), n, replacement=True)
        x = self._flow(k).sample((1,), context[0, own])[0]
        z, scores = x[:, : 3 * k], x[:, 3 * k :]
        place = found.mean[0, own] + (found.lower[0, own] @ z[..., None])[..., 0]
        return DipoleStates(place.unflatten(1, (k, 3)), scores[:, :k], scores[:, k])

    def symmetric_log_prob(self, dipoles: DipoleStates, summary: DipoleSummary) -> Tensor:
        """Compute (D,) the log density of ``dipoles`` in any order, their left one being first.

        ``summary`` as in ``log_prob``.
        """
        own = self.log_prob(dipoles, summary)
        if dipoles.count == 1:
            return own
        return torch.logaddexp(own, self.log_prob(dipoles.swapped(), summary))


def _perceptron(n: int, width: int, out: int) -> nn.Module:
    last = nn.Linear(width, out)
    nn.init.zeros_(last.bias)
    with torch.no_grad():
        last.weight.mul_(0.1)
    return nn.Sequential(nn.Linear(n, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), last)
