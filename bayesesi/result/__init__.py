"""Results: the summary of a recording's posterior, as it is stored."""

from bayesesi.result.groups import Group, Groups
from bayesesi.result.reading import read_result
from bayesesi.result.result import ATTRIBUTE, SCHEMA, CredibleSet, Result

__all__ = ["ATTRIBUTE", "SCHEMA", "CredibleSet", "Group", "Groups", "Result", "read_result"]
