"""Networks learn from simulators: examples, losses, the loop, what a run leaves behind."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.training.atom_examples import AtomExample, AtomExamples
    from bayesesi.training.data import Examples, ExampleStream
    from bayesesi.training.dipole_examples import DipoleExample, DipoleExamples
    from bayesesi.training.field_examples import FieldExample, FieldExamples
    from bayesesi.training.loop import Trained, examples_of, fit, is_first
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = [
    "AtomExample",
    "AtomExamples",
    "DipoleExample",
    "DipoleExamples",
    "ExampleStream",
    "Examples",
    "FieldExample",
    "FieldExamples",
    "Trained",
    "examples_of",
    "fit",
    "is_first",
]
