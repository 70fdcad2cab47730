"""Networks learn from simulators: examples, the loop, what a run leaves behind."""

from bayesesi.training.examples import AtomExamples, Example, ExampleStream
from bayesesi.training.loop import Trained, fit

__all__ = ["AtomExamples", "Example", "ExampleStream", "Trained", "fit"]
