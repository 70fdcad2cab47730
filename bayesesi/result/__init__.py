"""Results: the summary of a recording's posterior, as it is stored."""

from typing import TYPE_CHECKING

from bayesesi.lazy import names_on_first_use

if TYPE_CHECKING:
    from bayesesi.result.groups import Group, Groups
    from bayesesi.result.reading import read_result
    from bayesesi.result.result import ATTRIBUTE, SCHEMA, CredibleSet, Result
else:
    __getattr__ = names_on_first_use(__name__)

__all__ = ["ATTRIBUTE", "SCHEMA", "CredibleSet", "Group", "Groups", "Result", "read_result"]
