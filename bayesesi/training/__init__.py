"""Networks learn from simulators: cases, losses, the loop, what a run leaves behind."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.training.data import Cases, CaseStream, cases_of
    from bayesesi.training.loop import Trained, fit, is_first
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = ["CaseStream", "Cases", "Trained", "cases_of", "fit", "is_first"]
