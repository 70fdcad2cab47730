"""q(activity of parcels | observation): a Gaussian that a network sets, and a flow for the rest.

The network of ``estimator.field`` says of every source what to expect and a variance; of
these and the lead field follows a Gaussian N(mu, C) of the parcels in closed form
(``features.parcels``), which untrained is that of the minimum norm. With C = L L',

    log q(y | v) = log f(L^-1 (y - mu) | c) - log det L,

f a flow of sbi (neural posterior estimation; Papamakarios & Murray 2016, arXiv:1605.06376), by
splines (Durkan et al. 2019, arXiv:1906.04032) or affine, of zuko or of nflows, c what the network
says of the observation as a whole, and of the course. Courses of time are independent given v.

Activity is told to within ``floor`` of the size of the data, y = B x + floor N(0, I): patches of
cortex leave most parcels at 0, where no density is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sbi.neural_nets.estimators import ConditionalDensityEstimator
from torch import Tensor, nn

from bayesesi.anatomy import Parcels, template_parcels
from bayesesi.estimator.density import flow_of
from bayesesi.estimator.field import (
    N_COURSE,
    FieldCaseInputs,
    FieldDenoiser,
    SourceGaussian,
    of_courses,
)
from bayesesi.estimator.parcel_gaussian import ParcelGaussian, parcel_gaussian
from bayesesi.features import FieldInputs, ParcelForward
from bayesesi.features.scan import CONTEXT, N_MEASURED
from bayesesi.registry import implements
from bayesesi.spec import FlowSpec, Recipe, Spec


@dataclass(frozen=True, eq=False)
class ParcelBelief:
    """What is held of B observations.

    Attributes
    ----------
    field : of all sources. gaussian : of the parcels. context : (B, Q, C) of the flow.
    log_odds : (B,) that there is no event.
    """

    field: SourceGaussian
    gaussian: ParcelGaussian
    context: Tensor
    log_odds: Tensor


@dataclass(frozen=True, eq=False)
class ParcelAnswer:
    """The activity of the parcels of B observations, by its density.

    Attributes
    ----------
    estimator : whose answer it is. belief : of the observations. forward : of the parcels.
    """

    estimator: ParcelEstimator
    belief: ParcelBelief
    forward: ParcelForward

    @property
    def log_odds(self) -> Tensor:
        """(B,) that there is no event."""
        return self.belief.log_odds

    @property
    def floor(self) -> float:
        """Resolution of a parcel's activity, as a share of the data's size."""
        return self.estimator.floor

    def log_prob(self, y: Tensor) -> Tensor:
        """Compute the log density (B, Q, n) of ``y`` (B, Q, n, P)."""
        return self.estimator.log_prob(y, self.belief)


@implements(FlowSpec)
class ParcelEstimator(nn.Module):
    """See the module. Its parcels are part of its weights.

    Parameters
    ----------
    recipe : its tables network and estimator, and the seed of the weights. parcels : of cortex.
    """

    context_names: ClassVar[tuple[str, ...]] = CONTEXT[:N_MEASURED]

    def __init__(self, recipe: Recipe, parcels: Parcels) -> None:
        super().__init__()
        spec = recipe.estimator
        assert isinstance(spec, FlowSpec)
        assert recipe.network is not None
        self.floor = spec.floor
        for name in ("labels", "signs", "region"):
            self.register_buffer(name, torch.from_numpy(getattr(parcels, name).astype(np.int16)))
        self.believer = FieldDenoiser(recipe.network, recipe.seed, 1, 1 + spec.context)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            sizes = (spec.density, spec.hidden, spec.transforms)
            self.flow = flow_of(*sizes, len(parcels), spec.context + N_COURSE)

    @classmethod
    def of(cls, recipe: Recipe, prior: Spec) -> ParcelEstimator:
        """Make the untrained network of ``recipe``; ``prior`` is of its sources."""
        assert isinstance(recipe.estimator, FlowSpec)
        return cls(recipe, template_parcels(recipe.estimator.parcels, recipe.ico))

    def answer(self, inputs: FieldCaseInputs) -> ParcelAnswer:
        """Compute the density of the activity of the parcels, given ``inputs``."""
        forward = ParcelForward.on(inputs.forward, self.parcels)
        return ParcelAnswer(self, self.belief(inputs.scene, forward), forward)

    def contexts(self, inputs: FieldCaseInputs) -> Tensor:
        """Take the contexts (B, C) of the observations in ``inputs``."""
        return inputs.scene.context

    @property
    def parcels(self) -> Parcels:
        held = (getattr(self, name).cpu().numpy() for name in ("labels", "signs", "region"))
        return Parcels(*(each.astype(np.int64) for each in held))

    def belief(self, scene: FieldInputs, forward: ParcelForward) -> ParcelBelief:
        """Describe fields and parcels given ``scene`` and ``forward``."""
        field, ends = self.believer.of_data(scene, forward.field)
        gaussian = parcel_gaussian(field, scene, forward, self.floor)
        return ParcelBelief(field, gaussian, of_courses(scene, ends[:, 1:]), ends[:, 0])

    def log_prob(self, y: Tensor, belief: ParcelBelief) -> Tensor:
        """Compute the log density (B, Q, n) of ``y`` (B, Q, n, P) under ``belief``."""
        gaussian = belief.gaussian
        apart = (y.double() - gaussian.mean[:, :, None].double()).transpose(2, 3)
        z = torch.linalg.solve_triangular(gaussian.lower, apart, upper=False)
        size = gaussian.lower.diagonal(dim1=2, dim2=3).log().sum(2)
        flat = z.flatten(0, 1).permute(2, 0, 1).float()  # (n, B Q, P)
        each = self.flow.log_prob(flat, belief.context.flatten(0, 1))
        return each.T.unflatten(0, y.shape[:2]) - size[:, :, None]

    def sample(self, n: int, belief: ParcelBelief) -> Tensor:
        """Draw ``n`` times from ``belief``, (B, Q, n, P), from the generator of torch."""
        gaussian, context = belief.gaussian, belief.context
        z = self.flow.sample((n,), context.flatten(0, 1))  # (n, B Q, P)
        z = z.movedim(0, 1).unflatten(0, context.shape[:2]).double()
        return (z @ gaussian.lower.transpose(2, 3)).float() + gaussian.mean[:, :, None]


class _ParcelDensity(ConditionalDensityEstimator):
    """Of flat activity (P Q,), parcel by parcel, given flat scenes of one forward."""

    def __init__(self, net: ParcelEstimator, forward: ParcelForward, like: FieldInputs) -> None:
        numbers = forward.n_parcels * like.size.shape[1]
        condition = like.pick(slice(1)).flat().shape[1]
        super().__init__(net, torch.Size([numbers]), torch.Size([condition]))
        self.forward_model, self.like = forward, like

    def _belief(self, condition: Tensor) -> ParcelBelief:
        scene = FieldInputs.of_flat(condition.reshape(-1, *self.condition_shape), self.like)
        return self.net.belief(scene, self.forward_model)

    def log_prob(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        if input.ndim == 2:
            input = input[None]
        y = input.unflatten(2, (self.forward_model.n_parcels, -1)).permute(1, 3, 0, 2)
        each = self.net.log_prob(y, self._belief(condition))
        return each.sum(1).T

    def loss(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        return -self.log_prob(input, condition)[0]

    def sample(self, sample_shape: torch.Size, condition: Tensor, **_: Any) -> Tensor:
        n = torch.Size(sample_shape).numel()
        y = self.net.sample(n, self._belief(condition))
        flat = y.permute(2, 0, 3, 1).flatten(2)
        return flat.unflatten(0, tuple(sample_shape))


def parcel_density(
    network: ParcelEstimator, forward: ParcelForward, like: FieldInputs
) -> ConditionalDensityEstimator:
    """Wrap ``network`` as sbi has density estimators.

    It is of flat activity (P Q,) given flat scenes (``FieldInputs.flat``) of one ``forward``, in
    the shapes of the scene ``like``.
    """
    return _ParcelDensity(network, forward, like)


class Scaled(ConditionalDensityEstimator):
    """The density of what ``of`` is of, times ``factor`` (n,), no unit."""

    def __init__(self, of: ConditionalDensityEstimator, factor: Tensor) -> None:
        super().__init__(of, of.input_shape, of.condition_shape)
        self.factor = factor

    def log_prob(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        """Compute the log density (N, B) of ``input`` (N, B, n) given ``condition`` (B, C)."""
        each: Tensor = self.net.log_prob(input / self.factor, condition)
        return each - self.factor.log().sum()

    def loss(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        """Compute (B,) nats of ``input`` (B, n) given ``condition`` (B, C)."""
        return -self.log_prob(input, condition)[0]

    def sample(self, sample_shape: torch.Size, condition: Tensor, **_: Any) -> Tensor:
        """Draw (..., B, n) given ``condition`` (B, C), for ``sample_shape``."""
        return self.factor * self.net.sample(sample_shape, condition)
