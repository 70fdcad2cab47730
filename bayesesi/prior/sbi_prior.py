"""A prior of events as sbi takes one: flat numbers, drawn and scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesesi.errors import InputError

if TYPE_CHECKING:
    from bayesesi.prior.source import SourcePrior


@dataclass(frozen=True)
class _Site:
    """Of the Pyro program.

    Attributes
    ----------
    columns : where its numbers stand. shape : of one case. cases : the axis of cases.
    """

    name: str
    columns: slice
    shape: tuple[int, ...]
    cases: int
    dtype: torch.dtype


class SbiPrior:
    """The sites of ``prior``'s Pyro program, flat: ``sample`` and ``log_prob`` as sbi wants them.

    Sites that do not matter for a case (slots beyond its count) are drawn, and 0 in ``log_prob``.

    Attributes
    ----------
    names : (d,) of the numbers: a site's name, and its place in the site where it has several.
    """

    def __init__(self, prior: SourcePrior) -> None:
        self.prior = prior
        with torch.random.fork_rng(devices=[]):
            trace = poutine.trace(prior.pyro_program).get_trace(2)
        sites, names, first = [], [], 0
        for name, node in trace.nodes.items():
            if node["type"] != "sample" or site_is_subsample(node):
                continue
            fn: Any = node["fn"]
            value, cases = _value(node), len(fn.batch_shape) - 1
            shape = tuple(value.shape[:cases]) + tuple(value.shape[cases + 1 :])
            width = int(torch.Size(shape).numel())
            sites.append(_Site(name, slice(first, first + width), shape, cases, value.dtype))
            names += [name] if width == 1 else [f"{name}[{i}]" for i in range(width)]
            first += width
        self._sites, self.names, self._width = tuple(sites), tuple(names), first

    @property
    def event_shape(self) -> torch.Size:
        return torch.Size([self._width])

    batch_shape = torch.Size([])

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Draw (..., d) from the generator of torch, (...) being ``sample_shape``."""
        shape = torch.Size(sample_shape)
        n = max(shape.numel(), 1)
        trace = poutine.trace(self.prior.pyro_program).get_trace(n)
        columns = [
            _value(trace.nodes[site.name]).movedim(site.cases, 0).reshape(n, -1).float()
            for site in self._sites
        ]
        return torch.cat(columns, dim=1).view(*shape, self._width)

    def log_prob(self, theta: Tensor) -> Tensor:
        """Compute (...) nats of ``theta`` (..., d); minus infinity where a site cannot be so."""
        flat = self._checked(theta)
        program = poutine.condition(self.prior.pyro_program, self._values(flat))
        trace = poutine.trace(program).get_trace(len(flat))
        trace.compute_log_prob()
        total = torch.zeros(len(flat))
        for site in self._sites:
            each = trace.nodes[site.name]["log_prob"]
            total = total + each.reshape(-1, len(flat)).sum(0)
        return total.view(theta.shape[:-1])

    def draws(self, theta: Tensor) -> dict[str, Tensor]:
        """Run the prior's program at ``theta`` (n, d): sites with cases first."""
        flat = self._checked(theta)
        with torch.random.fork_rng(devices=[]):
            return dict(pyro.condition(self.prior.pyro_program, self._values(flat))(len(flat)))

    def _checked(self, theta: Tensor) -> Tensor:
        if theta.shape[-1] != self._width:
            raise InputError(
                f"{self.prior.spec.name} has {self._width} numbers, not {theta.shape[-1]}; see the "
                "names of as_sbi_prior()"
            )
        return theta.reshape(-1, self._width)

    def _values(self, flat: Tensor) -> dict[str, Tensor]:
        out = {}
        for site in self._sites:
            value = flat[:, site.columns].view(len(flat), *site.shape).movedim(0, site.cases)
            whole = not site.dtype.is_floating_point
            out[site.name] = (value.round() if whole else value).to(site.dtype)
        return out


def _value(node: Any) -> Tensor:
    value: Tensor = node["value"]
    return value
