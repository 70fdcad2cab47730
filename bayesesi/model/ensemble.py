"""Several models as one, and one network as several."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import nn

from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator
from bayesesi.model.base import Model
from bayesesi.model.learned import LearnedModel
from bayesesi.observation import Observation
from bayesesi.posterior.ensemble import EnsemblePosterior, ensemble_posterior


@dataclass(frozen=True)
class EnsembleModel(Model):
    """The mixture of what several models say, see ``posterior.ensemble``.

    Attributes
    ----------
    members : models, alike in weight.
    """

    family: ClassVar[str] = "ensemble"

    members: tuple[Model, ...]

    @property
    def name(self) -> str:
        return "+".join(member.name for member in self.members)

    @property
    def fingerprint(self) -> str:
        return "+".join(member.fingerprint for member in self.members)

    @property
    def prior_null(self) -> float:
        return sum(member.prior_null for member in self.members) / len(self.members)

    def posterior(self, obs: Observation, seed: int = 0) -> EnsemblePosterior:
        return ensemble_posterior([m.posterior(obs, seed + i) for i, m in enumerate(self.members)])

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        """Orient sources of ``forward`` as every member takes them."""
        return reduce(lambda held, member: member.oriented(held), self.members, forward)

    def details(self, obs: Observation) -> dict[str, Any]:
        of_members = [member.details(obs) for member in self.members]
        heads = min(int(details.get("n_heads", 0)) for details in of_members)
        return {**super().details(obs), "members": of_members, "n_heads": heads}


def ensemble(members: Sequence[Model]) -> EnsembleModel:
    """Mix ``members``, which count alike.

    They are networks of one recipe that began at different weights, or models of different
    families.

    Raises
    ------
    InputError : fewer than two.
    """
    if len(members) < 2:
        raise InputError(f"an ensemble has two members or more, not {len(members)}")
    return EnsembleModel(", ".join(dict.fromkeys(m.prior for m in members)), tuple(members))


def dropout_ensemble(
    model: LearnedModel, n: int = 5, share: float = 0.05, seed: int = 0
) -> EnsembleModel:
    """Copy a network ``n`` times, each without a ``share`` (0 to .5) of the numbers inside.

    Monte Carlo dropout (Gal & Ghahramani 2016, arXiv:1506.02142): W diag(z) / (1 - share), z
    Bernoulli, for every matrix between hidden layers of ``model``. The networks that ship were not
    trained under it: how far copies differ is a measure of how much an answer hangs on few of the
    numbers, no calibrated one. ``seed`` decides which are left out.

    Raises
    ------
    InputError : fewer than two copies, or a share outside 0 to .5.
    """
    if not 0 < share <= 0.5:
        raise InputError(f"share must be above 0 and at most 0.5, got {share:g}")
    generator = torch.Generator().manual_seed(seed)
    networks = [_thinned(model.network, share, generator) for _ in range(n)]
    copies = [replace(model, network=network, digest=None) for network in networks]
    return ensemble(copies)


def _thinned(network: nn.Module, share: float, generator: torch.Generator) -> nn.Module:
    """The first matrix of every perceptron, which reads what was measured, stays whole."""
    made = copy.deepcopy(network)
    for module in made.modules():
        if isinstance(module, nn.Sequential):
            for layer in list(module)[1:]:
                if isinstance(layer, nn.Linear):
                    kept = torch.rand(layer.in_features, generator=generator) >= share
                    layer.weight.data *= kept / (1 - share)
    return made.eval()
