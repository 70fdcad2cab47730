"""E[x | x_t, v]: how large each source may be, by a network; the rest is Gaussian.

x_t = alpha x + sigma eps is a field under white noise, u = A x + e the data (``field_view``). A
network says for every source what it would expect, m, how far from that it may lie, d (a variance),
and by which factor kappa the noise is larger than it was taken for (heads that differ). Given
these, all is in closed form: with b = m w + x_t d alpha / (sigma² + d alpha²),
w = sigma² / (sigma² + d alpha²), c = d w,

    E[x | x_t, v] = b + c A' (A c A' + kappa nu I)^-1 (u - A b).

m is a mixture, by the network's gates, of fields that turn with the data: the same formula with
d = 1, m = 0, and means of it and of x_t over neighbours. So a field turned in time, or with its
sign reversed, is answered by the same answer turned. Gates and log d begin at 0: the network starts
as the minimum norm of ``posterior.gaussian``, of independent sources alike at the sensors, and
learns the rest. At alpha = 0 nothing is seen of x_t, and the answer is the posterior mean.

Variances by a network, means in closed form: amortized sparse Bayesian learning (Wipf & Nagarajan
2009, doi:10.1016/j.neuroimage.2008.02.059), inside a denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bayesesi.network.conditioning import CONTEXT, FEATURES
from bayesesi.network.cortical_transformer import CorticalTransformer
from bayesesi.network.field_view import EXTENTS, FieldForward, FieldScene
from bayesesi.spec import Backbone

#: Largest |log d|.
_LIMIT = 9.0
#: Of the minimum norm and of its means over the two smaller extents; of x_t over each extent.
_N_GATES = 3 + len(EXTENTS)
#: Sizes of the fields above, and how far x_t stands out of its noise: itself and its means.
_N_SEEN = 3 + 1 + len(EXTENTS)
_N_TIMES = 3
#: Numbers a source for each of the two heads: gates and log d.
_N_EACH = _N_GATES + 1


@dataclass(frozen=True, eq=False)
class Belief:
    """What the network says of B fields.

    Attributes
    ----------
    mean : (S, B, R) m. variance : (S, B) d. inflation : (B,) kappa.
    """

    mean: Tensor
    variance: Tensor
    inflation: Tensor


class FieldDenoiser(nn.Module):
    """See the module.

    Parameters
    ----------
    backbone : sizes. seed : of the weights.
    """

    def __init__(self, backbone: Backbone, seed: int = 0) -> None:
        super().__init__()
        sizes = (len(FEATURES) + _N_SEEN, len(CONTEXT) + _N_TIMES, 2 * _N_EACH, 3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = CorticalTransformer(backbone, *sizes)

    def forward(
        self, x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldScene, forward: FieldForward
    ) -> Tensor:
        """(S, B, R) E[x | x_t, v] of x_t (S, B, R) under (B,) alpha and sigma."""
        belief, _ = self._belief(x, alpha, sigma, scene, forward, False)
        return conditioned(belief, x, alpha, sigma, scene, forward)

    def mean(self, scene: FieldScene, forward: FieldForward) -> tuple[Tensor, Tensor]:
        """(S, B, R) posterior mean of an event, by the head that is supervised as such, and the
        (B,) log odds that there is none."""
        zero, one = torch.zeros_like(scene.size), torch.ones_like(scene.size)
        nothing = torch.zeros_like(forward.spreads(scene.values))
        belief, log_odds = self._belief(nothing, zero, one, scene, forward, True)
        return conditioned(belief, nothing, zero, one, scene, forward), log_odds

    def _belief(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        scene: FieldScene,
        forward: FieldForward,
        mean: bool,
    ) -> tuple[Belief, Tensor]:
        with torch.no_grad():
            fields, seen = _fields(x, alpha, sigma, scene, forward)
            times = torch.stack([alpha, sigma, (alpha / (alpha + sigma)).sqrt()], dim=1)
            features = torch.cat([scene.features, seen], dim=2)
            context = torch.cat([scene.context, times], dim=1)
        sources = torch.arange(forward.n_sources, device=x.device)
        each, ends = self.backbone(features, context, sources)
        own = each.float()[:, :, _N_EACH * mean : _N_EACH * (1 + mean)].movedim(1, 0)
        expected = (fields * own[:, :, :_N_GATES].movedim(2, 0)[..., None]).sum(0)
        variance = own[:, :, -1].clamp(-_LIMIT, _LIMIT).exp()
        inflation = (3 * ends.float()[:, int(mean)]).clamp(-_LIMIT, _LIMIT).exp()
        return Belief(expected, variance, inflation), ends.float()[:, 2]

    @property
    def n_scene_features(self) -> int:
        """F of a scene."""
        return len(FEATURES)


def conditioned(
    belief: Belief,
    x: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    scene: FieldScene,
    forward: FieldForward,
) -> Tensor:
    """(S, B, R) E[x | x_t, v] under a belief, see the module."""
    d = belief.variance
    with torch.autocast(x.device.type, enabled=False):
        total = sigma**2 + d * alpha**2
        variance = d * sigma**2 / total
        base = belief.mean * (sigma**2 / total)[:, :, None] + x * (d * alpha / total)[:, :, None]
        half = forward.rows[None] * variance.T.sqrt()[:, None]
        noise = belief.inflation * scene.noise
        gram = half @ half.transpose(1, 2) + torch.diag_embed(noise[:, None].expand(half.shape[:2]))
        left = (scene.values - forward.sees(base)).movedim(0, 1)
        solved = torch.cholesky_solve(left, torch.linalg.cholesky(gram)).movedim(0, 1)
        return base + variance[:, :, None] * forward.spreads(solved)


def minimum_norm(
    x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldScene, forward: FieldForward
) -> Tensor:
    """(S, B, R): E[x | x_t, v] of x ~ N(0, I)."""
    total = sigma**2 + alpha**2
    base = x * (alpha / total)[:, None]
    c = sigma**2 / total
    left = scene.values - forward.sees(base)
    weight = c / (c * forward.power[:, None] + scene.noise)
    return base + forward.spreads(left * weight[:, :, None])


def _fields(
    x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldScene, forward: FieldForward
) -> tuple[Tensor, Tensor]:
    """(G, S, B, R) fields that gates mix, and (B, S, F) what is seen of them."""
    inverse = minimum_norm(x, alpha, sigma, scene, forward)
    fields = [inverse, *(forward.smoothed(inverse, k) for k in range(2))]
    seen = [field.square().mean(2).sqrt().mul(3).asinh() for field in fields]
    share = (alpha / (alpha + sigma)).clamp(min=1e-6)
    seen.append(_excess(x, sigma, share))
    for k, left in enumerate(forward.left):
        smooth, own = forward.smoothed(x, k), sigma * left**0.5
        seen.append(_excess(smooth, own, share))
        fields.append(smooth * (alpha / (alpha**2 + own**2))[:, None])
    return torch.stack(fields), torch.stack([part.T for part in seen], dim=2)


def _excess(x: Tensor, sd: Tensor, share: Tensor) -> Tensor:
    """(S, B): how far x stands out of white noise, fading where there is nothing else in it."""
    r = x.shape[2]
    power = (x / sd.clamp(min=1e-4)[:, None]).square().sum(2)
    return ((power - r) / (2 * r) ** 0.5).asinh() * share
