"""Fields by denoising against a posterior in closed form, which the network has to learn.

1,284 sources whose prior variances differ fourfold up and down over the cortex, 31 sensors, noise
known: p(x | u) is Gaussian. Untrained, the network takes all variances for 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sbi.utils.metrics import c2st
from torch import Tensor

import bayesesi
from bayesesi.anatomy import template_source_space
from bayesesi.calibration import randomised_ranks, uniformity
from bayesesi.estimator.field import FieldDenoiser
from bayesesi.estimator.vector_field import field_estimator
from bayesesi.features import FieldForward, FieldInputs, PreparedForward
from bayesesi.posterior.diffusion import draw_fields
from bayesesi.spec import TransformerSpec

LEVEL, NU = 3, 3.0
SIZES = TransformerSpec(ico=LEVEL, width=16, source_width=16, n_blocks=1, n_attention_heads=2)
N_FUNCTIONALS, N_OBSERVATIONS, N_DRAWS = 16, 20, 1000
STEPS, CASES = 500, 32


@dataclass(frozen=True)
class Task:
    """x ~ N(0, diag v), u = A x + e, e ~ N(0, nu I); what is looked at is F x."""

    forward: FieldForward
    variance: Tensor
    functionals: NDArray[np.float64]

    def cases(self, n: int, generator: torch.Generator) -> tuple[Tensor, FieldInputs]:
        shape = (self.forward.n_sources, n, 1)
        x = self.variance.sqrt()[:, None, None] * torch.randn(shape, generator=generator)
        seen = self.forward.operator.A(x)
        values = seen + NU**0.5 * torch.randn(seen.shape, generator=generator)
        features = torch.zeros(n, shape[0], 12)
        size, turn = torch.full((n, 1), NU**-0.5), torch.ones(n, 1, 1)
        return x, FieldInputs(values, size, turn, features, torch.zeros(n, 11))

    def exact(self, values: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(16, B) means and (16, 16) covariance of F x."""
        a, v = self.forward.operator.rows.double().numpy(), self.variance.double().numpy()
        gram = (a * v) @ a.T + NU * np.eye(len(a))
        gain = (v[:, None] * a.T) @ np.linalg.inv(gram)
        f = self.functionals
        mean = f @ gain @ values[:, :, 0].double().numpy()
        return mean, (f * v) @ f.T - f @ gain @ (a * v) @ f.T


@pytest.fixture(scope="module")
def task() -> Task:
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    space = template_source_space(LEVEL)
    leadfield = bayesesi.template_forward(info).leadfield
    leadfield = leadfield[:, space.index_in(template_source_space(4))]
    leadfield = leadfield - leadfield.mean(axis=0)
    forward = FieldForward.of(leadfield[1:] * 1e6, LEVEL)
    assert isinstance(forward.scan, PreparedForward)
    # wide waves over the head, and means of the field about 16 places
    variance = torch.from_numpy(4.0 ** np.sin(60 * space.positions[:, 1])).float()
    rng = np.random.default_rng(0)
    centres = space.positions[rng.choice(space.n_sources, N_FUNCTIONALS, replace=False)]
    apart = np.linalg.norm(centres[:, None] - space.positions, axis=2)
    functionals = np.exp(-0.5 * (apart / 0.02) ** 2)
    functionals /= np.linalg.norm(functionals, axis=1, keepdims=True)
    return Task(forward, variance, functionals)


@pytest.fixture(scope="module")
def learned(task: Task) -> FieldDenoiser:
    network = FieldDenoiser(SIZES)
    optimiser = torch.optim.AdamW(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    generator = torch.Generator().manual_seed(1)
    estimator = field_estimator(network, task.forward, task.cases(1, generator)[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for _ in range(STEPS):
            x, scene = task.cases(CASES, generator)
            optimiser.zero_grad()
            estimator.loss(x[..., 0].T, scene.flat()).mean().backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def drawn(task: Task, network: FieldDenoiser, scene: FieldInputs, n: int) -> NDArray[np.float64]:
    """(B, n, 16) functionals of draws."""
    generator = torch.Generator().manual_seed(3)
    parts = []
    for k in range(len(scene)):
        x = draw_fields(network, scene.pick(slice(k, k + 1)), task.forward, generator, n)[..., 0]
        parts.append(task.functionals @ x.double().numpy())
    return np.concatenate(parts, axis=1).T.reshape(len(scene), n, -1)


def scores(task: Task, network: FieldDenoiser, n: int) -> NDArray[np.float64]:
    """(n,) C2ST of draws against exact ones, in units of the exact standard deviation."""
    _, scene = task.cases(n, torch.Generator().manual_seed(4))
    mean, covariance = task.exact(scene.values)
    ours = drawn(task, network, scene, N_DRAWS)
    rng = np.random.default_rng(5)
    found = []
    for k in range(n):
        exact = rng.multivariate_normal(mean[:, k], covariance, N_DRAWS)
        pair = [
            torch.from_numpy(each / np.sqrt(covariance.diagonal())) for each in (ours[k], exact)
        ]
        found.append(float(c2st(pair[0].float(), pair[1].float(), seed=1)))
    return np.array(found)


@pytest.mark.slow
def test_draws_cannot_be_told_from_exact_ones(task: Task, learned: FieldDenoiser) -> None:
    """Twin: the same network before it has learned."""
    found = scores(task, learned, N_OBSERVATIONS)
    assert np.median(found) <= 0.56
    assert found.max() <= 0.62
    assert np.median(scores(task, FieldDenoiser(SIZES).eval(), 3)) > 0.62


@pytest.mark.slow
def test_simulation_based_calibration(task: Task, learned: FieldDenoiser) -> None:
    """Ranks of 16 functionals among 63 draws, 300 cases: uniform at 1 % in all; twin: untrained."""
    x, scene = task.cases(300, torch.Generator().manual_seed(6))
    truth = task.functionals @ x[..., 0].double().numpy()

    def least(network: FieldDenoiser) -> float:
        draws = drawn(task, network, scene, 63)
        rng = np.random.default_rng(7)
        ranks = [randomised_ranks(truth[f], draws[:, :, f], rng) for f in range(N_FUNCTIONALS)]
        return min(uniformity(each).p_value for each in ranks)

    assert least(learned) > 0.01 / N_FUNCTIONALS
    assert least(FieldDenoiser(SIZES).eval()) < 0.01 / N_FUNCTIONALS
