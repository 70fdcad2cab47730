"""What free dipoles in the brain volume look like in a head that is not known.

With R heads drawn around the assumed one, L (3, n) the whitened topographies along x, y, z of a
blob (place, extent), and moments m ~ N(0, t I) that are unknown too, data y = m'L + e of one course
of time have

    E[y y'] = nu I + t P,        P = E_heads[L' L],

so that an unknown head is a covariance: what of a topography heads agree on, and what not. P of
several dipoles add up; ``features.covariance_likelihood`` holds the likelihood.

Sensors are turned to the m directions in which sources show most. Means of L and P are held at
nodes of the skull's conductivity, of the extent and of the place (``anatomy.VolumeBlobs``), and
interpolated linearly, by which P stays a covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi.anatomy import EXTENT_NODES, VolumeBlobs, node_weights, template_blobs
from bayesesi.forward import BankedHead, template_bank
from bayesesi.operator import principal_axes
from bayesesi.prior import HeadPrior

#: S/m of the skull at the nodes, and heads drawn at each.
SKULL_NODES, N_HEADS = (0.003, 0.0085, 0.024), 48
#: Directions of the sensors that are kept.
MOST = 40


@dataclass(frozen=True, eq=False)
class DipoleForward:
    """Hold what all observations of one forward and noise share. C skulls, E extents, V points.

    Attributes
    ----------
    turn : (m, n) orthonormal. mean : (C E V, 3 m) of L. square : (C E V, m (m + 1) / 2) of P, its
        lower triangle. unit : power of a typical source, 1/(A m)²; mean is in its root, square in
        it. blobs : of the volume.
    """

    turn: NDArray[np.float64]
    mean: NDArray[np.float32]
    square: NDArray[np.float32]
    unit: float
    blobs: VolumeBlobs

    @classmethod
    def of(
        cls,
        banked: BankedHead,
        whitener: NDArray[np.float64],
        heads: HeadPrior,
        seed: int = 0,
        n_heads: int = N_HEADS,
    ) -> DipoleForward:
        """Average over heads drawn around one of the bank's.

        Parameters
        ----------
        banked : the head. whitener : (n, C) of its channels. heads : prior of the others.
        seed : of the draws. n_heads : number of heads at each node of the skull.
        """
        drawn = (
            heads.whitened_rows(
                banked, whitener, n_heads, ("validate", seed, 3 + c), skull_S_per_m=skull
            )
            for c, skull in enumerate(SKULL_NODES)
        )
        rows = np.stack([each for _, each in drawn])  # (C, H, n, modes)
        modes, blobs = _node_modes(), template_blobs()
        middle = modes[len(modes) // 2, ::11]
        seen = np.concatenate([middle @ row.T for row in rows[:, 0]])
        turn = principal_axes(seen.T, MOST)
        unit = float(3 * (seen**2).sum(axis=1).mean())
        turned = torch.from_numpy((turn.astype(np.float32) @ rows) / np.float32(np.sqrt(unit)))
        m = len(turn)
        lower = torch.tril_indices(m, m)
        mean = torch.zeros(len(SKULL_NODES), len(modes), blobs.n_points, 3 * m)
        square = torch.zeros(*mean.shape[:3], lower.shape[1])
        for e, each in enumerate(modes):
            flat = torch.from_numpy(each)
            for c in range(len(SKULL_NODES)):
                total = torch.zeros(blobs.n_points, m, m)
                for row in turned[c]:
                    seen_by = (flat @ row.T).view(blobs.n_points, 3, m)
                    total.baddbmm_(seen_by.transpose(1, 2), seen_by)
                    mean[c, e] += seen_by.flatten(1)
                square[c, e] = total[:, lower[0], lower[1]]
        means, squares = ((x.flatten(0, 2) / n_heads).numpy() for x in (mean, square))
        return cls(turn, means, squares, unit, blobs)

    @property
    def m(self) -> int:
        return len(self.turn)

    def gather(
        self,
        places: NDArray[np.float64],
        extents: NDArray[np.float64],
        skull: NDArray[np.float64],
    ) -> sp.csr_array:
        """Compute (k, C E V) weights of the nodes.

        Parameters
        ----------
        places : (k, 3) m. extents : (k,) m. skull : (k,) S/m.
        """
        point, near = self.blobs.corners(places)
        extent, tissue = self.blobs.extent_weights(extents), skull_weights(skull)
        weight = tissue[:, :, None, None] * extent[:, None, :, None] * near[:, None, None]
        n_points = self.blobs.n_points
        node = np.arange(weight.shape[1] * weight.shape[2]).reshape(1, *weight.shape[1:3], 1)
        column = np.broadcast_to(node * n_points + point[:, None, None], weight.shape).copy()
        ends = np.arange(len(point) + 1) * weight[0].size
        found = sp.csr_array(
            (weight.astype(np.float32).ravel(), column.ravel(), ends), (len(point), len(self.mean))
        )
        found.eliminate_zeros()
        return found

    def squares(self, gather: sp.csr_array) -> Tensor:
        """Interpolate P, (k, m, m).

        Parameters
        ----------
        gather : (k, nodes) weights, see ``gather``.
        """
        packed = torch.from_numpy(gather @ self.square)
        return unpacked(packed, self.m)

    def means(self, gather: sp.csr_array) -> Tensor:
        """Interpolate the mean of L, (k, 3, m), over the root of the unit.

        Parameters
        ----------
        gather : (k, nodes) weights, see ``gather``.
        """
        return torch.from_numpy(gather @ self.mean).unflatten(1, (3, self.m))


def unpacked(packed: Tensor, m: int) -> Tensor:
    """Fill (k, m, m) symmetric matrices.

    Parameters
    ----------
    packed : (k, n) lower triangles, n = m (m + 1) / 2. m : number of rows.
    """
    lower = torch.tril_indices(m, m)
    out = packed.new_empty(len(packed), m, m)
    out[:, lower[0], lower[1]] = packed
    out[:, lower[1], lower[0]] = packed
    return out


def skull_weights(skull: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute (k, C) linear weights of the nodes over the logarithm; ends are held.

    Parameters
    ----------
    skull : (k,) S/m.
    """
    return node_weights(np.log(skull), np.log(SKULL_NODES))


@cache
def _node_modes() -> NDArray[np.float32]:
    """(E, V 3, modes): blobs of each node's extent in the bank's source modes."""
    modes = template_bank().volume_modes.T  # (3 V, modes)
    flat = modes.reshape(template_blobs().n_points, -1)
    each = [kernel.astype(np.float32) @ flat for kernel in template_blobs().kernels]
    return np.stack(each).reshape(len(EXTENT_NODES), -1, modes.shape[1])
