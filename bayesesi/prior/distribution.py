"""Uncertain numbers of a spec as Pyro distributions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import ExpTransform

from bayesesi.errors import InputError
from bayesesi.spec import Quantity

#: A truncation that keeps less than this is a mistake.
_LEAST_MASS = 1e-6
#: Share beyond which a normal score is held.
_END = 1e-7


class TruncatedNormal(dist.TorchDistribution):
    """Normal(loc, scale) given that it lies in [low, high]; sampled by its inverse CDF.

    Attributes
    ----------
    loc, scale, low, high : a scalar each, in the unit of the quantity.

    Raises
    ------
    InputError : less than a millionth of the probability in the range.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = True

    def __init__(self, loc: float, scale: float, low: float, high: float) -> None:
        self.loc, self.scale, self.low, self.high = (
            torch.tensor(x, dtype=torch.float64) for x in (loc, scale, low, high)
        )
        a, b = (self.low - self.loc) / self.scale, (self.high - self.loc) / self.scale
        # in the lower tail, where the normal's CDF keeps its precision
        self._sign = -1.0 if a > 0 else 1.0
        self._ends = [torch.special.ndtr(self._sign * x) for x in (a, b)]
        self._mass = torch.abs(self._ends[1] - self._ends[0])
        if not self._mass >= _LEAST_MASS:
            raise InputError(
                f"a normal about {loc:g} with sd {scale:g} leaves less than {_LEAST_MASS:g} of its "
                f"probability within {low:g} to {high:g}; move within or the centre"
            )
        super().__init__(validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low.float(), self.high.float())

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> dist.TorchDistribution:  # type: ignore[override]
        """Expand to independent draws of ``batch_shape``."""
        return dist.ExpandedDistribution(self, torch.Size(batch_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values of ``sample_shape``."""
        first, last = self._ends
        share = first + (last - first) * torch.rand(sample_shape, dtype=torch.float64)
        z = self._sign * torch.special.ndtri(share)
        return (self.loc + self.scale * z).clamp(self.low, self.high).float()

    def log_prob(self, value: Tensor) -> Tensor:
        """Compute the log density of ``value`` (...), minus infinity outside."""
        z = (value - self.loc) / self.scale
        inside = (value >= self.low.float()) & (value <= self.high.float())
        density = -0.5 * z**2 - torch.log(self.scale * self._mass) - 0.5 * math.log(2 * math.pi)
        return torch.where(inside, density, -math.inf).float()


def distribution_of(quantity: Quantity) -> dist.TorchDistribution:
    """Make the Pyro distribution that ``quantity`` declares.

    ``lognormal = [median, factor]`` is exp of Normal(log median, log factor); ``within`` conditions
    on the range.
    """
    low, high = quantity.bounds
    if quantity.family == "constant":
        return dist.Delta(torch.tensor(quantity.numbers[0]))
    if quantity.family == "uniform":
        return dist.Uniform(low, high)
    if quantity.family == "loguniform":
        return _exp_of(dist.Uniform(math.log(low), math.log(high)))
    first, second = quantity.numbers
    if quantity.family == "normal":
        return _normal(first, second, low, high)
    log_low = math.log(low) if low > 0 else -math.inf
    log_high = math.log(high) if high < math.inf else math.inf
    return _exp_of(_normal(math.log(first), math.log(second), log_low, log_high))


def _normal(loc: float, scale: float, low: float, high: float) -> dist.TorchDistribution:
    if math.isinf(low) and math.isinf(high):
        return dist.Normal(loc, scale)
    return TruncatedNormal(loc, scale, low, high)


def _exp_of(base: dist.TorchDistribution) -> dist.TorchDistribution:
    return dist.TransformedDistribution(base, [ExpTransform()])


class NormalScore:
    """A positive ``quantity`` as a standard normal: u = Phi^-1(F(value)), and back.

    Raises
    ------
    InputError : a constant, or a family that is not over the logarithm.
    """

    def __init__(self, quantity: Quantity) -> None:
        from scipy.special import ndtr

        if quantity.family not in ("loguniform", "lognormal"):
            raise InputError(
                f"this number must be loguniform or lognormal, not {quantity.family}: it is "
                "inferred on its logarithm"
            )
        low, high = quantity.bounds
        self._low = math.log(low) if low > 0 else -math.inf
        self._high = math.log(high) if high < math.inf else math.inf
        self._normal = quantity.family == "lognormal"
        self._loc, self._scale = (math.log(x) for x in quantity.numbers)
        if self._normal:
            ends = ((self._low - self._loc) / self._scale, (self._high - self._loc) / self._scale)
            self._first, self._last = (float(ndtr(end)) for end in ends)

    def value(self, u: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert standard normal numbers ``u`` (...) to values in the quantity's unit."""
        from scipy.special import ndtr, ndtri

        share = ndtr(np.asarray(u, float))
        if not self._normal:
            return np.exp(self._low + share * (self._high - self._low))
        inner = self._first + share * (self._last - self._first)
        return np.exp(self._loc + self._scale * ndtri(inner))

    def quantiles(self, n: int = 2001) -> NDArray[np.float64]:
        """List ``n`` values (n,), each for a share 1 / n of the prior."""
        from scipy.special import ndtri

        return self.value(ndtri((np.arange(n) + 0.5) / n))

    def score(self, value: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert ``value`` (...), in the quantity's unit, to standard normal numbers.

        At the ends of its range they are about 5 away.
        """
        from scipy.special import ndtr, ndtri

        log = np.log(np.asarray(value, float))
        if self._normal:
            share = ndtr((log - self._loc) / self._scale) - self._first
            share = share / (self._last - self._first)
        else:
            share = (log - self._low) / (self._high - self._low)
        return np.asarray(ndtri(np.clip(share, _END, 1 - _END)))
