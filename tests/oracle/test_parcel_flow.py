"""Activity of parcels against a posterior in closed form, which the network has to learn.

The sources and sensors of ``test_diffusion``, under a prior whose variances the network does not
know; of some 70 parcels p(y | u) is then Gaussian.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import template_parcels
from bayesesi.estimator.parcels import ParcelEstimator
from bayesesi.features import FieldInputs, ParcelForward
from tests.laws.test_parcel_flow import recipe
from tests.oracle.test_diffusion import LEVEL, NU, Task, task

__all__ = ["task"]

STEPS, CASES, N_TEST, N_DRAWS = 500, 32, 60, 200


@pytest.fixture(scope="module")
def forward(task: Task) -> ParcelForward:
    return ParcelForward.on(task.forward, template_parcels(68, LEVEL))


def activity(
    network: ParcelEstimator, x: Tensor, forward: ParcelForward, generator: torch.Generator
) -> Tensor:
    """(B, 1, 1, P) with its floor."""
    y = forward.sums(x)
    y = y + network.floor * torch.randn(y.shape, generator=generator)
    return y.permute(1, 2, 0)[:, :, None]


def made() -> ParcelEstimator:
    return ParcelEstimator(recipe("nsf", LEVEL, 68), template_parcels(68, LEVEL))


@pytest.fixture(scope="module")
def learned(task: Task, forward: ParcelForward) -> ParcelEstimator:
    network = made()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x, scene = task.cases(CASES, generator)
        optimiser.zero_grad()
        belief = network.belief(scene, forward)
        y = activity(network, x, forward, generator)
        (-network.log_prob(y, belief).mean() / forward.n_parcels).backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def exact(
    task: Task, forward: ParcelForward, scene: FieldInputs, floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B, P) means and (P, P) covariance."""
    a, v = task.forward.operator.rows.double().numpy(), task.variance.double().numpy()
    rows = forward.sums(torch.eye(len(v))).double().numpy()
    gain = (v[:, None] * a.T) @ np.linalg.inv((a * v) @ a.T + NU * np.eye(len(a)))
    mean = rows @ gain @ scene.values[:, :, 0].double().numpy()
    covariance = (rows * v) @ rows.T - rows @ gain @ (a * v) @ rows.T
    return mean.T, covariance + floor**2 * np.eye(len(rows))


def energy_score(draws: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Mean over cases of E|Y - y| - E|Y - Y'| / 2, of draws (B, n, P)."""
    far = np.linalg.norm(draws - truth[:, None], axis=2).mean(axis=1)
    half = draws.shape[1] // 2
    apart = np.linalg.norm(draws[:, :half] - draws[:, half:], axis=2).mean(axis=1)
    return float((far - 0.5 * apart).mean())


@pytest.mark.slow
def test_activity_is_told_as_well_as_by_the_exact_gaussian(
    task: Task, forward: ParcelForward, learned: ParcelEstimator
) -> None:
    """Energy score over 60 cases within 5 % of the exact posterior's, and its density within .05
    nats a parcel; twins: the network before it has learned, and draws twice as wide."""
    generator = torch.Generator().manual_seed(4)
    x, scene = task.cases(N_TEST, generator)
    mean, covariance = exact(task, forward, scene, learned.floor)
    y = activity(learned, x, forward, generator)
    truth = y[:, 0, 0].double().numpy()
    rng = np.random.default_rng(5)
    lower = np.linalg.cholesky(covariance)
    noise = rng.standard_normal((N_TEST, N_DRAWS, len(lower)))
    best = energy_score(mean[:, None] + noise @ lower.T, truth)
    left = np.linalg.solve(lower, (truth - mean).T)
    nats = 0.5 * (left**2).sum(axis=0) + np.log(lower.diagonal()).sum()
    nats = nats + 0.5 * len(lower) * np.log(2 * np.pi)

    def scores(network: ParcelEstimator) -> tuple[float, float]:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            belief = network.belief(scene, forward)
            draws = network.sample(N_DRAWS, belief)[:, 0].double().numpy()
            each = -network.log_prob(y, belief)[:, 0, 0].double().numpy()
        return energy_score(draws, truth) / best, float((each - nats).mean() / len(lower))

    ratio, excess = scores(learned)
    assert ratio < 1.05
    assert excess < 0.05
    _, untrained = scores(
        ParcelEstimator(recipe("nsf", LEVEL, 68), template_parcels(68, LEVEL)).eval()
    )
    assert untrained > 0.05
    assert energy_score(mean[:, None] + 2 * noise @ lower.T, truth) / best > 1.05
