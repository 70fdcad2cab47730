"""Wrap a posterior of one observation for sbi's diagnostics and plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bayesesi.errors import InputError

if TYPE_CHECKING:
    from bayesesi.posterior.base import Posterior

#: theta is in nA m.
NANO = 1e9


@dataclass(frozen=True, eq=False)
class SbiPosterior:
    """Wrap a posterior for sbi.

    theta are the moments j of all sources, flat, nA m; x are the whitened data, flat. sbi asks for
    ``sample``, ``sample_batched`` and ``log_prob``. This is of one observation: x may be left out,
    or be that of the observation.

    Attributes
    ----------
    posterior : of the observation.
    """

    posterior: Posterior

    @property
    def default_x(self) -> Tensor:
        """(1, n_eff R) the whitened data."""
        return torch.from_numpy(self.posterior.obs.values.reshape(1, -1)).float()

    def sample(
        self, sample_shape: Any = (1,), x: Tensor | None = None, seed: int | None = None, **_: Any
    ) -> Tensor:
        """Draw (..., S R) nA m.

        Parameters
        ----------
        sample_shape : of the draws. x : (n_eff R,) whitened, that of the observation.
        seed : of the draws; from the generator of torch without one.

        Raises
        ------
        InputError : another x.
        """
        self._check(x)
        shape = torch.Size(sample_shape)
        own = int(torch.randint(2**31, (1,))) if seed is None else seed
        draws = NANO * self.posterior.sample(shape.numel(), own)
        return torch.from_numpy(draws.reshape(*shape, -1)).float()

    def sample_batched(self, sample_shape: Any, x: Tensor, **_: Any) -> Tensor:
        """Draw (..., B, S R) nA m.

        Parameters
        ----------
        sample_shape : of the draws. x : (B, n_eff R) whitened, B times that of the observation.

        Raises
        ------
        InputError : another x.
        """
        parts = [self.sample(sample_shape, row) for row in x]
        return torch.stack(parts, dim=len(torch.Size(sample_shape)))

    def log_prob(self, theta: Tensor, x: Tensor | None = None, **_: Any) -> Tensor:
        """Evaluate the (D,) log density, nats, where the family has one.

        Parameters
        ----------
        theta : (D, S R) nA m. x : (n_eff R,) whitened, that of the observation.

        Raises
        ------
        InputError : another x, a family without a density.
        """
        self._check(x)
        shape = (*self.posterior.obs.leadfield.shape[1:], self.posterior.obs.n_functions)
        draws = theta.double().numpy().reshape(-1, *shape) / NANO
        found = self.posterior.log_prob(draws) - np.prod(shape) * np.log(NANO)
        return torch.from_numpy(np.asarray(found)).float()

    def _check(self, x: Tensor | None) -> None:
        if x is None:
            return
        own = self.default_x[0]
        if x.numel() != own.numel() or not torch.allclose(x.flatten().float(), own, atol=1e-4):
            raise InputError(
                "this posterior belongs to one observation, and x is another; make one by "
                "model.posterior(obs) for that"
            )
