"""Format numbers and names for a reader; make text from outside harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Characters of a name from outside that are shown.
NAME_LENGTH = 80
#: Entries of a list or table from outside that are shown.
_MOST = 200

# Desikan-Killiany region -> what it is called on a ward
_REGIONS = {
    "bankssts": "banks of the superior temporal sulcus",
    "caudalanteriorcingulate": "caudal anterior cingulate",
    "caudalmiddlefrontal": "caudal middle frontal gyrus",
    "cuneus": "cuneus",
    "entorhinal": "entorhinal cortex",
    "frontalpole": "frontal pole",
    "fusiform": "fusiform gyrus",
    "inferiorparietal": "inferior parietal lobule",
    "inferiortemporal": "inferior temporal gyrus",
    "insula": "insula",
    "isthmuscingulate": "isthmus of the cingulate",
    "lateraloccipital": "lateral occipital cortex",
    "lateralorbitofrontal": "lateral orbitofrontal cortex",
    "lingual": "lingual gyrus",
    "medialorbitofrontal": "medial orbitofrontal cortex",
    "middletemporal": "middle temporal gyrus",
    "paracentral": "paracentral lobule",
    "parahippocampal": "parahippocampal gyrus",
    "parsopercularis": "pars opercularis",
    "parsorbitalis": "pars orbitalis",
    "parstriangularis": "pars triangularis",
    "pericalcarine": "pericalcarine cortex",
    "postcentral": "postcentral gyrus",
    "posteriorcingulate": "posterior cingulate",
    "precentral": "precentral gyrus",
    "precuneus": "precuneus",
    "rostralanteriorcingulate": "rostral anterior cingulate",
    "rostralmiddlefrontal": "rostral middle frontal gyrus",
    "superiorfrontal": "superior frontal gyrus",
    "superiorparietal": "superior parietal lobule",
    "superiortemporal": "superior temporal gyrus",
    "supramarginal": "supramarginal gyrus",
    "temporalpole": "temporal pole",
    "transversetemporal": "transverse temporal gyrus",
}
_SIDES = {"lh": "left", "rh": "right"}


def plain(text: object, limit: int = NAME_LENGTH) -> str:
    """Cut text from outside to one line: no control or direction characters, shortened.

    Parameters
    ----------
    text : any object. limit : number of characters.
    """
    # far beyond the limit nothing would be shown, so nothing there is looked at
    shown = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * limit + 4])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[:limit].rstrip() + "…"


def plain_tree(value: Any, limit: int = NAME_LENGTH) -> Any:
    """Pass every text in tables and lists from outside through ``plain``.

    Parameters
    ----------
    value : a tree of tables and lists. limit : number of characters of a text.
    """
    if isinstance(value, str):
        return plain(value, limit)
    if isinstance(value, Mapping):
        return {plain(k): plain_tree(v, limit) for k, v in list(value.items())[:_MOST]}
    if isinstance(value, Sequence):
        return [plain_tree(item, limit) for item in value[:_MOST]]
    return value


def region_words(name: str) -> str:
    """Translate ``middletemporal-rh`` to the right middle temporal gyrus; else keep the name.

    Parameters
    ----------
    name : of the region.
    """
    stem, _, hemi = name.rpartition("-")
    if stem in _REGIONS and hemi in _SIDES:
        return f"{_SIDES[hemi]} {_REGIONS[stem]}"
    return plain(name)


def percent(share: float) -> str:
    """Format whole percent; ``<1 %`` and ``>99 %`` where rounding would give none or all.

    Parameters
    ----------
    share : 0 to 1, or NaN.
    """
    if share != share:
        return "–"
    if 0 < share <= 0.005:
        return "<1\u00a0%"
    if 0.995 <= share < 1:
        return ">99\u00a0%"
    return f"{100 * share:.0f}\u00a0%"


def chance(probability: float) -> str:
    """Format a share of draws in whole percent: finitely many draws exclude neither 0 nor 1.

    Parameters
    ----------
    probability : 0 to 1.
    """
    if probability == 0:
        return "<1\u00a0%"
    return ">99\u00a0%" if probability == 1 else percent(probability)


def square_cm(area: float) -> str:
    """Format an area in whole cm².

    Parameters
    ----------
    area : cm².
    """
    return f"{area:.0f}" if area >= 1 else "less than 1"


def figures(value: float, digits: int = 2) -> str:
    """Format a number to so many significant digits, in powers of ten only where it must be.

    Parameters
    ----------
    value : a scalar, or NaN. digits : number of significant digits.
    """
    if value != value:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        rounded = float(f"{value:.{digits - 1}e}")
        decimals = 0 if value == 0 else max(0, digits - 1 - _exponent(rounded))
        return f"{value:.{decimals}f}"
    return f"{value:.{digits - 1}e}"


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".rpartition("e")[2])


def listed(words: Sequence[str], most: int = 6) -> str:
    """Join words as ``a, b and c``; of many the first, and how many more.

    Parameters
    ----------
    words : to join. most : number of words that are shown.
    """
    words = list(words)
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def counted(n: float, word: str) -> str:
    """Format a count as ``1 trial``, ``6 trials``.

    Parameters
    ----------
    n : number of them. word : the singular.
    """
    number = f"{int(n):,}" if float(n).is_integer() else f"{n:g}"
    return f"{number} {word}" + ("" if n == 1 else "s")


def value_words(value: Any) -> str:
    """Format a ``value`` of a table of provenance: numbers to four digits, no brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name.replace('_', ' ')} {value_words(item)}" for name, item in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(value_words, value)) or "none"
    return str(value)
