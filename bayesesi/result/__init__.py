"""What a recording's posterior was summed up to, as it is stored."""

from bayesesi.result.reading import read_result
from bayesesi.result.result import ATTRIBUTE, SCHEMA, CredibleSet, Result

__all__ = ["ATTRIBUTE", "SCHEMA", "CredibleSet", "Result", "read_result"]
