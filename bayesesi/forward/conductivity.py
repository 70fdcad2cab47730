"""Tissue conductivities in S/m, the values usually assumed, and the range a bank must contain."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from bayesesi.errors import InputError, OutsideRangeError

#: S/m; wide enough for every prior of heads here. The weighted means over 56 papers lie inside:
#: scalp .41, skull .02, csf 1.71, grey .47 and white matter .22 (McCann, Pisano & Beltrachini
#: 2019, doi:10.1007/s10548-019-00710-2).
CONDUCTIVITY_RANGE = {
    "brain": (0.2, 0.6),
    "csf": (1.2, 2.2),
    "skull": (0.002, 0.03),
    "scalp": (0.2, 0.6),
}


@dataclass(frozen=True)
class Conductivities:
    """S/m of each tissue. The defaults are those of Vorwerk et al. 2014 (NeuroImage 100:590).

    Attributes
    ----------
    brain, csf, skull, scalp : S/m, positive.

    Raises
    ------
    InputError : a value that is not finite or not positive.
    """

    brain: float = 0.33
    csf: float = 1.79
    skull: float = 0.010
    scalp: float = 0.43

    def __post_init__(self) -> None:
        for tissue, value in asdict(self).items():
            if not (math.isfinite(value) and value > 0):
                raise InputError(
                    f"the conductivity of {tissue} is {value!r}; it must be a positive number in "
                    "S/m, about 0.33 for brain, 1.8 for csf, 0.01 for skull, 0.43 for scalp"
                )

    @property
    def log_ratios(self) -> tuple[float, float, float]:
        """log of csf, skull and scalp over brain: with the brain's value they are everything.

        Potentials scale as 1/sigma when all conductivities are scaled together.
        """
        return (
            math.log(self.csf / self.brain),
            math.log(self.skull / self.brain),
            math.log(self.scalp / self.brain),
        )

    def check_range(self) -> Conductivities:
        """Return itself if every tissue is inside ``CONDUCTIVITY_RANGE``.

        Raises
        ------
        OutsideRangeError : a tissue that is not.
        """
        for tissue, value in asdict(self).items():
            low, high = CONDUCTIVITY_RANGE[tissue]
            if not low <= value <= high:
                raise OutsideRangeError(
                    f"the conductivity of {tissue} is {value:g} S/m, the leadfield bank holds "
                    f"{low:g} to {high:g}; choose a value in that range or call solve_bem"
                )
        return self
