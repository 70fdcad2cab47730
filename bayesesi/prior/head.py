"""The true head, given the one that is assumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from bayesesi.anatomy.template import THICKNESS_RANGE, head_centre
from bayesesi.forward import (
    CONDUCTIVITY_RANGE,
    BankedHead,
    HeadSettings,
    ScalpPoints,
    template_bank,
)
from bayesesi.prior.blocks import block_generator
from bayesesi.prior.distribution import distribution_of
from bayesesi.prior.folds import SEEDS, Folds
from bayesesi.spec import HeadSpec

TISSUES = ("brain", "csf", "skull", "scalp")


@dataclass(frozen=True, eq=False)
class HeadPrior:
    """p(true head | assumed head): tissues, shape, size, and where the cap really sits.

    Sites (n,): ``shape`` of the bank; ``brain_S_per_m`` and so on; ``skull_thickness`` and ``size``
    over the assumed head's. Sites (n, 3) along the head's axes: ``cap_shift_mm``,
    ``cap_rotation_deg``; with folds (n,): ``fold_seed``, from which their fields follow, and
    ``fold_tilt``. ``spec`` says how each is distributed.
    """

    spec: HeadSpec

    def __repr__(self) -> str:
        cap = self.spec.cap
        shift, turn = (float(np.mean(sd)) for sd in (cap.shift_mm, cap.rotation_deg))
        own = ", folds of its own" if self.spec.folds else ""
        return (
            f"<HeadPrior {self.spec.name!r} | cap off by {shift:g} mm and {turn:g}°, electrodes by "
            f"{cap.jitter_mm:g} mm{own}>"
        )

    @cached_property
    def pyro_program(self) -> Callable[[int], dict[str, Tensor]]:
        """The prior as a Pyro model of n heads; returns its sites with cases first."""
        spec, cap = self.spec, self.spec.cap
        n_shapes = template_bank().n_shapes if spec.shapes == "any" else 1

        def program(n: int) -> dict[str, Tensor]:
            with pyro.plate("heads", n, dim=-1):
                drawn = {"shape": pyro.sample("shape", dist.Categorical(torch.ones(n_shapes)))}
                for tissue in TISSUES:
                    key = f"{tissue}_S_per_m"
                    drawn[key] = pyro.sample(key, distribution_of(getattr(spec.conductivity, key)))
                for key in ("skull_thickness", "size"):
                    drawn[key] = pyro.sample(key, distribution_of(getattr(spec, key)))
                moves = {"cap_shift_mm": cap.shift_mm, "cap_rotation_deg": cap.rotation_deg}
                for key, sd in moves.items():
                    drawn[key] = pyro.sample(key, _spread(sd))
                if spec.folds is not None:
                    seeds = dist.Uniform(0.0, float(SEEDS))
                    drawn["fold_seed"] = pyro.sample("fold_seed", seeds).floor()
                    drawn["fold_tilt"] = pyro.sample("fold_tilt", distribution_of(spec.folds.tilt))
            return drawn

        return program

    def draw(self, n: int) -> dict[str, NDArray[Any]]:
        """Draw ``n`` heads, from the random state of the moment."""
        return {name: value.numpy() for name, value in self.pyro_program(n).items()}

    @cached_property
    def folds(self) -> Folds | None:
        """How cortices are folded; None where all are as the template's."""
        return None if self.spec.folds is None else Folds(self.spec.folds)

    def settings(self, draws: dict[str, NDArray[Any]]) -> HeadSettings:
        """Make the settings to ask the bank for; ``draws`` map sites to (n, ...)."""
        # single precision may round a draw at the end of a range out of it
        tissues = [
            np.clip(draws[f"{tissue}_S_per_m"].astype(float), *CONDUCTIVITY_RANGE[tissue])
            for tissue in TISSUES
        ]
        return HeadSettings(
            draws["shape"].astype(np.int64),
            np.stack(tissues, axis=1),
            np.clip(draws["skull_thickness"].astype(float), *THICKNESS_RANGE),
        )

    def whitened_rows(
        self,
        banked: BankedHead,
        whitener: NDArray[np.float64],
        n: int,
        block: tuple[str, int, int],
        **known: float,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
        """Draw n heads around a head of the bank and compute what electrodes see in each.

        Returns the sites (n, ...) and (n, n_eff, modes) 1/(A m): the bank's source modes at its
        electrodes, moved, and whitened.

        Parameters
        ----------
        banked : the assumed head and its C electrodes. whitener : (n_eff, C). n : number of heads.
        block : namespace, seed and number that the draws come from, see ``block_generator``.
        known : sites that are given, such as ``skull_S_per_m``.
        """
        with block_generator(*block):
            draws = self.draw(n)
            where = self.electrodes(draws, banked.electrodes).positions
        draws |= {name: np.full(n, value) for name, value in known.items()}
        settings, size = self.settings(draws), draws["size"].astype(float)
        rows = [
            whitener @ (banked.electrode_modes(settings[k], where[k]) / size[k] ** 2)
            for k in range(n)
        ]
        return draws, np.array(rows, np.float32)

    def worn(self, plan: NDArray[np.float64]) -> NDArray[np.float64]:
        """Draw where a cap seems to sit, (C, 3) m: on its ``plan`` (C, 3) m or about it."""
        cap = self.spec.cap
        shift = torch.randn(1, 3).numpy() * cap.worn_shift_mm
        rotation = torch.randn(1, 3).numpy() * cap.worn_rotation_deg
        return template_bank().scalp_map.points(move_cap(plan, shift, rotation)).positions[0]

    def electrodes(
        self, draws: dict[str, NDArray[Any]], assumed: NDArray[np.float64]
    ) -> ScalpPoints:
        """Draw where electrodes really sit on the template's scalp, (n, C).

        The cap turns about the head's centre and shifts, as one piece; then each electrode moves by
        itself; all are brought back to the scalp along the ray from the centre. ``draws`` map sites
        to (n, ...); ``assumed`` is (C, 3) m.
        """
        moved = move_cap(assumed, draws["cap_shift_mm"], draws["cap_rotation_deg"])
        jitter = torch.randn(moved.shape, dtype=torch.float64).numpy() * self.spec.cap.jitter_mm
        return template_bank().scalp_map.points(moved + jitter * 1e-3)


def move_cap(
    positions: NDArray[np.float64], shift_mm: NDArray[Any], rotation_deg: NDArray[Any]
) -> NDArray[np.float64]:
    """Turn ``positions`` (C, 3) m by n rotation vectors about the head's centre and shift them.

    Returns (n, C, 3) m; ``shift_mm`` and ``rotation_deg`` are (n, 3), along and about the head's
    axes.
    """
    turn = Rotation.from_rotvec(np.asarray(rotation_deg, float), degrees=True).as_matrix()
    turned = (positions - head_centre()) @ np.swapaxes(turn, 1, 2)
    return np.asarray(turned + head_centre() + np.asarray(shift_mm, float)[:, None] * 1e-3)


def _spread(sd: float | tuple[float, float, float]) -> dist.TorchDistribution:
    if sd == 0:
        return dist.Delta(torch.zeros(3)).to_event(1)
    scale = torch.tensor(sd).expand(3).clamp(min=1e-9)
    return dist.Normal(torch.zeros(3), scale).to_event(1)
