"""Which head: its shape, the conductivity of its tissues, how thick its skull is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy.template import THICKNESS_RANGE
from bayesesi.errors import OutsideRangeError
from bayesesi.forward.conductivity import Conductivities


@dataclass(frozen=True)
class HeadSetting:
    """One head the bank can give.

    Attributes
    ----------
    shape : which of the bank's heads, 0 the template. conductivities : S/m of its tissues.
    skull_thickness : a factor over the template's.
    """

    shape: int = 0
    conductivities: Conductivities = field(default_factory=Conductivities)
    skull_thickness: float = 1.0

    def check_range(self) -> HeadSetting:
        """Return itself if the bank holds such a head.

        Raises
        ------
        OutsideRangeError : a conductivity or a thickness that it does not hold.
        """
        self.conductivities.check_range()
        low, high = THICKNESS_RANGE
        if not low <= self.skull_thickness <= high:
            raise OutsideRangeError(
                f"skull_thickness is {self.skull_thickness:g} times the template's, the bank "
                f"holds {low:g} to {high:g}; choose a factor in that range or call solve_bem"
            )
        return self

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """(4,): where the setting lies among the nodes."""
        return np.array([*self.conductivities.log_ratios, np.log(self.skull_thickness)])


@dataclass(frozen=True, eq=False)
class HeadSettings:
    """n heads of the bank.

    Attributes
    ----------
    shape : (n,) which of the bank's heads.
    conductivities : (n, 4) S/m of brain, csf, skull, scalp.
    skull_thickness : (n,) over the template's.
    """

    shape: NDArray[np.int64]
    conductivities: NDArray[np.float64]
    skull_thickness: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.shape)

    def pick(self, rows: slice) -> HeadSettings:
        """Keep the heads in ``rows``."""
        return HeadSettings(self.shape[rows], self.conductivities[rows], self.skull_thickness[rows])

    def __getitem__(self, k: int) -> HeadSetting:
        return HeadSetting(
            int(self.shape[k]),
            Conductivities(*map(float, self.conductivities[k])),
            float(self.skull_thickness[k]),
        )

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """(n, 4): where the heads lie among the nodes."""
        ratios = np.log(self.conductivities[:, 1:] / self.conductivities[:, :1])
        return np.c_[ratios, np.log(self.skull_thickness)]
