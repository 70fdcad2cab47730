"""The command line: the verbs of the Python interface, nothing more."""

from bayesesi.cli import head, localize, models, report, simulate, specs
from bayesesi.cli.app import app

__all__ = ["app", "head", "localize", "models", "report", "simulate", "specs"]
