"""Sets with a finite-sample guarantee, for the scores of any solver."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.conformal.regions import (
        GUARANTEES,
        LEVELS,
        ConformalRule,
        Guarantee,
        RegionSet,
        conformal_rank,
        conformalize,
    )
    from bayesesi.conformal.split import (
        CELLS,
        FALSE_ALARM,
        LEAST_CASES,
        Cell,
        ConformalSplit,
        cell_of,
    )
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "CELLS",
    "FALSE_ALARM",
    "GUARANTEES",
    "LEAST_CASES",
    "LEVELS",
    "Cell",
    "ConformalRule",
    "ConformalSplit",
    "Guarantee",
    "RegionSet",
    "cell_of",
    "conformal_rank",
    "conformalize",
]
