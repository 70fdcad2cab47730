"""E[x | x_t, v]: how large each source may be, by a network; the rest is Gaussian.

x_t = alpha x + sigma eps is a field under white noise, u = A x + e the data (``features.field``).
The network gives every source a mean m and a variance d_s about it, and every course of time a
factor w_q of the variances along it and a factor kappa_q of the noise, which is larger where heads
differ. The rest is in closed form: with
d = d_s w_q, a = sigma² / (sigma² + d alpha²), b = m a + x_t d alpha / (sigma² + d alpha²), c = d a,

    E[x | x_t, v] = b + c A' (A c A' + kappa nu I)^-1 (u - A b).

m is a mixture, by the network's gates, of fields that turn with the data: the same formula with
d = 1, m = 0, and means of it and of x_t over neighbours. So a field turned in time, or with its
sign reversed, is answered by the same answer turned. Gates and logarithms begin at 0: the network
starts as the minimum norm of ``posterior.gaussian``, of independent sources alike at the sensors,
and learns the rest. At alpha = 0 nothing is seen of x_t, and the answer is the posterior mean.

Variances by a network, means in closed form: amortized sparse Bayesian learning (Wipf & Nagarajan
2009, doi:10.1016/j.neuroimage.2008.02.059), inside a denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bayesesi.features.field import EXTENTS, FieldForward, FieldInputs
from bayesesi.features.network_inputs import NetworkInputs, OperatorInputs, Tokens
from bayesesi.features.scan import CONTEXT, FEATURES, N_MEASURED
from bayesesi.registry import implementation, implements
from bayesesi.spec import DiffusionSpec, NetworkSpec, Recipe, Spec

#: Largest |log d|.
_LIMIT = 9.0
#: Of the minimum norm and of its means over the two smaller extents; of x_t over each extent.
_N_GATES = 3 + len(EXTENTS)
#: Sizes of the fields above, and how far x_t stands out of its noise: itself and its means.
_N_SEEN = 3 + 1 + len(EXTENTS)
_N_TIMES = 3
#: What a course shows of itself, and numbers in between.
N_COURSE, _COURSE_WIDTH = 3, 16
#: Numbers of a source in each output: gates and log d.
_N_EACH = _N_GATES + 1


@dataclass(frozen=True, eq=False)
class SourceGaussian:
    """Hold the mean and the variance of every source that a network gives to B fields.

    Attributes
    ----------
    mean : (S, B, Q) m. variance : (S, B, Q) d. inflation : (B, Q) kappa.
    """

    mean: Tensor
    variance: Tensor
    inflation: Tensor

    def repeat(self, n: int) -> SourceGaussian:
        """Repeat each field ``n`` times, side by side."""
        mean, variance = (each.repeat_interleave(n, dim=1) for each in (self.mean, self.variance))
        return SourceGaussian(mean, variance, self.inflation.repeat_interleave(n, dim=0))


@dataclass(frozen=True, eq=False)
class MeanField:
    """The posterior mean of B observations, by the head that is trained for it.

    Attributes
    ----------
    mean : (S, B, Q) E[x | v, there is an event], unitless. log_odds : (B,) that there is none.
    """

    mean: Tensor
    log_odds: Tensor


@dataclass(frozen=True, eq=False)
class FieldCaseInputs:
    """B observations of one forward on a level of the template's cortex.

    Attributes
    ----------
    forward : what they share. scene : what the network sees of them. ico : the level.
    """

    forward: FieldForward
    scene: FieldInputs
    ico: int


@implements(DiffusionSpec)
class FieldDenoiser(nn.Module):
    """See the module.

    Parameters
    ----------
    backbone : family and sizes. seed : of the weights.
    n_outputs : how many Gaussians it can hold side by side, the first of them that of draws.
    n_ends : numbers for an event as a whole. matching : of velocities (``"flow"``) or of scores
        (``"score"``), in training.
    """

    context_names: ClassVar[tuple[str, ...]] = CONTEXT[:N_MEASURED]
    #: Parts of ``NetworkInputs`` that a backbone may read.
    offers: ClassVar[frozenset[str]] = frozenset({"source_features", "graph", "operator"})

    def __init__(
        self,
        backbone: NetworkSpec,
        seed: int = 0,
        n_outputs: int = 2,
        n_ends: int = 1,
        matching: str = "flow",
    ) -> None:
        super().__init__()
        self.matching = matching
        sizes = (len(FEATURES) + _N_SEEN, len(CONTEXT) + _N_TIMES, n_outputs * _N_EACH, n_ends)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = implementation(backbone)(backbone, *sizes)
            self.backbone.check_fits(self.offers, "diffusion")
            self.course = nn.Sequential(
                nn.Linear(N_COURSE + len(CONTEXT) + _N_TIMES, _COURSE_WIDTH),
                nn.SiLU(),
                nn.Linear(_COURSE_WIDTH, 2 * n_outputs),
            )
        for parameter in self.course[-1].parameters():  # begins by changing nothing
            nn.init.zeros_(parameter)

    @classmethod
    def of(cls, recipe: Recipe, prior: Spec) -> FieldDenoiser:
        """Make the untrained network of ``recipe``; ``prior`` is of its sources."""
        assert isinstance(recipe.estimator, DiffusionSpec)
        assert recipe.network is not None
        return cls(recipe.network, recipe.seed, matching=recipe.estimator.matching)

    def answer(self, inputs: FieldCaseInputs) -> MeanField:
        """Compute the posterior mean of ``inputs``, by its own head."""
        return MeanField(*self.mean(inputs.scene, inputs.forward))

    def contexts(self, inputs: FieldCaseInputs) -> Tensor:
        """Take the contexts (B, C) of the observations in ``inputs``."""
        return inputs.scene.context

    def forward(
        self, x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldInputs, forward: FieldForward
    ) -> Tensor:
        """Compute E[x | x_t, v], (S, B, Q).

        Parameters
        ----------
        x : (S, B, Q) x_t. alpha, sigma : (B,), see the module. scene : of B observations.
        forward : that they share.
        """
        belief = self.belief(x, alpha, sigma, scene, forward)
        return conditioned(belief, x, alpha, sigma, scene, forward)

    def belief(
        self, x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldInputs, forward: FieldForward
    ) -> SourceGaussian:
        """Describe x given x_t and v.

        Parameters
        ----------
        x, alpha, sigma, scene, forward : (S, B, Q), (B,) and (B,), and inputs, see ``forward``.
        """
        return self._belief(x, alpha, sigma, scene, forward, 0)[0]

    def of_data(
        self, scene: FieldInputs, forward: FieldForward, head: int = 0
    ) -> tuple[SourceGaussian, Tensor]:
        """Describe x given v alone, and (B, E) numbers of the event as a whole.

        ``scene`` and ``forward`` are inputs; ``head`` is which of the Gaussians that are held.
        """
        zero = scene.size.new_zeros(len(scene))
        nothing = scene.values.new_zeros(forward.n_sources, *scene.values.shape[1:])
        return self._belief(nothing, zero, zero + 1, scene, forward, head)

    def mean(self, scene: FieldInputs, forward: FieldForward) -> tuple[Tensor, Tensor]:
        """Compute the posterior mean (S, B, Q) of an event, and (B,) log odds that there is none.

        The head that is supervised as such answers for ``scene`` and ``forward``.
        """
        belief, ends = self.of_data(scene, forward, 1)
        return given_data(belief, scene, forward), ends[:, 0]

    def _belief(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        scene: FieldInputs,
        forward: FieldForward,
        head: int,
    ) -> tuple[SourceGaussian, Tensor]:
        with torch.no_grad():
            fields, seen = _fields(x, alpha, sigma, scene, forward)
            times = torch.stack([alpha, sigma, (alpha / (alpha + sigma)).sqrt()], dim=1)
            context = torch.cat([scene.context, times], dim=1)
        inputs = NetworkInputs(
            context,
            torch.arange(forward.n_sources, device=x.device),
            source_features=lambda: torch.cat([scene.features, seen], dim=2),
            graph=lambda: forward.smooth,
            operator=lambda: OperatorInputs(forward.operator, scene.values, scene.noise),
        )
        tokens: Tokens = self.backbone(inputs)
        own = tokens.sources.float()[:, :, _N_EACH * head : _N_EACH * (1 + head)].movedim(1, 0)
        expected = (fields * own[:, :, :_N_GATES].movedim(2, 0)[..., None]).sum(0)
        along = self.course(of_courses(scene, context)).float()[:, :, 2 * head : 2 * head + 2]
        size, inflation = (3 * part for part in along.unbind(2))
        variance = (own[:, :, -1:] + size).clamp(-_LIMIT, _LIMIT).exp()
        inflation = inflation.clamp(-_LIMIT, _LIMIT).exp()
        return SourceGaussian(expected, variance, inflation), tokens.whole.float()


def conditioned(
    belief: SourceGaussian,
    x: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    scene: FieldInputs,
    forward: FieldForward,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Compute E[x | x_t, v], (S, B, Q), under ``belief``; a draw if given a ``generator``.

    A draw is the mean given data and field that are each off by what may be (Matheron's rule): with
    b + sqrt(c) z, z ~ N(0, I), for b and u + e, e ~ N(0, kappa nu I), for u.

    Parameters
    ----------
    x : (S, B, Q) x_t. alpha, sigma : (B,), see the module. scene, forward : inputs.
    """
    d, noise = belief.variance, belief.inflation * scene.noise
    with torch.autocast(x.device.type, enabled=False):
        alpha, sigma = alpha[:, None], sigma[:, None]
        total = sigma**2 + d * alpha**2
        variance = d * sigma**2 / total
        base = belief.mean * (sigma**2 / total) + x * (d * alpha / total)
        values = scene.values
        if generator is not None:
            base = base + variance.sqrt() * torch.randn(x.shape, generator=generator)
            values = values + noise.sqrt() * torch.randn(values.shape, generator=generator)
        operator = forward.operator
        return base + operator.A_dagger(values - operator.A(base), noise, variance)


def given_data(
    belief: SourceGaussian,
    scene: FieldInputs,
    forward: FieldForward,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Compute E[x | v], (S, B, Q), under ``belief``; a draw if given a ``generator``.

    ``scene`` and ``forward`` are inputs.
    """
    zero, nothing = scene.size.new_zeros(len(scene)), torch.zeros_like(belief.mean)
    return conditioned(belief, nothing, zero, zero + 1, scene, forward, generator)


def minimum_norm(
    x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldInputs, forward: FieldForward
) -> Tensor:
    """Compute E[x | x_t, v] of x ~ N(0, I), (S, B, Q).

    Parameters
    ----------
    x : (S, B, Q) x_t. alpha, sigma : (B,), see the module. scene, forward : inputs.
    """
    alpha, sigma = alpha[:, None], sigma[:, None]
    total = sigma**2 + alpha**2
    base = x * (alpha / total)
    c = sigma**2 / total
    operator = forward.operator
    left = scene.values - operator.A(base)
    # A_dagger, where the rows of A are orthogonal
    shrunk = left * (c / (c * forward.power[:, None, None] + scene.noise))
    return base + operator.A_adjoint(shrunk)


def of_courses(scene: FieldInputs, context: Tensor) -> Tensor:
    """Describe each course, (B, Q, F): its noise and share, whether it is first, and the context.

    ``scene`` is of B observations, ``context`` (B, C) of each as a whole.
    """
    first = torch.zeros_like(scene.size)
    first[:, 0] = 1.0
    own = torch.stack([scene.noise.log() / 5, scene.share, first], dim=2)
    return torch.cat([own, context[:, None].expand(-1, own.shape[1], -1)], dim=2)


def _fields(
    x: Tensor, alpha: Tensor, sigma: Tensor, scene: FieldInputs, forward: FieldForward
) -> tuple[Tensor, Tensor]:
    """(G, S, B, Q) fields that gates mix, and (B, S, F) what is seen of them."""
    inverse = minimum_norm(x, alpha, sigma, scene, forward)
    fields = [inverse, *(forward.smoothed(inverse, k) for k in range(2))]
    seen = [_arsinh(3 * (field * scene.share).norm(dim=2)) for field in fields]
    share = (alpha / (alpha + sigma)).clamp(min=1e-6)
    seen.append(_excess(x, sigma, share, scene.share))
    for k, left in enumerate(forward.left):
        smooth, own = forward.smoothed(x, k), sigma * left**0.5
        seen.append(_excess(smooth, own, share, scene.share))
        fields.append(smooth * (alpha / (alpha**2 + own**2))[:, None])
    return torch.stack(fields), torch.stack([part.T for part in seen], dim=2)


def _excess(x: Tensor, sd: Tensor, share: Tensor, weight: Tensor) -> Tensor:
    """(S, B): how far x stands out of white noise, courses by their share of the data, fading
    where there is nothing else in it."""
    squares = (x / sd.clamp(min=1e-4)[:, None]).square() - 1
    out = (squares * weight**2).sum(2) / (2 * (weight**4).sum(1)).sqrt()
    return _arsinh(out) * share


def _arsinh(x: Tensor) -> Tensor:
    """By the logarithm, which torch has for many numbers at once: a tenth of a draw's time."""
    size = x.abs()
    return x.sign() * (size + size.square() / (1 + (1 + size.square()).sqrt())).log1p()
