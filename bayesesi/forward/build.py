"""Building a leadfield bank: boundary elements once a geometry, one factorisation a node.

Stages are files in a work folder, so that a stopped build goes on where it was. On two cores the
template's five heads take well under an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import template_source_space, template_surfaces, template_volume
from bayesesi.anatomy.template import THICKNESS_RANGE
from bayesesi.errors import InputError
from bayesesi.forward.bank import LeadfieldBank
from bayesesi.forward.bem import BemDipoles, BoundaryElements
from bayesesi.forward.conductivity import CONDUCTIVITY_RANGE, Conductivities
from bayesesi.forward.head_setting import HeadSetting
from bayesesi.forward.head_shape import HeadShape
from bayesesi.io.atomic import atomic_file
from bayesesi.io.folders import cache_folder


@dataclass(frozen=True)
class BankRecipe:
    """Everything that decides a bank.

    Attributes
    ----------
    n_shapes : heads, the template among them. n_nodes : settings a head, 16 or more.
    n_thicknesses : of the skull, 3 or more. n_vertices : of each shell.
    cortex_level : of the template's sources. with_volume : whether free dipoles are solved too.
    neck : m; scalp vertices lower than it (head frame) are left out.
    ranks : of nodes, scalp and sources. seed : of shapes and nodes.
    """

    n_shapes: int = 5
    n_nodes: int = 40
    n_thicknesses: int = 3
    n_vertices: int = 642
    cortex_level: int = 5
    with_volume: bool = True
    neck: float = -0.08
    ranks: tuple[int, int, int] = (20, 220, 280)
    seed: int = 20261122

    def shapes(self) -> tuple[HeadShape, ...]:
        """Draw the heads: the template first, the others from the seed."""
        rng = np.random.default_rng(self.seed)
        drawn = [HeadShape.draw(rng) for _ in range(self.n_shapes - 1)]
        return (HeadShape(), *drawn)

    def nodes(self) -> list[HeadSetting]:
        """Spread settings over the ranges: each the farthest from those before it.

        Candidates are drawn in the box of conductivities and thicknesses; distances count the skull
        one and a half times, csf a little over half, as their effect on a topography does.
        """
        rng = np.random.default_rng(self.seed + 1)
        log_range = {t: np.log(r) for t, r in CONDUCTIVITY_RANGE.items()}
        thickness = np.geomspace(*THICKNESS_RANGE, self.n_thicknesses)
        candidates = [
            HeadSetting(
                0,
                Conductivities(**{t: float(np.exp(rng.uniform(*r))) for t, r in log_range.items()}),
                float(rng.choice(thickness)),
            )
            for _ in range(20_000)
        ]
        x = np.array([c.coordinates for c in candidates])
        x = x / (x.max(axis=0) - x.min(axis=0)) * (0.6, 1.5, 1.0, 1.0)
        chosen = [int(((x - x.mean(axis=0)) ** 2).sum(axis=1).argmin())]
        nearest = np.full(len(x), np.inf)
        while len(chosen) < self.n_nodes:
            nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
            chosen.append(int(nearest.argmax()))
        return [candidates[i] for i in chosen]


def build_bank(recipe: BankRecipe | None = None, work: Path | None = None) -> LeadfieldBank:
    """Solve every head and node of ``recipe`` and compress the result.

    ``work`` keeps finished stages (2 GB for the shipped recipe); by default a folder in the user's
    cache, named by the recipe.

    Raises
    ------
    InputError : too few nodes or thicknesses.
    """
    import hashlib

    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    recipe = recipe or BankRecipe()
    if recipe.n_nodes < 16:
        raise InputError(f"a bank needs at least 16 nodes, not {recipe.n_nodes}")
    if recipe.n_thicknesses < 3:  # two values cannot tell a quadratic from a line
        raise InputError(f"a bank needs at least 3 thicknesses, not {recipe.n_thicknesses}")
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    work = Path(work or cache_folder() / f"head-build-{digest}")
    work.mkdir(parents=True, exist_ok=True)
    columns = (SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("", total=recipe.n_shapes * (recipe.n_nodes + 10))
        for shape in range(recipe.n_shapes):
            for stage, done in _solve_head(recipe, shape, work):
                bar.update(task, description=f"head {shape}: {stage}", advance=done)
    return _compress(recipe, work)


def _dipoles(recipe: BankRecipe) -> BemDipoles:
    cortex = template_source_space(recipe.cortex_level)
    assert cortex.normals is not None
    if not recipe.with_volume:
        return BemDipoles(cortex.positions, cortex.normals)
    volume = BemDipoles.free(template_volume().positions)
    return BemDipoles(
        np.vstack([cortex.positions, volume.positions]),
        np.vstack([cortex.normals, volume.moments]),
    )


def shaped_dipoles(recipe: BankRecipe, shape: HeadShape) -> BemDipoles:
    """Carry the dipoles of ``recipe`` into the head ``shape``.

    Cortical normals turn with it, free moments stay x, y, z.
    """
    dipoles = _dipoles(recipe)
    n_cortex = template_source_space(recipe.cortex_level).n_sources
    moments = dipoles.moments.copy()
    moments[:n_cortex] = shape.warp_normals(dipoles.positions[:n_cortex], moments[:n_cortex])
    return BemDipoles(shape.warp(dipoles.positions), moments)


def _solve_head(recipe: BankRecipe, index: int, work: Path) -> Iterator[tuple[str, float]]:
    """Files ``source-terms-H.npy`` and ``transfer-H.npy``, yielding each stage's share."""
    shape, nodes = recipe.shapes()[index], recipe.nodes()
    terms_file, transfer_file = (
        work / f"{name}-{index}.npy" for name in ("source-terms", "transfer")
    )
    if transfer_file.exists() and terms_file.exists():
        yield "found", recipe.n_nodes + 10
        return
    thicknesses = sorted({node.skull_thickness for node in nodes})
    rows: list[NDArray[np.float32] | None] = [None] * len(nodes)
    for t, thickness in enumerate(thicknesses):
        surfaces = shape.warp_surfaces(template_surfaces(4, thickness, recipe.n_vertices)).check()
        elements = BoundaryElements.assemble(surfaces)
        yield f"geometry {t + 1} of {len(thicknesses)}", 1
        if t == 0 and not terms_file.exists():
            # the innermost surface does not move with the skull: one set of terms serves all
            _save(terms_file, elements.source_terms(shaped_dipoles(recipe, shape)))
            yield "dipoles", 10 - len(thicknesses)
        kept = _kept(recipe)
        for k, node in enumerate(nodes):
            if node.skull_thickness == thickness:
                conductivities = _at_unit_brain(node.conductivities)
                rows[k] = elements.transfer(conductivities)[kept].astype(np.float32)
                yield "solving", 1
    _save(transfer_file, np.stack([row for row in rows if row is not None]))


def _save(path: Path, array: NDArray[np.floating]) -> None:
    with atomic_file(path) as draft, draft.open("wb") as file:
        np.save(file, array.astype(np.float32))


def _at_unit_brain(c: Conductivities) -> Conductivities:
    return Conductivities(1.0, c.csf / c.brain, c.skull / c.brain, c.scalp / c.brain)


def _kept(recipe: BankRecipe) -> NDArray[np.int64]:
    scalp = template_surfaces(1, n_vertices=recipe.n_vertices).vertices[0]
    return np.flatnonzero(scalp[:, 2] > recipe.neck)


def _compress(recipe: BankRecipe, work: Path) -> LeadfieldBank:
    """Tucker decomposition of all heads with one source basis.

    The solutions are T_k D with T_k (V, n_inner) a node's transfer and D (n_inner, F) the source
    terms, so every factorisation happens in the n_inner dimensions of the innermost surface.
    """
    rank_nodes, rank_scalp, rank_sources = recipe.ranks
    heads = range(recipe.n_shapes)
    transfers, log_size = [], []
    norm = np.zeros(_dipoles(recipe).positions.shape[0])
    for h in heads:  # reference to the mean scalp potential, and give every node the same size
        transfer = np.load(work / f"transfer-{h}.npy").astype(float)
        transfer -= transfer.mean(axis=1, keepdims=True)
        terms = np.load(work / f"source-terms-{h}.npy", mmap_mode="r")
        size = []
        for k, t in enumerate(transfer):
            if k % 10 == 0:
                power = ((t @ terms) ** 2).mean(axis=0)
                norm += power / power.mean()
            size.append(np.sqrt(((t @ terms[:, ::8]) ** 2).mean()))
        size_array = np.asarray(size)
        transfers.append(transfer / size_array[:, None, None])
        log_size.append(np.log(size_array))
    norm = np.sqrt(norm / norm.mean())

    rows = []
    for h in heads:
        terms = np.load(work / f"source-terms-{h}.npy") / norm
        root = _root(terms @ terms.T)
        gram = np.einsum("nvi,nvj->ij", transfers[h], transfers[h], optimize=True)
        value, vector = np.linalg.eigh(root @ gram @ root)
        best = np.argsort(value)[::-1][: rank_sources + 40]
        # right singular vectors of the stacked solutions, times their singular values
        rows.append((gram @ root @ vector[:, best] / np.sqrt(value[best])).T @ terms)
    stacked = np.vstack(rows)
    value, vector = np.linalg.eigh(stacked @ stacked.T)
    best = np.argsort(value)[::-1][:rank_sources]
    basis = (vector[:, best] / np.sqrt(value[best])).T @ stacked

    node_modes, core, scalp_modes = [], [], []
    for h in heads:
        terms = np.load(work / f"source-terms-{h}.npy") / norm
        projected = transfers[h] @ (terms @ basis.T)  # (N, V, C)
        p = _leading(np.moveaxis(projected, 1, 0), rank_scalp)
        q = _leading(projected, rank_nodes)
        scalp_modes.append(p)
        node_modes.append(q)
        core.append(np.einsum("nvc,na,vb->abc", projected, q, p, optimize=True))

    scalp = template_surfaces(1, n_vertices=recipe.n_vertices)
    f32 = np.float32
    return LeadfieldBank(
        nodes=np.array([node.coordinates for node in recipe.nodes()], f32),
        log_size=np.array(log_size, f32),
        node_modes=np.array(node_modes, f32),
        core=np.array(core, f32),
        scalp_modes=np.array(scalp_modes, f32),
        source_modes=basis.astype(f32),
        source_norm=norm.astype(f32),
        scalp_vertices=scalp.vertices[0].astype(f32),
        scalp_triangles=scalp.triangles[0].astype(np.int32),
        kept=_kept(recipe).astype(np.int32),
        shapes=recipe.shapes(),
        recipe={**asdict(recipe), "conductivity_range": CONDUCTIVITY_RANGE},
    )


def _root(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """R with R R' = gram, symmetric and clipped at zero."""
    value, vector = np.linalg.eigh(gram)
    return (vector * np.sqrt(np.maximum(value, 0))) @ vector.T


def _leading(tensor: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """Leading left singular vectors of the first axis against the rest."""
    flat = tensor.reshape(len(tensor), -1)
    value, vector = np.linalg.eigh(flat @ flat.T)
    return vector[:, np.argsort(value)[::-1][:rank]]
