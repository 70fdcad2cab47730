"""q(next source, or none | observation, sources so far): the physics and a learned remainder.

With log L_a = log p(v~ | the sources so far and atom a) - log p(v~ | the sources so far) of
``features.scan``, an atom being one of E extents at one of N centres,

    logit_a    = tau log L_a + log p(centre) - log E + log p(more) + n_a,
    logit_none = log p(no more) + m,

tau > 0, n_a and m by the network; it begins with tau = 1, n = m = 0. For an exactly known head (no
discrepancy) and up to one source that is Bayes' rule itself; the network learns the rest: heads
that differ, noise that is not as whitened, what a further source would explain. Sources are named
strongest first, K at most, so that an event of k sources has the density

    q(event) = sum over orders of prod_i q(a_i | a_<i) q(none | a_1...a_k).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bayesesi.features import CONTEXT, FEATURES, ScanInputs
from bayesesi.features.network_inputs import NetworkInputs, Tokens
from bayesesi.features.scan import N_MEASURED
from bayesesi.registry import implementation, implements
from bayesesi.spec import AtomsSpec, Count, NetworkSpec, PatchSpec, Recipe


def log_hazard(count: Count) -> Tensor:
    """Compute (K, 2) log prior probability of no more sources and of more, given 0, 1... so far.

    ``count`` is the prior of their number.
    """
    p = np.array([count.null, *((1 - count.null) * np.array(count.weights))])
    left = p[::-1].cumsum()[::-1]
    stop = p[:-1] / left[:-1]
    with np.errstate(divide="ignore"):
        return torch.tensor(np.log(np.stack([stop, 1 - stop], axis=1)), dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class NextSourceInputs:
    """Scans of B observations of which some sources are given.

    Attributes
    ----------
    scan : of the B observations. given : (B,) how many sources each was given.
    sources : (N,) the centres, numbers of the template's sources. log_place : (N,) their prior.
    """

    scan: ScanInputs
    given: Tensor
    sources: Tensor
    log_place: Tensor


@implements(AtomsSpec)
class AtomEstimator(nn.Module):
    """See the module.

    Parameters
    ----------
    backbone : family and sizes. n_extents : E. count : the prior of the number of sources.
    seed : of the weights.
    """

    context_names: ClassVar[tuple[str, ...]] = CONTEXT[:N_MEASURED]
    #: Parts of ``NetworkInputs`` that a backbone may read.
    offers: ClassVar[frozenset[str]] = frozenset({"source_features"})

    hazard: Tensor

    def __init__(self, backbone: NetworkSpec, n_extents: int, count: Count, seed: int = 0) -> None:
        super().__init__()
        self.n_extents, self.most = n_extents, count.largest
        sizes = (len(FEATURES), len(CONTEXT), n_extents, 2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = implementation(backbone)(backbone, *sizes)
            self.backbone.check_fits(self.offers, "atoms")
        self.register_buffer("hazard", log_hazard(count), persistent=False)

    @classmethod
    def of(cls, recipe: Recipe, prior: PatchSpec) -> AtomEstimator:
        """Make the untrained network of ``recipe``; ``prior`` is of its sources."""
        assert isinstance(recipe.estimator, AtomsSpec)
        assert recipe.network is not None
        return cls(recipe.network, recipe.estimator.extents, prior.count, recipe.seed)

    def answer(self, inputs: NextSourceInputs) -> Tensor:
        """Compute (B, 1 + E N) log probabilities of what is next, of ``inputs``."""
        return self(inputs.scan, inputs.sources, inputs.log_place, inputs.given)

    def contexts(self, inputs: NextSourceInputs) -> Tensor:
        """Take the contexts (B', C) of the scans in ``inputs`` of which nothing was given."""
        return inputs.scan.context[inputs.given == 0]

    def forward(
        self, scene: ScanInputs, sources: Tensor, log_place: Tensor, given: Tensor
    ) -> Tensor:
        """Compute (B, 1 + E N) log probabilities of no more sources and of each atom in ``scene``.

        ``sources`` (N,) of the template's level are the centres, ``log_place`` (N,) their prior;
        ``given`` (B,) says how many sources the scene has been given, fewer than K.
        """
        inputs = NetworkInputs(scene.context, sources, source_features=lambda: scene.features)
        tokens: Tokens = self.backbone(inputs)
        beside, ends = tokens.sources, tokens.whole
        tau = ends[:, :1].exp()
        gained = (scene.log_likelihood - scene.nothing[:, None, None]).flatten(1)
        place = (log_place - float(np.log(self.n_extents))).repeat(self.n_extents)
        prior = self.hazard[given]
        atoms = tau * gained + place + beside.transpose(1, 2).flatten(1) + prior[:, 1:]
        stop = prior[:, :1] + ends[:, 1:]
        return torch.cat([stop, atoms], dim=1).log_softmax(1)
