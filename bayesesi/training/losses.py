"""What networks are trained to make small.

Those of a generative model are proper: what they ask for is the posterior. The others bend an
answer towards what is held to be plausible, so that they act on the head of the posterior mean
alone, never on what draws come from. With D the mean of x (``features.field``), each a mean
over cases with an event, and over numbers where not said otherwise:

    regression   (D - x)²                      forward   |A D - u|² / (m R)
    laplacian    (D - mean of neighbours)²     variation sum_ij |D_i - D_j| / edges
    temporal     (second difference of D(t))²  group     (sum_q D_sq²)^1/2
    band         (|F D(t)|² - |F x(t)|²)², F the Fourier transform, summed over sources, the truth's
                 total being 1; D(t) has its courses at their share of the data
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bayesesi.anatomy import template_source_space
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.estimator.dipole import DipoleEstimator, DipoleStates
from bayesesi.estimator.field import FieldDenoiser
from bayesesi.estimator.parcels import ParcelEstimator
from bayesesi.estimator.vector_field import Matching, field_estimator
from bayesesi.features import FieldInputs, ParcelForward
from bayesesi.spec import FieldLosses
from bayesesi.training.atom_examples import AtomExample
from bayesesi.training.dipole_examples import DipoleExample
from bayesesi.training.field_examples import FieldExample


def atom_loss(
    estimator: AtomEstimator, example: AtomExample, sources: Tensor, log_place: Tensor
) -> Tensor:
    """Compute -log q(what is next), (B,) nats, each as often as it is asked.

    ``estimator`` is asked ``example``; ``sources`` (N,) are its centres, ``log_place`` (N,) the
    prior's log probability of each.
    """
    log_q = estimator(example.scene, sources, log_place, example.given)
    return -log_q.gather(1, example.target[:, None])[:, 0] * example.weight


def denoising_loss(denoiser: FieldDenoiser, example: FieldExample, matching: Matching) -> Tensor:
    """Compute (B',) the loss of sbi's estimator, a number of the field, over cases with an event.

    Times are even over the cases of ``example``; they and the noise follow from its seed.
    ``denoiser`` is trained by ``matching``, ``"flow"`` or ``"score"``.
    """
    rows = example.active.nonzero()[:, 0]
    field = example.field[:, rows]
    scene = example.scene.pick(rows)
    estimator = field_estimator(denoiser, example.forward, scene, matching)
    flat = field.movedim(0, 1).flatten(1)
    devices = [field.device] if field.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(example.seed)
        order = torch.randperm(len(rows), device=field.device)
        times = (order + torch.rand(len(rows), device=field.device)) / max(len(rows), 1)
        if matching == "flow":
            return estimator.loss(flat, scene.flat(), times)
        times = times.clamp(min=1e-3)
        each = estimator.loss(flat, scene.flat(), times, control_variate=False)
        return each / flat.shape[1]


def mean_losses(
    denoiser: FieldDenoiser, example: FieldExample, weights: FieldLosses, level: int
) -> dict[str, Tensor]:
    """Compute each loss with a weight above 0 by its name, a number each.

    ``denoiser`` answers ``example``; ``weights`` are the recipe's, ``level`` that of its sources.
    """
    found, log_odds = denoiser.mean(example.scene, example.forward)
    active = example.active
    losses = {"nothing": functional.binary_cross_entropy_with_logits(log_odds, (~active).float())}
    rows = active.nonzero()[:, 0]
    if len(rows):
        mean, truth = found[:, rows], example.field[:, rows]
        scene = example.scene.pick(rows)
        terms = {
            "regression": lambda: (mean - truth).square().mean(),
            "forward": lambda: (
                (example.forward.operator.A(mean) - example.scene.values[:, rows]).square().mean()
            ),
            "laplacian": lambda: _differences(mean, level).square().mean(),
            "variation": lambda: _differences(mean, level).abs().mean(),
            "temporal": lambda: _second(_over_time(mean, scene, example.functions)),
            "group": lambda: mean.square().sum(2).add(1e-8).sqrt().mean(),
            "band": lambda: _band(
                *(_over_time(f, scene, example.functions) for f in (mean, truth))
            ),
        }
        kept = weights.model_dump()
        losses |= {name: term() for name, term in terms.items() if kept[name] > 0}
    return losses


def parcel_losses(
    estimator: ParcelEstimator, example: FieldExample, forward: ParcelForward
) -> tuple[Tensor, Tensor]:
    """Compute (B' Q,) nats a parcel of the activity in cases with an event, and a cross-entropy.

    That is of whether there is one. ``estimator`` answers ``example`` for the parcels of
    ``forward``.
    """
    belief = estimator.belief(example.scene, forward)
    y = forward.sums(example.field)
    generator = torch.Generator().manual_seed(example.seed)
    y = y + estimator.floor * torch.randn(y.shape, generator=generator).to(y.device)
    each = -estimator.log_prob(y.permute(1, 2, 0)[:, :, None], belief)[:, :, 0]
    silent = (~example.active).float()
    nothing = functional.binary_cross_entropy_with_logits(belief.log_odds, silent)
    return each[example.active].flatten() / forward.n_parcels, nothing


def dipole_losses(estimator: DipoleEstimator, example: DipoleExample) -> tuple[Tensor, Tensor]:
    """Compute (B,) nats of how many there are, and (B,) of all else; 0 where there is none.

    ``estimator`` answers ``example``.
    """
    log_count = estimator.log_count(example.summary)
    of_count = -log_count.gather(1, example.count[:, None])[:, 0]
    of_rest = torch.zeros_like(of_count)
    for k in (1, 2):
        rows = (example.count == k).nonzero()[:, 0]
        if len(rows):
            some = example.truth.pick(rows)
            truth = DipoleStates(some.place[:, :k], some.extent[:, :k], some.skull)
            each = -estimator.log_prob(truth, example.summary.pick(rows))
            of_rest = of_rest.index_add(0, rows, each)
    return of_count, of_rest


@cache
def _edges(level: int) -> tuple[Tensor, Tensor]:
    """Sources at both ends of every edge of a level's triangles."""
    triangles = template_source_space(level).triangles
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    first, second = np.unique(np.sort(pairs, axis=1), axis=0).T
    return torch.from_numpy(first.copy()), torch.from_numpy(second.copy())


def _differences(field: Tensor, level: int) -> Tensor:
    """(edges, B, R)"""
    first, second = (ends.to(field.device) for ends in _edges(level))
    return field[first] - field[second]


def _over_time(field: Tensor, scene: FieldInputs, functions: Tensor) -> Tensor:
    """(S, B, T) of (S, B, Q)."""
    courses = functions @ (scene.turn * scene.share[:, None])  # (B, T, Q)
    return torch.einsum("sbq,btq->sbt", field, courses)


def _second(field: Tensor) -> Tensor:
    if field.shape[2] < 3:
        return field.new_zeros(())
    return (field[:, :, 2:] - 2 * field[:, :, 1:-1] + field[:, :, :-2]).square().mean()


def _band(field: Tensor, truth: Tensor) -> Tensor:
    """Spectra of whole fields, as shares of the truth's total."""
    total = truth.square().sum((0, 2)).clamp(min=1e-8)[:, None]
    spectra = [torch.fft.rfft(f, dim=2, norm="ortho").abs().square().sum(0) for f in (field, truth)]
    return ((spectra[0] - spectra[1]) / total).square().mean()
