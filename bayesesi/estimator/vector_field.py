"""One denoiser behind sbi's estimators of vector fields: as a velocity, or as a score.

With x_t = alpha x + sigma eps and D(x_t) = E[x | x_t, v] (``estimator.field``),

    flow (Lipman et al. 2023, arXiv:2210.02747): alpha = 1 - t, sigma = t,
        velocity E[eps - x | x_t, v] = (x_t - D) / t;
    score (Song et al. 2021, arXiv:2011.13456): alpha² + sigma² = 1,
        grad log p(x_t | v) = (alpha D - x_t) / sigma².

sbi scales what goes in and out of a net; the nets here undo that. A field (S, Q) is flat, as is
what a scene holds (``FieldInputs.flat``): the condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from sbi.neural_nets.estimators import FlowMatchingEstimator
from sbi.neural_nets.estimators.score_estimator import VPScoreEstimator
from sbi.utils.vector_field_utils import VectorFieldNet
from torch import Tensor

from bayesesi.estimator.field import FieldDenoiser
from bayesesi.features import FieldForward, FieldInputs

if TYPE_CHECKING:
    from sbi.neural_nets.estimators.base import ConditionalVectorFieldEstimator

Matching = Literal["flow", "score"]
#: Least sigma at which a denoiser is asked.
_LEAST = 1e-3


def field_estimator(
    denoiser: FieldDenoiser, forward: FieldForward, like: FieldInputs, matching: Matching = "flow"
) -> ConditionalVectorFieldEstimator:
    """Make sbi's estimator of flat fields (S Q,) given flat scenes.

    Scenes are of one ``forward``, in the shapes of ``like``; ``matching`` of ``denoiser`` is
    ``"flow"`` or ``"score"``. ``loss``, ``ode_fn`` and ``score`` are sbi's; it can stand in a
    ``VectorFieldPosterior``.
    """
    net = (_Velocity if matching == "flow" else _Score)(denoiser, forward, like)
    n_numbers = forward.n_sources * like.size.shape[1]
    shapes = (torch.Size([n_numbers]), torch.Size([like.pick(slice(1)).flat().shape[1]]))
    if matching == "flow":
        return FlowMatchingEstimator(net, *shapes, noise_scale=0.0)
    estimator = VPScoreEstimator(net, *shapes)
    # of noise, all alike, rather than of scores, nearly all of which is at small times
    estimator.weight_fn = lambda times: estimator.std_fn(times)[:, 0] ** 2
    return estimator


class _Net(VectorFieldNet):
    """The denoiser of one forward, flat."""

    def __init__(self, denoiser: FieldDenoiser, forward: FieldForward, like: FieldInputs) -> None:
        super().__init__()
        self.denoiser, self.field, self.like = denoiser, forward, like

    def denoised(self, x: Tensor, flat: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(B, S Q)."""
        scene = FieldInputs.of_flat(flat, self.like)
        field = x.unflatten(1, (self.field.n_sources, -1)).movedim(1, 0)
        return self.denoiser(field, alpha, sigma, scene, self.field).movedim(0, 1).flatten(1)


class _Velocity(_Net):
    """sbi gives x_t / sqrt((1 - t)² + t² + 1e-6) and multiplies what it gets by sqrt(2)."""

    def forward(self, theta: Tensor, x: Tensor, t: Tensor) -> Tensor:
        t = t.clamp(min=_LEAST)
        field = theta * ((1 - t) ** 2 + t**2 + 1e-6).sqrt()[:, None]
        clean = self.denoised(field, x, 1 - t, t)
        return (field - clean) / t[:, None] / 2**0.5


class _Score(_Net):
    """sbi gives x_t and sigma, and takes (alpha x_t - D) / sigma: its score is then ours."""

    def forward(self, theta: Tensor, x: Tensor, t: Tensor) -> Tensor:
        sigma = t.clamp(min=_LEAST)
        alpha = (1 - sigma**2).clamp(min=0.0).sqrt()
        return (alpha[:, None] * theta - self.denoised(theta, x, alpha, sigma)) / sigma[:, None]
