"""Heads that say all in one pass: a mean and a variance a number, or the evidence for them.

``gaussian`` (heteroscedastic; Nix & Weigend 1994, doi:10.1109/ICNN.1994.374138): x_i ~ N(mu_i,
sd_i²). ``evidential`` (Amini et al. 2020, arXiv:1910.02600): mu_i ~ N(gamma_i, s² / nu_i), s² ~
inverse gamma(alpha_i, beta_i), by which x_i is a Student t of 2 alpha_i degrees of freedom about
gamma_i with the squared scale beta_i (1 + nu_i) / (nu_i alpha_i). The likelihood tells this
marginal alone, not how its variance falls into what is unsure, beta / (nu (alpha - 1)), and what is
noise, beta / (alpha - 1) (Meinert, Gawlikowski & Lavin 2023, arXiv:2205.10060): only the marginal
is kept here. Numbers are independent given the context.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from sbi.neural_nets.estimators import ConditionalDensityEstimator
from torch import Tensor, nn
from torch.distributions import Normal, StudentT
from torch.nn import functional

#: Least sd, and degrees of freedom.
_LEAST, _LEAST_DOF = 1e-3, 2.1


class OnePass(ConditionalDensityEstimator):
    """See the module.

    Parameters
    ----------
    kind : ``"gaussian"`` or ``"evidential"``. hidden : width. n : numbers. n_context : that they
        are given.
    """

    def __init__(
        self, kind: Literal["gaussian", "evidential"], hidden: int, n: int, n_context: int
    ) -> None:
        self.kind, numbers = kind, 2 if kind == "gaussian" else 3
        net = nn.Sequential(nn.Linear(n_context, hidden), nn.GELU(), nn.Linear(hidden, numbers * n))
        with torch.no_grad():
            for parameter in net[-1].parameters():
                parameter.mul_(0.1)
        super().__init__(net, torch.Size([n]), torch.Size([n_context]))

    def _of(self, condition: Tensor) -> Normal | StudentT:
        """Batches of conditions, by numbers."""
        parts = self.net(condition).unflatten(1, (-1, self.input_shape[0])).unbind(1)
        scale = functional.softplus(parts[1] + 0.54) + _LEAST  # about 1 untrained
        if self.kind == "gaussian":
            return Normal(parts[0], scale)
        dof = functional.softplus(parts[2] + 6.0) + _LEAST_DOF
        return StudentT(dof, parts[0], scale)

    def log_prob(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        """Compute (N, B) log densities of ``input`` (N, B, n) given ``condition`` (B, C)."""
        each: Tensor = self._of(condition).log_prob(input)
        return each.sum(-1)

    def loss(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:
        """Compute (B,) nats of ``input`` (B, n) given ``condition`` (B, n_context)."""
        return -self.log_prob(input[None], condition)[0]

    def sample(self, sample_shape: torch.Size, condition: Tensor, **_: Any) -> Tensor:
        """Draw (..., B, n) given ``condition`` (B, n_context), for ``sample_shape``."""
        found = self._of(condition)
        drawn: Tensor = found.sample(torch.Size(sample_shape))
        return drawn
