"""Leadfields of whole heads, solved once: any montage and conductivity in milliseconds.

A bank holds, for each head, solutions at a few nodes of (csf, skull and scalp over brain
conductivity, skull thickness), in the Tucker form

    phi(theta, v, s) = exp(w . log g) / sigma_brain * sum_abc  (w Q)_a  G_abc  P_vb  U_cs |s|

with v a scalp vertex, s a source, w(theta) the interpolation weights over the nodes, g the size
of each node's solution, U one basis for the sources of all heads and |s| the norm of a source's
topography. Electrodes take the barycentric mean of three scalp vertices.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import HeadSurfaces, SourceSpace, template_source_space, template_volume
from bayesesi.anatomy.cache import cached_arrays
from bayesesi.anatomy.template import head_centre
from bayesesi.errors import InputError, some
from bayesesi.forward.bem import scalp_weights
from bayesesi.forward.free_modes import free_modes
from bayesesi.forward.head_setting import HeadSetting, HeadSettings
from bayesesi.forward.head_shape import HeadShape
from bayesesi.forward.scalp import ScalpMap
from bayesesi.io.atomic import atomic_file

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class LeadfieldBank:
    """See the module. Arrays are float32; heads are H, nodes N, kept scalp vertices V.

    Attributes
    ----------
    nodes : (N, 4) coordinates of ``HeadSetting``.
    log_size : (H, N) log of each solution's root mean square at sigma_brain = 1.
    node_modes : (H, N, A). core : (H, A, B, C). scalp_modes : (H, V, B).
    source_modes : (C, F) over ``fields``. source_norm : (F,).
    scalp_vertices : (V_all, 3) m, of the template. scalp_triangles : (F_all, 3) into them.
    kept : (V,) indices of vertices above the neck.
    shapes : the H heads, the template first.
    recipe : what it was built from.
    """

    nodes: NDArray[np.float32]
    log_size: NDArray[np.float32]
    node_modes: NDArray[np.float32]
    core: NDArray[np.float32]
    scalp_modes: NDArray[np.float32]
    source_modes: NDArray[np.float32]
    source_norm: NDArray[np.float32]
    scalp_vertices: NDArray[np.float32]
    scalp_triangles: NDArray[np.int32]
    kept: NDArray[np.int32]
    shapes: tuple[HeadShape, ...]
    recipe: dict[str, Any]

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Name the bank that ships instead of its 90 MB, for another process."""
        return (template_bank, ()) if self is template_bank() else super().__reduce__()

    @property
    def n_shapes(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        return (
            f"<LeadfieldBank | {self.n_shapes} heads, {len(self.nodes)} nodes, "
            f"{len(self.kept)} scalp vertices, {len(self.source_norm)} dipoles>"
        )

    @cached_property
    def scalp(self) -> HeadSurfaces:
        """The template's scalp alone."""
        return HeadSurfaces(
            (self.scalp_vertices.astype(float),), (self.scalp_triangles.astype(np.int64),)
        )

    def node_weights(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute (n, N) weights that interpolate the nodes at ``coordinates`` (n, 4).

        Polyharmonic splines r^5 with a quadratic (scipy's ``RBFInterpolator``): linear in the
        nodes' values, exact at each node and for every quadratic of the coordinates.
        """
        mean, sd = self.nodes.mean(axis=0), self.nodes.std(axis=0)
        return self._interpolator((np.atleast_2d(coordinates) - mean) / sd)

    @cached_property
    def _interpolator(self) -> Any:
        from scipy.interpolate import RBFInterpolator

        nodes = (self.nodes - self.nodes.mean(axis=0)) / self.nodes.std(axis=0)
        return RBFInterpolator(nodes, np.eye(len(nodes)), kernel="quintic", degree=2)

    def scalp_operator(self, electrodes: NDArray[np.float64]) -> sp.csr_array:
        """Make (C, V), sparse, from kept scalp vertices to the template's ``electrodes`` (C, 3) m.

        The same rows serve every head of the bank: a 10-05 position moves with the head.

        Raises
        ------
        InputError : an electrode on the neck or face below what the bank holds.
        """
        weights = scalp_weights(self.scalp, electrodes)
        held = weights[:, self.kept]
        below = np.flatnonzero(np.abs(held.sum(axis=1) - 1) > 1e-6)
        if len(below):
            raise InputError(
                f"electrode {below[0]} at z = {electrodes[below[0]][2] * 1e3:.0f} mm lies below "
                "the part of the head the bank holds; drop it or call solve_bem"
            )
        return sp.csr_array(held, dtype=np.float32)

    @cached_property
    def scalp_map(self) -> ScalpMap:
        """The kept part of the template's scalp, its vertices numbered as in ``kept``."""
        place = np.full(len(self.scalp_vertices), -1)
        place[self.kept] = np.arange(len(self.kept))
        triangles = place[self.scalp_triangles]
        inside = (triangles >= 0).all(axis=1)
        vertices = self.scalp_vertices[self.kept].astype(float)
        return ScalpMap(vertices, triangles[inside], head_centre())

    def to_modes(self, moments: sp.csr_array, dipoles: slice) -> NDArray[np.float32]:
        """Convert ``moments`` (n, F) A m of F of the bank's ``dipoles`` to source modes (n, C)."""
        held = sp.csr_array(moments, dtype=np.float32)
        return np.asarray(held @ self._dipole_modes[dipoles])

    @cached_property
    def _dipole_modes(self) -> NDArray[np.float32]:
        """(F, C): each dipole's topography in the source modes."""
        return np.ascontiguousarray((self.source_modes * self.source_norm).T)

    def to_free_modes(self, moments: sp.csr_array) -> NDArray[np.float32]:
        """Convert ``moments`` (n, 3 S) A m, x, y and z of each cortical dipole, to modes (n, C)."""
        return np.asarray(sp.csr_array(moments, dtype=np.float32) @ self.free_modes)

    @cached_property
    def free_modes(self) -> NDArray[np.float32]:
        """(3 S, C): topographies of unit moments along x, y and z, see ``forward.free_modes``."""
        space = template_source_space(self.recipe["cortex_level"])
        modes = self._dipole_modes[: space.n_sources]

        def compute() -> dict[str, NDArray[Any]]:
            return {"modes": free_modes(space, modes)}

        return cached_arrays("free-modes", (space.positions, modes), compute)["modes"]

    def scalp_potentials(
        self, settings: HeadSettings, modes: NDArray[np.float32], head: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compute (m, V) V at the kept scalp vertices of m fields, each in one of n heads.

        The same as ``potential_modes`` of a setting applied to its fields, without ever making a
        lead field: core times fields first, since heads differ from case to case.

        Parameters
        ----------
        settings : the n heads. modes : (m, C), as ``to_modes`` gives them. head : (m,) index into
            ``settings``.
        """
        weights = self.node_weights(settings.coordinates).astype(np.float32)
        potentials = np.empty((len(modes), len(self.kept)), np.float32)
        for h in np.unique(settings.shape):
            rows = np.flatnonzero(settings.shape[head] == h)
            own = head[rows]
            size = np.exp(weights[own] @ self.log_size[h]) / settings.conductivities[own, 0]
            of_node = weights[own] @ self.node_modes[h]  # (m, A)
            a, b, c = self.core[h].shape
            spread = (self.core[h].reshape(a * b, c) @ modes[rows].T).reshape(a, b, -1)
            mixed = (spread * of_node.T[:, None]).sum(axis=0) * size.astype(np.float32)
            potentials[rows] = (self.scalp_modes[h] @ mixed).T
        return potentials

    def potential_modes(self, setting: HeadSetting) -> NDArray[np.float32]:
        """Compute (V, C) V/(A m): potential at the kept scalp vertices of unit source modes.

        Raises
        ------
        InputError : a head shape that the bank lacks; OutsideRangeError : a ``setting`` out of
            range.
        """
        setting.check_range()
        if not 0 <= setting.shape < self.n_shapes:
            raise InputError(
                f"head shape {setting.shape} does not exist; the bank holds 0 (the template) to "
                f"{self.n_shapes - 1}"
            )
        h = setting.shape
        weights = self.node_weights(setting.coordinates)[0].astype(np.float32)
        size = np.exp(weights @ self.log_size[h]) / setting.conductivities.brain
        core = np.tensordot(weights @ self.node_modes[h], self.core[h], axes=1)
        return size * (self.scalp_modes[h] @ core)

    def leadfield(
        self,
        setting: HeadSetting,
        electrodes: NDArray[np.float64] | sp.csr_array,
        sources: NDArray[np.int64] | slice,
    ) -> NDArray[np.float32]:
        """Compute (C, n) V/(A m), average reference, of n dipoles in the head ``setting``.

        ``electrodes`` are (C, 3) m on the template's scalp, or their ``scalp_operator`` (C, V).
        ``sources`` (n,) index the bank's dipoles; ``cortex(ico)`` and ``volume`` give them.
        """
        rows = self.electrode_modes(setting, electrodes)
        return (rows @ self.source_modes[:, sources]) * self.source_norm[sources]

    def electrode_modes(
        self, setting: HeadSetting, electrodes: NDArray[np.float64] | sp.csr_array
    ) -> NDArray[np.float32]:
        """Compute (C, modes) V/(A m): potential of unit source modes in the head ``setting``.

        Average reference; ``electrodes`` as in ``leadfield``, (C, 3) m or (C, V).
        """
        operator = electrodes if sp.issparse(electrodes) else self.scalp_operator(electrodes)
        rows = operator @ self.potential_modes(setting)
        return np.asarray(rows - rows.mean(axis=0))

    @cache  # noqa: B019  (a bank lives as long as the program)
    def cortex_modes(self, ico: int) -> NDArray[np.float32]:
        """Compute (modes, S): topographies of the cortex at ``ico`` 1 to 5."""
        sources = self.cortex(ico)
        return np.ascontiguousarray(self.source_modes[:, sources] * self.source_norm[sources])

    @cached_property
    def volume_modes(self) -> NDArray[np.float32]:
        """(modes, 3 V): those of the volume's free dipoles."""
        return np.ascontiguousarray(self._dipole_modes[self.volume].T)

    def cortex(self, ico: int = 4) -> NDArray[np.int64] | slice:
        """Find where the fixed cortical dipoles of ``ico`` 1 to 5 stand among the bank's."""
        if ico == self.recipe["cortex_level"]:
            return slice(0, template_source_space(ico).n_sources)
        fine = template_source_space(self.recipe["cortex_level"])
        return template_source_space(ico).index_in(fine)

    @property
    def volume(self) -> slice:
        """Where the free dipoles of the volume stand, x, y, z a point."""
        return slice(template_source_space(self.recipe["cortex_level"]).n_sources, None)

    def source_space(self, shape: int, ico: int | None) -> SourceSpace:
        """Carry the template's sources into head ``shape``; ``ico`` is None for the volume."""
        from dataclasses import replace

        space = template_volume() if ico is None else template_source_space(ico)
        if shape == 0:
            return space
        warp = self.shapes[shape]
        if space.mesh is None or space.vertices is None:
            return replace(space, positions=warp.warp(space.positions))
        mesh = replace(
            space.mesh,
            positions=warp.warp(space.mesh.positions),
            normals=warp.warp_normals(space.mesh.positions, space.mesh.normals),
        )
        return SourceSpace.on_mesh(mesh, space.vertices, space.ico)


_ARRAYS = (
    "nodes",
    "log_size",
    "node_modes",
    "core",
    "scalp_modes",
    "source_modes",
    "source_norm",
    "scalp_vertices",
    "scalp_triangles",
    "kept",
)
_HALVED = ("core", "scalp_modes", "source_modes")


def write_bank(bank: LeadfieldBank, path: str | Path) -> None:
    """Write ``bank`` to ``path`` as safetensors, large arrays as float16 with their scale."""
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {}
    for name in _ARRAYS:
        array = getattr(bank, name)
        if name in _HALVED:
            scale = np.abs(array).max(axis=-1, keepdims=True).astype(np.float32)
            arrays[name + ".scale"] = scale
            array = (array / np.where(scale > 0, scale, 1)).astype(np.float16)
        arrays[name] = np.ascontiguousarray(array)
    header = {
        "schema": str(SCHEMA),
        "recipe": json.dumps(bank.recipe, sort_keys=True),
        "shapes": json.dumps([asdict(shape) for shape in bank.shapes]),
    }
    with atomic_file(path) as draft:
        save_file(arrays, draft, metadata=header)


def read_bank(path: str | Path) -> LeadfieldBank:
    """Read a bank that ``write_bank`` wrote to ``path``.

    Raises
    ------
    InputError : a missing, truncated or foreign file, or one of another schema.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{Path(path).name} is not a readable leadfield bank ({error}); build one with "
            "`bayesesi head build` or reinstall bayesesi"
        ) from error
    if header.get("schema") != str(SCHEMA) or "shapes" not in header:
        raise InputError(
            f"{Path(path).name} has schema {header.get('schema', 'none')!r}, this version reads "
            f"leadfield banks of schema {SCHEMA}; build one with `bayesesi head build`"
        )
    wanted = {*_ARRAYS, *(f"{name}.scale" for name in _HALVED)}
    if arrays.keys() != wanted or "recipe" not in header:
        raise InputError(
            f"{Path(path).name} is not a leadfield bank: it lacks {some(wanted - arrays.keys())}"
            "; build one with `bayesesi head build`"
        )
    for name in _HALVED:
        scale = arrays.pop(name + ".scale")
        arrays[name] = arrays[name].astype(np.float32)
        arrays[name] *= scale
    shapes = tuple(
        HeadShape(tuple(s["scale"]), tuple(map(tuple, s["bend"])))
        for s in json.loads(header["shapes"])
    )
    return LeadfieldBank(**arrays, shapes=shapes, recipe=json.loads(header["recipe"]))


@cache
def template_bank() -> LeadfieldBank:
    """Read the bank that ships with the package."""
    return read_bank(str(files("bayesesi") / "assets" / "template-bank.safetensors"))
