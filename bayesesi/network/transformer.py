"""A transformer over patches of the cortex, with a way around them for every source.

Sources of an icosahedral level are gathered by the 84 vertices of level 1 (42 on each side) they
belong to. A small network reads each source's features; a patch becomes one token, the weighted
mean of its sources and their largest values; tokens attend to each other (pre-norm blocks; Vaswani
et al. 2017, arXiv:1706.03762), scaled and shifted by what is known of the whole observation (as in
Peebles & Xie 2023, arXiv:2212.09748); and a last network reads each source together with its token.
Sources stand patch by patch in memory, so that all of it is dense products.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bayesesi.anatomy import template_source_space
from bayesesi.features.network_inputs import NetworkInputs, Tokens
from bayesesi.network.backbone import Backbone
from bayesesi.registry import implements
from bayesesi.spec import TransformerSpec

#: Sources are gathered by the vertices of this icosahedral level.
_TOKEN_LEVEL = 1


def patches_of(level: int) -> NDArray[np.int64]:
    """Gather the sources at ``level`` 1 to 5 by patch: (84, W), -1 where there are fewer than W."""
    fine, coarse = template_source_space(level), template_source_space(_TOKEN_LEVEL)
    assert fine.mesh is not None
    sphere = fine.mesh.sphere
    assert sphere is not None
    near = sphere[fine.vertices] @ sphere[coarse.vertices].T
    near[fine.hemisphere[:, None] != coarse.hemisphere] = -np.inf
    owner = near.argmax(axis=1)
    order = np.argsort(owner, kind="stable")
    count = np.bincount(owner, minlength=coarse.n_sources)
    members = np.full((coarse.n_sources, count.max()), -1)
    members[np.arange(count.max()) < count[:, None]] = order
    return members


@implements(TransformerSpec)
class CorticalTransformer(Backbone):
    """Turn features of some of the template's sources and a context into tokens; see the module.

    Parameters
    ----------
    sizes : of its parts. n_features : numbers it reads of a source. n_context : numbers it reads of
        the observation. n_source_out, n_out : of the tokens, F and G.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"source_features"})
    claims: ClassVar[frozenset[str]] = frozenset({"reference", "montage", "order"})

    slot: Tensor

    def __init__(
        self, sizes: TransformerSpec, n_features: int, n_context: int, n_source_out: int, n_out: int
    ) -> None:
        super().__init__()
        self.sizes = sizes
        members = patches_of(sizes.ico)
        slot = np.full(members.max() + 1, 0)
        slot[members[members >= 0]] = np.flatnonzero(members.ravel() >= 0)
        self.register_buffer("slot", torch.from_numpy(slot), persistent=False)
        self.n_patches, self.n_places = members.shape
        narrow, wide = sizes.source_width, sizes.width
        self.place = nn.Parameter(0.1 * torch.randn(members.size, sizes.place_width))
        self.patch = nn.Parameter(0.1 * torch.randn(len(members), wide))
        # a place's own numbers, before which stands whether a source is there, enter by a sum:
        # the first layer of what is read side by side
        self.position_proj = nn.Linear(sizes.place_width + 1, narrow)
        self.input_proj = nn.Linear(n_features, narrow, bias=False)
        self.source_mlp = nn.Sequential(nn.SiLU(), nn.Linear(narrow, narrow))
        self.pool_weight = nn.Linear(narrow, 1)
        self.to_token = nn.Linear(2 * narrow, wide)
        self.context_mlp = _perceptron(n_context, wide, wide)
        n = sizes.n_attention_heads
        self.blocks = nn.ModuleList(_Block(wide, n) for _ in range(sizes.n_blocks))
        self.norm = nn.LayerNorm(wide)
        self.to_source = nn.Linear(wide, narrow)
        self.skip_proj = nn.Linear(narrow, narrow, bias=False)
        self.source_head = nn.Sequential(nn.SiLU(), nn.Linear(narrow, n_source_out))
        self.global_head = _perceptron(2 * wide, wide, n_out)
        for head in (self.source_head, self.global_head):  # begins by adding nothing
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: NetworkInputs) -> Tokens:
        """Compute the tokens of ``x.sources``, any of the level's, from ``source_features``.

        Parameters
        ----------
        x : B observations.
        """
        features, where = x.source_features, self.slot[x.sources]
        there = features.new_zeros(len(self.place), 1)
        there[where] = 1.0
        known = features.new_zeros(len(features), len(self.place), features.shape[2])
        known = known.index_copy(1, where, features)
        place = self.position_proj(torch.cat([there, self.place], dim=1))
        each = self.source_mlp(self.input_proj(known) + place)
        each = each.unflatten(1, (self.n_patches, self.n_places))
        mask = there.view(self.n_patches, self.n_places, 1) > 0
        whole = self.context_mlp(x.context)
        token = self.to_token(self._pooled(each, mask)) + self.patch + whole[:, None]
        for block in self.blocks:
            token = block(token, whole)
        token = self.norm(token)
        near = self.skip_proj(each) + self.to_source(token)[:, :, None]
        of_sources = self.source_head(near).flatten(1, 2)
        ends = torch.cat([token.mean(1), token.amax(1)], dim=1)
        return Tokens(of_sources[:, where], self.global_head(ends))

    def _pooled(self, each: Tensor, mask: Tensor) -> Tensor:
        """(B, patches, 2 narrow); 0 of a patch without sources."""
        beyond = each.new_zeros(mask.shape).masked_fill(~mask, -1e4)
        weight = (self.pool_weight(each) + beyond).softmax(2) * mask
        largest = (each + beyond).amax(2) * mask.any(1)
        return torch.cat([(weight * each).sum(2), largest], dim=2)


class _Block(nn.Module):
    """Attention and a perceptron, each after a norm that the context scales and shifts."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.modulate = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.mlp = _perceptron(width, 2 * width, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, token: Tensor, whole: Tensor) -> Tensor:
        parts = self.modulate(functional.silu(whole))[:, None].chunk(6, dim=2)
        scale, shift, gate = parts[:3]
        seen = self.norms[0](token) * (1 + scale) + shift
        q, k, v = self.qkv(seen).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        token = token + (1 + gate) * self.out_proj(found)
        scale, shift, gate = parts[3:]
        seen = self.norms[1](token) * (1 + scale) + shift
        return token + (1 + gate) * self.mlp(seen)


def _perceptron(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, n_out))
