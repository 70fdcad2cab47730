"""What a recording's posterior was summed up to, as it is stored."""

from bayesesi.result.result import ATTRIBUTE, SCHEMA, CredibleSet, Result, read_result

__all__ = ["ATTRIBUTE", "SCHEMA", "CredibleSet", "Result", "read_result"]
