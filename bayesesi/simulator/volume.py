"""Free dipoles in the volume: one moment of blobs on a grid, under another head than the assumed.

The protocol of 3D-PIUNet (Morik et al. 2024, arXiv:2411.00143), on this package's own head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace, template_surfaces, template_volume
from bayesesi.anatomy.cache import cached_arrays
from bayesesi.errors import InputError
from bayesesi.forward import Conductivities, ForwardOperator, Sensors, solve_bem, template_bank
from bayesesi.forward.electrodes import place_electrodes
from bayesesi.io.atomic import atomic_file
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation, observe
from bayesesi.prior import BLOCK, block_generator, blocks_of, distribution_of
from bayesesi.spec import VolumeFrameSpec, read_spec
from bayesesi.spec.volume_frame import ThreeShells

#: A m that an amplitude of 1 stands for; the protocol's metrics do not depend on it.
UNIT = 1e-8


@dataclass(frozen=True, eq=False)
class VolumeCases:
    """n cases.

    Attributes
    ----------
    forward : of the assumed head, (C, S, 3).
    fields : (n, S, 3) A m. volts : (n, C) V, average reference. noise_sd : (n,) V.
    draws : site -> (n, ...).
    """

    forward: ForwardOperator
    fields: NDArray[np.float32]
    volts: NDArray[np.float64]
    noise_sd: NDArray[np.float64]
    draws: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.volts)

    def observation(self, k: int) -> Observation:
        """Observe case ``k``; the size of the noise is known."""
        names = tuple(self.forward.ch_names)
        noise = NoiseCovariance(self.noise_sd[k] ** 2 * np.eye(len(names)), names)
        return observe(self.volts[k][:, None], self.forward, noise, sfreq=1000.0)


@dataclass(frozen=True, eq=False)
class VolumeSimulator:
    """Blobs exp(-d² / (2 extent²)) of one orientation each, scaled to unit L2 norm times N(0, 1).

    Centres are uniform on the grid, orientations on the sphere, distances straight. Noise is
    independent, its sd that of the event over channels over 10^(SNR / 20). Lead fields are solved
    directly (some minutes, kept in the user's cache). ``spec`` says which heads and sizes.
    """

    spec: VolumeFrameSpec

    @cached_property
    def source_space(self) -> SourceSpace:
        return template_volume(self.spec.spacing_mm * 1e-3)

    @cached_property
    def sensors(self) -> Sensors:
        import mne

        montage = mne.channels.make_standard_montage(self.spec.montage)
        info = mne.create_info(montage.ch_names, 1000.0, "eeg").set_montage(montage)
        return place_electrodes(info, template_bank().scalp)[0]

    @cached_property
    def forward(self) -> ForwardOperator:
        """Of the assumed head."""
        return ForwardOperator(
            self._solve(self.spec.assumed),
            self.source_space,
            sensors=self.sensors,
            provenance={"forward": "template, three shells, solved directly"},
        )

    @cached_property
    def true_leadfield(self) -> NDArray[np.float64]:
        """(C, S, 3) V/(A m), average reference."""
        return self._solve(self.spec.true)

    def _solve(self, shells: ThreeShells) -> NDArray[np.float64]:
        surfaces = template_surfaces(3, n_vertices=self.spec.n_vertices)
        tissues = Conductivities(
            brain=shells.brain_S_per_m, skull=shells.skull_S_per_m, scalp=shells.scalp_S_per_m
        )
        electrodes, sources = self.sensors.positions, self.source_space.positions

        def compute() -> dict[str, NDArray[Any]]:
            return {"leadfield": solve_bem(surfaces, tissues, sources, electrodes)}

        conductivities = np.array([tissues.brain, tissues.skull, tissues.scalp])
        key = (*surfaces.vertices, electrodes, sources, conductivities)
        leadfield = cached_arrays("volume-leadfield", key, compute)["leadfield"]
        return np.asarray(leadfield - leadfield.mean(axis=0))

    def simulate(
        self, n: int, seed: int = 0, namespace: str = "bench", start: int = 0
    ) -> VolumeCases:
        """Simulate ``n`` cases of ``seed`` from case ``start`` on; case k depends on no other.

        ``namespace`` is one of ``NAMESPACES``.

        Raises
        ------
        InputError : no case.
        """
        if n < 1:
            raise InputError(f"simulate at least one case, not {n}")
        parts = []
        for block, rows in blocks_of(start, start + n):
            with block_generator(namespace, seed, block):
                whole = self._block()
            parts.append({name: value[rows] for name, value in whole.items()})
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        fields, volts, sd = (joined.pop(name) for name in ("fields", "volts", "noise_sd"))
        return VolumeCases(self.forward, fields, volts, sd, joined)

    def _block(self) -> dict[str, NDArray[Any]]:
        """256 cases, from the random state of the moment."""
        spec, space = self.spec, self.source_space
        slots = max(spec.n_sources)
        count = np.array(spec.n_sources)[torch.randint(len(spec.n_sources), (BLOCK,)).numpy()]
        centre = torch.randint(space.n_sources, (BLOCK, slots)).numpy()
        extent = _draw(spec.extent_mm, (BLOCK, slots)) * 1e-3
        axis = torch.randn(BLOCK, slots, 3, dtype=torch.float64).numpy()
        axis /= np.linalg.norm(axis, axis=2, keepdims=True)
        amplitude = torch.randn(BLOCK, slots, dtype=torch.float64).numpy()
        amplitude *= np.arange(slots) < count[:, None]
        fields = np.zeros((BLOCK, space.n_sources, 3), np.float32)
        for k in range(slots):
            apart = np.linalg.norm(space.positions - space.positions[centre[:, k], None], axis=2)
            blob = np.exp(-0.5 * (apart / extent[:, k, None]) ** 2)
            blob *= UNIT * (amplitude[:, k] / np.linalg.norm(blob, axis=1))[:, None]
            fields += (blob[:, :, None] * axis[:, k, None]).astype(np.float32)
        event = fields.reshape(BLOCK, -1) @ self._flat_true.T
        sd = event.std(axis=1) / 10 ** (_draw(spec.snr_db, (BLOCK,)) / 20)
        noise = torch.randn(*event.shape, dtype=torch.float64).numpy() * sd[:, None]
        return {
            "fields": fields,
            "volts": event + noise - noise.mean(axis=1, keepdims=True),
            "noise_sd": sd,
            "count": count,
            "centre": centre,
            "extent_mm": extent * 1e3,
            "amplitude": amplitude,
        }

    @cached_property
    def _flat_true(self) -> NDArray[np.float64]:
        return self.true_leadfield.reshape(len(self.sensors), -1)


def read_volume_simulator(name_or_path: str | Path) -> VolumeSimulator:
    """Read a simulator of family ``volume-frame``; ``name_or_path`` is its name or a TOML file.

    Raises
    ------
    InputError : a spec with mistakes, or of another family.
    """
    spec = read_spec(name_or_path)
    if not isinstance(spec, VolumeFrameSpec):
        raise InputError(f"{spec.name!r} is not of family 'volume-frame'")
    return VolumeSimulator(spec)


def write_volume_cases(cases: VolumeCases, path: str | Path) -> Path:
    """Write ``cases`` to ``path`` as safetensors, the assumed leadfield and all draws among them.

    Raises
    ------
    InputError : a path that cannot be written.
    """
    from safetensors.numpy import save_file

    path = Path(path)
    arrays = {
        "fields": cases.fields,
        "volts": cases.volts,
        "noise_sd": cases.noise_sd,
        "leadfield": np.asarray(cases.forward.leadfield),
        "positions": cases.forward.source_space.positions,
        **{f"draws/{name}": value for name, value in cases.draws.items()},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); choose another folder") from error
    with atomic_file(path) as draft:
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, draft)
    return path


def _draw(quantity: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    drawn: torch.Tensor = distribution_of(quantity).expand(shape).sample()
    return drawn.double().numpy()
