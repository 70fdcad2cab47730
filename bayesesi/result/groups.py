"""The arrays of a result before ArviZ holds them: light to make, turned over when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import arviz as az
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Group:
    """Hold one group of arrays, in the words of ``xarray.Dataset``.

    Attributes
    ----------
    variables : by name, (dims, values) or (dims, values, attributes).
    coords : by name, the same, or values along the dimension of that name.
    attrs : of the group.
    """

    variables: dict[str, tuple[Any, ...]]
    coords: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.variables or name in self.coords

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Values of a variable or a coordinate."""
        held = self.variables[name] if name in self.variables else self.coords[name]
        return np.asarray(held[1] if isinstance(held, tuple) else held)

    def to_dataset(self) -> xr.Dataset:
        """Convert the group to an xarray dataset."""
        import xarray as xr

        return xr.Dataset(self.variables, self.coords, self.attrs)


@dataclass(frozen=True, eq=False)
class Groups:
    """Hold the groups of a result.

    ArviZ and xarray take about as long to load as an answer takes: who only wants the verdict or
    the regions does not wait for them.

    Attributes
    ----------
    each : groups by name. attrs : of all.
    """

    each: Mapping[str, Group]
    attrs: dict[str, Any]

    def __getitem__(self, name: str) -> Group:
        return self.each[name]

    def groups(self) -> list[str]:
        """List the names of the groups."""
        return list(self.each)

    def to_inference_data(self) -> az.InferenceData:
        """Convert all groups to ArviZ's InferenceData."""
        import arviz as az

        data: Any = az.InferenceData  # its signature has no room for groups of one's own
        groups = {name: group.to_dataset() for name, group in self.each.items()}
        return data(attrs=self.attrs, **groups)
