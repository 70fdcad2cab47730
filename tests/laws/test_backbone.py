"""Backbones: each keeps the laws it claims, reads what it needs, and can stand for another.

A new architecture is one more entry of ``families.BACKBONES``. Nothing here is a statistical test:
weights and data are drawn with fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bayesesi import InputError
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.estimator.field import FieldDenoiser
from bayesesi.features import CONTEXT, FEATURES, FieldForward, TemporalGroups
from bayesesi.features.network_inputs import PARTS, NetworkInputs, OperatorInputs
from bayesesi.network import CLAIMS, Backbone, Tokens
from bayesesi.network.transformer import CorticalTransformer
from bayesesi.spec import TransformerSpec
from tests.flow.small import LEVEL, observation
from tests.laws import families as of


class OneStep(Backbone):
    """The minimum norm of the data, and a small network that all sources share."""

    needs = frozenset({"operator", "graph"})
    claims = frozenset({"reference", "montage"})

    def __init__(self, n_context: int, n_source_out: int, n_out: int) -> None:
        super().__init__()
        self.each = nn.Linear(4, n_source_out)
        self.whole = nn.Linear(n_context, n_out)

    def forward(self, x: NetworkInputs) -> Tokens:
        seen = x.operator
        size = seen.operator.A_dagger(seen.values, seen.noise).norm(dim=2)  # (S, B)
        near = [size, *(kernel @ size for kernel in x.graph)]
        return Tokens(self.each(torch.stack(near, 2)).movedim(1, 0), self.whole(x.context))


class ChannelReader(Backbone):
    """The twin of all laws: it reads the rows of the data and the sources one after the other."""

    needs = frozenset({"operator"})
    claims = frozenset(CLAIMS)

    def __init__(self, n_rows: int) -> None:
        super().__init__()
        self.rows = nn.Linear(n_rows, of.N_SOURCE_OUT)

    def forward(self, x: NetworkInputs) -> Tokens:
        seen = self.rows(x.operator.values[:, :, 0].T)  # (B, O)
        place = torch.arange(len(x.sources)).float()[:, None]
        return Tokens(seen[:, None] * place, seen[:, : of.N_OUT])


BACKBONES: dict[str, Callable[[], Backbone]] = {
    **{family: partial(of.untrained, family) for family in of.BACKBONES},
    "one step": lambda: OneStep(of.N_CONTEXT, of.N_SOURCE_OUT, of.N_OUT),
}
CLAIMED = [(name, law) for name, make in BACKBONES.items() for law in sorted(make().claims)]


def made(make: Callable[[], Backbone]) -> Backbone:
    """With weights at random, which begin at 0 in part."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        backbone = make()
        for parameter in backbone.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return backbone.eval()


def inputs(
    turn: np.ndarray | None = None, channels: slice = slice(None), parts: tuple[str, ...] = PARTS
) -> NetworkInputs:
    """Three observations, their whitened space turned, or of some of its dimensions."""
    obs = observation()
    keep = np.eye(len(obs.values))[channels] if turn is None else turn
    forward = FieldForward.of(keep @ obs.leadfield, LEVEL)
    values = torch.from_numpy(np.stack([keep @ v for v in (obs.values, 2 * obs.values)])).float()
    scene = forward.scene(values, TemporalGroups.of(obs.time_basis.projector))
    known = {
        "source_features": lambda: scene.features,
        "graph": lambda: forward.smooth,
        "operator": lambda: OperatorInputs(forward.operator, scene.values, scene.noise),
    }
    kept = {name: compute for name, compute in known.items() if name in parts}
    return NetworkInputs(scene.context, torch.arange(forward.n_sources), **kept)


def chosen(features: Tensor, context: Tensor, sources: Tensor) -> NetworkInputs:
    return NetworkInputs(context, sources, source_features=lambda: features)


def rotation(n: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]


def off(found: Tokens, other: Tokens) -> float:
    """The largest difference of two answers, over their size."""
    pairs = ((found.sources, other.sources), (found.whole, other.whole))
    return max(float((a - b).detach().abs().max() / b.detach().abs().max()) for a, b in pairs)


def reference(backbone: Backbone) -> None:
    """A turn of the whitened space changes nothing, to rounding in single precision."""
    n = len(observation().values)
    with torch.inference_mode():
        assert off(backbone(inputs(rotation(n))), backbone(inputs())) < 2e-3


def montage(backbone: Backbone) -> None:
    """The same weights read 12, 20 and 28 dimensions of the whitened space."""
    for n in (12, 20, 28):
        with torch.inference_mode():
            tokens = backbone(inputs(channels=slice(n)))
        assert tokens.sources.shape[1:] == (observation().leadfield.shape[1], of.N_SOURCE_OUT)
        assert torch.isfinite(tokens.sources).all()


def order(backbone: Backbone) -> None:
    """Sources may come in another order, and some be absent."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 300, len(FEATURES), generator=generator)
    context = torch.randn(2, len(CONTEXT), generator=generator)
    sources = torch.randperm(324, generator=generator)[:300]
    mixed = torch.randperm(300, generator=generator)
    there = backbone(chosen(features, context, sources))
    again = backbone(chosen(features[:, mixed], context, sources[mixed]))
    assert off(again, replace(there, sources=there.sources[:, mixed])) < 1e-4


LAWS: dict[str, Callable[[Backbone], None]] = {
    "reference": reference,
    "montage": montage,
    "order": order,
}


def test_every_claim_has_a_law() -> None:
    assert set(LAWS) == set(CLAIMS)


@pytest.mark.parametrize(("name", "law"), CLAIMED)
def test_a_backbone_keeps_what_it_claims(name: str, law: str) -> None:
    LAWS[law](made(BACKBONES[name]))


@pytest.mark.parametrize("law", ["reference", "montage"])
def test_a_reader_of_channels_breaks_the_laws(law: str) -> None:
    """The twin."""
    n = inputs().operator.operator.n_rows
    with pytest.raises((AssertionError, RuntimeError)):
        LAWS[law](made(lambda: ChannelReader(n)))


def test_a_reader_of_the_order_breaks_that_law() -> None:
    """The twin of the third law."""

    class Numbered(Backbone):
        needs = frozenset({"source_features"})
        claims = frozenset({"order"})

        def forward(self, x: NetworkInputs) -> Tokens:
            return Tokens(x.source_features.cumsum(1), x.context)

    with pytest.raises(AssertionError):
        order(Numbered())


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_reads_what_it_needs_and_nothing_else(name: str) -> None:
    backbone = made(BACKBONES[name])
    tokens = backbone(inputs(parts=tuple(backbone.needs)))
    assert tokens.sources.shape == (2, observation().leadfield.shape[1], of.N_SOURCE_OUT)
    assert tokens.whole.shape == (2, of.N_OUT)
    for part in backbone.needs:
        with pytest.raises(InputError, match=f"asked for {part}"):
            backbone(inputs(parts=tuple(backbone.needs - {part})))


def cases_are_apart(backbone: Backbone) -> None:
    """The answer to a case is the same beside another and alone."""
    both = inputs()
    tokens, scene = backbone(both), both.operator
    alone = NetworkInputs(
        both.context[:1],
        both.sources,
        source_features=lambda: both.source_features[:1],
        graph=lambda: both.graph,
        operator=lambda: replace(scene, values=scene.values[:, :1], noise=scene.noise[:1]),
    )
    assert off(backbone(alone), Tokens(tokens.sources[:1], tokens.whole[:1])) < 1e-4


@pytest.mark.parametrize("name", BACKBONES)
def test_another_case_changes_nothing_and_gradients_are_finite(name: str) -> None:
    backbone = made(BACKBONES[name])
    cases_are_apart(backbone)
    tokens = backbone(inputs())
    (tokens.sources.sum() + tokens.whole.sum()).backward()
    grads = [p.grad for p in backbone.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)


class _Mixing(Backbone):
    """The twin of separate cases: an answer less the mean over the batch."""

    needs = frozenset({"source_features"})

    def __init__(self, inside: Backbone) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: NetworkInputs) -> Tokens:
        found: Tokens = self.inside(x)
        return Tokens(found.sources - found.sources.mean(0), found.whole)


def test_a_backbone_that_mixes_cases_is_noticed() -> None:
    inside = made(BACKBONES["transformer"])
    cases_are_apart(inside)
    with pytest.raises(AssertionError):
        cases_are_apart(_Mixing(inside))


def test_the_transformer_begins_by_adding_nothing() -> None:
    tokens = BACKBONES["transformer"]()(inputs())
    assert not tokens.sources.any()
    assert not tokens.whole.any()


def test_a_change_of_one_source_is_seen_by_all() -> None:
    backbone, generator = made(BACKBONES["transformer"]), torch.Generator().manual_seed(1)
    features = torch.randn(1, 324, len(FEATURES), generator=generator)
    moved = features.clone()
    moved[:, 7] += 1
    rest = torch.zeros(1, len(CONTEXT)), torch.arange(324)
    change = backbone(chosen(moved, *rest)).sources - backbone(chosen(features, *rest)).sources
    assert (change.abs().amax((0, 2)) > 0).float().mean() > 0.9


def test_a_part_is_computed_once_and_only_if_it_is_read() -> None:
    calls: list[str] = []

    def compute(name: str) -> Callable[[], Tensor]:
        return lambda: calls.append(name) or torch.zeros(1, 324, len(FEATURES))  # type: ignore[func-returns-value]

    x = NetworkInputs(
        torch.zeros(1, len(CONTEXT)),
        torch.arange(324),
        source_features=compute("source_features"),
        graph=compute("graph"),
    )
    made(BACKBONES["transformer"])(x)
    assert x.source_features is x.source_features
    assert calls == ["source_features"]
    with pytest.raises(TypeError, match="not montage"):
        NetworkInputs(torch.zeros(1, 1), torch.arange(1), montage=compute("montage"))


def test_another_backbone_takes_the_place_of_the_transformer() -> None:
    """A denoiser answers by it; the twin is an estimator that does not offer what it reads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = FieldDenoiser(TransformerSpec(**of.SMALL))
        old = denoiser.backbone
        assert isinstance(old, CorticalTransformer)
        n_context = old.context_mlp[0].in_features
        n_source_out, n_out = old.source_head[-1].out_features, old.global_head[-1].out_features
        other = OneStep(n_context, n_source_out, n_out)
        other.check_fits(FieldDenoiser.offers, "diffusion")
        denoiser.backbone = other
    obs = observation()
    forward = FieldForward.of(obs.leadfield, LEVEL)
    values = torch.from_numpy(obs.values).float()[None]
    scene = forward.scene(values, TemporalGroups.of(obs.time_basis.projector))
    mean, log_odds = denoiser.mean(scene, forward)
    assert mean.shape == (forward.n_sources, 1, scene.values.shape[2])
    mean.square().mean().backward()
    assert other.each.weight.grad is not None
    assert other.each.weight.grad.abs().max() > 0
    assert torch.isfinite(log_odds).all()
    with pytest.raises(InputError, match=r"OneStep reads graph, operator.*atoms gives source_f"):
        other.check_fits(AtomEstimator.offers, "atoms")


def test_needs_and_claims_are_names_that_are_known() -> None:
    with pytest.raises(TypeError, match="not electrodes"):
        type("Other", (Backbone,), {"needs": frozenset({"electrodes"})})
    with pytest.raises(TypeError, match="not everything"):
        type("Other", (Backbone,), {"claims": frozenset({"everything"})})
