"""The whitened lead field with columns of unit length, for networks, solvers and posteriors.

A whitened lead field L~ (n_eff, S) has sources of very different gain |l_s|. With x_s = |l_s| j_s,

    u = A x + e,   A = L~ diag(gain)^-1,   gain_s = |l_s|,   e ~ N(0, nu I),

fields x have one unit whatever the depth of a source, the montage and the noise. Under a prior
x ~ N(0, D), D = diag(d), the posterior mean is the regularised inverse

    A_dagger u = D A' (A D A' + nu I)^-1 u,

for D = I the minimum norm of Hämäläinen & Ilmoniemi (1994, doi:10.1007/BF02512476).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesesi.errors import InputError


class WhitenedOperator(nn.Module):
    """Hold A (m, S) with columns of unit length and the gain (S,) that was divided out.

    Everything is a buffer, outside of ``state_dict``: an operator belongs to a recording, not to
    the weights of a network. Make it in double precision, then cast it once by ``float()``: near
    equal eigenvalues let ``principal`` turn by any angle in single precision. Columns are shorter
    than 1 after ``principal`` by what the directions left out showed.

    Parameters
    ----------
    rows : (m, S) A, no unit. gain : (S,) length of each column of the lead field, 1/(A m).
    turn : (m, n_eff) orthonormal rows, the directions of the whitened space that ``rows`` holds.
    """

    rows: Tensor
    gain: Tensor
    turn: Tensor

    def __init__(self, rows: Tensor, gain: Tensor, turn: Tensor) -> None:
        super().__init__()
        for name, value in (("rows", rows), ("gain", gain), ("turn", turn)):
            self.register_buffer(name, value, persistent=False)

    @classmethod
    def of(cls, leadfield: NDArray[np.float64]) -> WhitenedOperator:
        """Divide a whitened lead field by the lengths of its columns, in double precision.

        Parameters
        ----------
        leadfield : (n_eff, S) or (n_eff, S, 3), 1/(A m). The three columns of a free source stand
            side by side and share one gain, the root of their mean square length, so that turned
            axes give a turned answer; S then counts columns, 3 a source.

        Raises
        ------
        InputError : another shape, or a source that no sensor sees.
        """
        leadfield = np.asarray(leadfield, float)
        if leadfield.ndim not in (2, 3) or (leadfield.ndim == 3 and leadfield.shape[2] != 3):
            raise InputError(
                f"a lead field is (n_eff, sources) or (n_eff, sources, 3), not {leadfield.shape}"
            )
        if leadfield.ndim == 2:
            gain = np.linalg.norm(leadfield, axis=0)
        else:
            gain = np.repeat(np.sqrt((leadfield**2).sum(axis=(0, 2)) / 3), 3)
        unseen = np.flatnonzero(~(np.isfinite(gain) & (gain > 0)))
        if len(unseen):
            raise InputError(
                f"{len(unseen)} columns of the lead field are 0 or not finite, the first of them "
                f"{unseen[0]}; leave out sources that no sensor sees"
            )
        rows = leadfield.reshape(len(leadfield), -1) / gain
        unit = torch.eye(len(rows), dtype=torch.float64)
        return cls(torch.from_numpy(rows), torch.from_numpy(gain), unit)

    @classmethod
    def stack(
        cls, *parts: WhitenedOperator, scales: Sequence[float] | None = None
    ) -> WhitenedOperator:
        """Put the rows of several recordings of one source space below each other.

        With noise of part k larger than its covariance states by a factor rho_k,

            gain² = sum_k (gain_k / rho_k)²,   A = rows of A_k gain_k / (rho_k gain),

        and the data of part k are to be divided by rho_k.

        Parameters
        ----------
        parts : one a recording, such as EEG and MEG.
        scales : factors rho_k, positive, one a part; 1 where not given.

        Raises
        ------
        InputError : no part, parts of different sources, scales that do not fit.
        """
        known = tuple(scales) if scales is not None else (1.0,) * len(parts)
        if len({part.n_sources for part in parts}) != 1:
            counts = ", ".join(str(part.n_sources) for part in parts) or "none"
            raise InputError(f"stacked operators have the same sources, not {counts}")
        if len(known) != len(parts) or min(known) <= 0:
            raise InputError(f"give one positive scale for each of {len(parts)} parts, not {known}")
        gains = [part.gain / scale for part, scale in zip(parts, known, strict=True)]
        gain = torch.stack(gains).square().sum(0).sqrt()
        rows = [part.rows * (own / gain) for part, own in zip(parts, gains, strict=True)]
        return cls(torch.cat(rows), gain, torch.block_diag(*(part.turn for part in parts)))

    def principal(self, most: int) -> WhitenedOperator:
        """Keep the directions in which unit topographies show most; rows of A become orthogonal.

        Parameters
        ----------
        most : directions that are kept, at most; those of the largest eigenvalues of A A'.
        """
        rows = self.rows.double().cpu().numpy()
        axes = torch.from_numpy(principal_axes(rows, most)).to(self.rows)
        return WhitenedOperator(axes @ self.rows, self.gain, axes @ self.turn)

    def copied_to(self, device: torch.device | str) -> WhitenedOperator:
        """Give this operator on a device, leaving this one where it is; ``to`` moves in place.

        Parameters
        ----------
        device : of torch, such as ``"cpu"`` or ``"cuda"``.
        """
        return WhitenedOperator(*(each.to(device) for each in (self.rows, self.gain, self.turn)))

    @property
    def n_rows(self) -> int:
        """m."""
        return self.rows.shape[0]

    @property
    def n_sources(self) -> int:
        """S, columns of A."""
        return self.rows.shape[1]

    def turned(self, values: Tensor) -> Tensor:
        """Read data along the rows of A.

        Parameters
        ----------
        values : (B, n_eff, R) whitened data, no unit. The answer is (m, B, R).
        """
        return torch.einsum("mn,bnq->mbq", self.turn, values)

    def A(self, x: Tensor) -> Tensor:  # noqa: N802
        """Predict the data of fields, A x.

        Parameters
        ----------
        x : (S, B, Q), no unit. The answer is (m, B, Q).
        """
        return (self.rows @ x.flatten(1)).unflatten(1, x.shape[1:])

    def A_adjoint(self, u: Tensor) -> Tensor:  # noqa: N802
        """Project data back to the sources, A' u.

        Parameters
        ----------
        u : (m, B, Q), no unit. The answer is (S, B, Q).
        """
        return (self.rows.T @ u.flatten(1)).unflatten(1, u.shape[1:])

    def A_dagger(self, u: Tensor, noise: Tensor, variance: Tensor | None = None) -> Tensor:  # noqa: N802
        """Invert A by a Gaussian prior: D A' (A D A' + nu I)^-1 u.

        Parameters
        ----------
        u : (m, B, Q), no unit. noise : (B, Q) nu > 0, variance of the noise of u.
        variance : (S, B, Q) d >= 0, the diagonal of D; 1 where not given, the minimum norm.
            The answer is (S, B, Q).
        """
        lower = self.factor(noise, variance)
        solved = torch.cholesky_solve(u.permute(1, 2, 0)[..., None], lower)[..., 0]
        back = self.A_adjoint(solved.permute(2, 0, 1).contiguous())
        return back if variance is None else variance * back

    def factor(self, noise: Tensor, variance: Tensor | None = None) -> Tensor:
        """Factor the covariance of the data, A D A' + nu I = L L'.

        Parameters
        ----------
        noise : (B, Q) nu > 0. variance : (S, B, Q) d >= 0, 1 where not given. The answer is the
            lower Cholesky factor (B, Q, m, m).
        """
        if variance is None:
            gram = self.rows @ self.rows.T
        else:
            half = self.rows * variance.sqrt().movedim(0, 2)[:, :, None]  # (B, Q, m, S)
            gram = half @ half.transpose(2, 3)
        unit = torch.eye(self.n_rows, device=gram.device, dtype=gram.dtype)
        lower: Tensor = torch.linalg.cholesky(gram + noise[:, :, None, None] * unit)
        return lower

    def moments(self, x: Tensor) -> Tensor:
        """Give the dipole moments that fields stand for, j = x / gain.

        Parameters
        ----------
        x : (S, B, Q), no unit. The answer is (S, B, Q) in A m.
        """
        return x / self.gain[:, None, None]

    def standardised(self, moments: Tensor) -> Tensor:
        """Scale dipole moments to fields, x = gain j: the inverse of ``moments``.

        Parameters
        ----------
        moments : (S, B, Q) A m. The answer is (S, B, Q), no unit.
        """
        return moments * self.gain[:, None, None]


def principal_axes(columns: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Find the directions in which columns have most energy.

    Parameters
    ----------
    columns : (n, N), any unit. most : directions, at most. The answer is (min(most, n), n),
        orthonormal rows, the largest eigenvalue of columns columns' first.
    """
    vectors = np.linalg.eigh(columns @ columns.T)[1]
    return np.ascontiguousarray(vectors[:, ::-1][:, :most].T, float)
