"""The one kind of error a user can cause: an input that cannot be used.

Every message says what came, what is allowed and what to do, in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used; nothing was changed or written."""


class OutsideRangeError(InputError):
    """A head setting lies outside what was prepared; a direct solve would serve."""


def some(names: Iterable[object], limit: int = 5) -> str:
    """List the first ``limit`` of ``names``, cut to 40 characters, and how many more."""
    every = [repr(str(name)[:40]) for name in names]
    shown = every[:limit]
    more = len(every) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
