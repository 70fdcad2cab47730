"""Draw the activity of parcels of one observation, and fields of moments that agree with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.errors import InputError
from bayesesi.estimator.field import given_data
from bayesesi.estimator.parcel_gaussian import lifted
from bayesesi.estimator.parcels import ParcelBelief, ParcelEstimator, Scaled, parcel_density
from bayesesi.features import ParcelForward, TrainingRange
from bayesesi.observation import Observation
from bayesesi.posterior.network_posterior import NetworkPosterior, field_inputs
from bayesesi.posterior.sbi_posterior import NANO

if TYPE_CHECKING:
    from sbi.inference.posteriors import DirectPosterior

#: Fields that go together.
_TOGETHER = 64


def parcel_posterior(
    obs: Observation,
    network: ParcelEstimator,
    level: int,
    seed: int = 0,
    support: TrainingRange | None = None,
) -> ParcelPosterior:
    """Condition the network on one observation.

    Parameters
    ----------
    obs : of sources fixed to the normal. network : the estimator. level : of the template's sources
        that it knows. seed : of the draws behind ``sd``. support : which contexts it met.

    Raises
    ------
    InputError : another source space, sources that are not fixed to the normal.
    """
    forward, scene = field_inputs(obs, level)
    return ParcelPosterior(
        obs,
        forward=forward,
        scene=scene,
        seed=seed,
        support=support,
        network=network.eval(),
        parcels=ParcelForward.on(forward, network.parcels),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class ParcelPosterior(NetworkPosterior):
    """Hold the activity of the pieces of regions.

    ``parcel_moments`` draws it; ``log_prob`` is its density. ``sample`` gives fields of moments:
    each is drawn given the activity of the parcels, by the Gaussian that the network holds.

    Attributes
    ----------
    network : the estimator. parcels : which they are, and how sources add up in them.
    """

    n_spread: ClassVar[int] = 256

    network: ParcelEstimator = field(repr=False)
    parcels: ParcelForward = field(repr=False)

    @property
    def caveat(self) -> str:
        return (
            "this network was trained for sums of moments over parcels, where in simulated rhythms "
            "it was no better than eLORETA with errors of matched size; how often its sets of "
            "regions hold the truth was not measured"
        )

    @cached_property
    def _belief(self) -> ParcelBelief:
        with torch.inference_mode():
            return self.network.belief(self.scene, self.parcels)

    @cached_property
    def null_probability(self) -> float:
        return float(torch.sigmoid(self._belief.log_odds.double())[0])

    def parcel_moments(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw the summed moment of each parcel, (n, P, R) A m; 0 where a draw has no event.

        Parameters
        ----------
        n : number of draws. seed : of the draws.

        Raises
        ------
        InputError : fewer than one draw.
        """
        loud, y = self._draw(n, seed)
        out = np.zeros((n, self.parcels.n_parcels, self.obs.n_functions))
        out[loud] = self._moments_of_parcels(y)
        return out

    def log_prob(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate the (D,) log density of activity given an event, nats.

        A density along the courses of ``scene.turn``, per (A m)^(P Q).

        Parameters
        ----------
        draws : (D, P, R) A m, as ``parcel_moments`` gives them.

        Raises
        ------
        InputError : another shape.
        """
        draws = np.asarray(draws, float)
        shape = (self.parcels.n_parcels, self.obs.n_functions)
        if draws.ndim != 3 or draws.shape[1:] != shape:
            raise InputError(
                f"the density is of the activity of parcels, (draws, {shape[0]}, {shape[1]}), as "
                f"parcel_moments gives it; came {draws.shape}"
            )
        turned = np.einsum("dpr,rq->pdq", draws, self.scene.turn[0].double().numpy())
        unit = (self.scene.size[0] * self.parcels.size[:, None]).double().numpy()  # (P, Q)
        y = torch.from_numpy(turned / unit[:, None]).permute(2, 1, 0)[None]
        with torch.inference_mode():
            each = self.network.log_prob(y, self._belief)[0].sum(0)
        return np.asarray(each.double().numpy() - np.log(unit).sum())

    def mean(self) -> NDArray[np.float64]:
        """Average fields that agree with the mean of ``n_spread`` draws of the parcels."""
        y = self._parcel_draws(self.n_spread, self._generator(self.seed)).mean(dim=1, keepdim=True)
        belief = self._belief
        with torch.inference_mode():
            center = given_data(belief.field, self.scene, self.forward)
            x = lifted(center, y, belief.field, belief.gaussian, self.parcels)
        return np.asarray((1 - self.null_probability) * self._moments(x)[0])

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        loud, y = self._draw(n, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        rows, draws, belief = np.flatnonzero(loud), self._no_moments(n), self._belief
        with torch.inference_mode():
            for first in range(0, len(rows), _TOGETHER):
                some = y[:, first : first + _TOGETHER]
                many, own = self._scenes(some.shape[1]), belief.field.repeat(some.shape[1])
                x = given_data(own, many, self.forward, generator)
                told = some - self.network.floor * torch.randn(some.shape, generator=generator)
                x = lifted(x, told, belief.field, belief.gaussian, self.parcels)
                draws[rows[first : first + _TOGETHER]] = self._moments(x)
        return draws

    def as_sbi_posterior(self) -> DirectPosterior:
        """Wrap the activity given an event for sbi, flat: nA m, course by course of a parcel.

        Its default observation is this one (``FieldInputs.flat``).
        """
        from sbi.inference.posteriors import DirectPosterior

        density = parcel_density(self.network, self.parcels, self.scene)
        unit = (self.scene.size[0] * self.parcels.size[:, None]).flatten()
        scaled = Scaled(density, NANO * unit)
        # of it sbi uses no more than the support, and a spread
        anything = torch.distributions.Normal(torch.zeros_like(unit), NANO * unit)
        prior = torch.distributions.Independent(anything, 1)
        with torch.random.fork_rng(devices=[]):  # it tries the prior
            return DirectPosterior(scaled, prior).set_default_x(self.scene.flat())

    def _draw(self, n: int, seed: int) -> tuple[NDArray[np.bool_], Tensor]:
        """(n,) which have an event, and (P, k, Q) the activity in those."""
        generator = self._generator(seed)
        loud = self._loud(n, generator)
        return loud, self._parcel_draws(int(loud.sum()), generator)

    @staticmethod
    def _generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def _parcel_draws(self, n: int, generator: torch.Generator) -> Tensor:
        """(P, n, Q); flows of sbi draw from the global generator, which is left as it was."""
        own = int(torch.randint(2**31, (1,), generator=generator))
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(own)
            return self.network.sample(max(n, 1), self._belief)[0].permute(2, 1, 0)[:, :n]

    def _moments_of_parcels(self, y: Tensor) -> NDArray[np.float64]:
        """(k, P, R) A m."""
        moments = self.parcels.moments(y, self._scenes(y.shape[1]))
        return np.asarray(moments.movedim(0, 1).double().numpy())

    def details(self) -> dict[str, Any]:
        return {
            "family": "flow",
            "heads": "marginalised by training",
            "parcels": self.parcels.n_parcels,
            "floor": self.network.floor,
        }
