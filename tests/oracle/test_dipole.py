"""The draws of `dipole` against its likelihood, integrated over a grid by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri

from bayesesi import list_models, load_model
from bayesesi.anatomy import template_blobs
from bayesesi.estimator.dipole import DipoleStates
from bayesesi.model import DipoleModel
from bayesesi.posterior.dipole import DipolePosterior
from tests.bench.dipole import cases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("dipole" not in list_models(), reason="no weights of `dipole` ship"),
]

#: Cases, draws of each, parts of a cell along each axis, of the extent's and the skull's priors.
N_CASES, N_DRAWS, N_PARTS, N_EXTENTS, N_SKULLS = 20, 20_000, 2, 4, 4
#: nats below the best cell at which a cell is left out.
_FAINT = 14.0


@pytest.fixture(scope="module")
def model() -> DipoleModel:
    found = load_model("dipole")
    assert isinstance(found, DipoleModel)
    return found


def quantiles(n: int) -> NDArray[np.float64]:
    """Standard normal numbers, each for a share 1 / n."""
    return np.asarray(ndtri((np.arange(n) + 0.5) / n))


def enumerated(post: DipolePosterior) -> NDArray[np.float64]:
    """(V,) probability of each cell given one dipole: a sum over places, extents and skulls."""
    blobs = template_blobs()
    offsets = (np.arange(N_PARTS) + 0.5) / N_PARTS - 0.5
    parts = np.stack(np.meshgrid(*[offsets] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    parts = parts * blobs.spacing
    nodes = [
        (part, extent, skull)
        for part in parts
        for extent in quantiles(N_EXTENTS)
        for skull in quantiles(N_SKULLS)
    ]
    first = log_likelihood(post, blobs.source_space.positions, 0.0, 0.0)
    kept = np.flatnonzero(first > first.max() - _FAINT)
    centres = blobs.source_space.positions[kept]
    each = [log_likelihood(post, centres + part, e, s) for part, e, s in nodes]
    total = np.full(blobs.n_points, -np.inf)
    total[kept] = logsumexp(each, axis=0)
    return np.exp(total - logsumexp(total))


def log_likelihood(
    post: DipolePosterior, places: NDArray[np.float64], extent: float, skull: float
) -> NDArray[np.float64]:
    n = len(places)
    dipoles = DipoleStates(
        torch.from_numpy(places).float()[:, None],
        torch.full((n, 1), extent),
        torch.full((n,), skull),
    )
    return post.belief.log_likelihood(dipoles, post.forward, post.scene).double().numpy()


def test_weighted_draws_are_those_of_the_likelihood(model: DipoleModel) -> None:
    """Total variation of the cells' probabilities, median over 20 cases, at most .1; its part from
    20,000 draws alone is about .05. The twin: the flows' own draws, and those of another case."""
    found, unweighted, others, before = [], [], [], None
    for case in cases(model, "frame-dipole", 3 * N_CASES, "validate"):
        if case.count != 1 or len(found) == N_CASES:
            continue
        exact = enumerated(case.post)
        drawn = case.post.propose(N_DRAWS, 1, seed=5)
        cell = template_blobs().cell(drawn.dipoles.place[:, 0].double().numpy())
        inside = cell >= 0
        shares = []
        for weight in (drawn.weights.normalised, np.full(N_DRAWS, 1 / N_DRAWS)):
            share = np.zeros(len(exact))
            np.add.at(share, cell[inside], weight[inside])
            shares.append(share)
        found.append(0.5 * np.abs(shares[0] - exact).sum())
        unweighted.append(0.5 * np.abs(shares[1] - exact).sum())
        if before is not None:
            others.append(0.5 * np.abs(before - exact).sum())
        before = shares[0]
    assert len(found) == N_CASES
    assert np.median(found) <= 0.1
    assert np.median(found) < np.median(unweighted)
    assert np.median(others) > 0.5
