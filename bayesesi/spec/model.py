"""Families of models: what each is, in words and in numbers that do not need its code.

The class of a family is in the module of ``bayesesi.model`` that has its name. Networks share the
name of their estimator's family; which of them ship follows from the recipes and the assets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelFamily:
    """A family of models.

    Attributes
    ----------
    name : also of its module. summary : what it is, in a few words.
    belief : what its prior holds of an event: ``"focal"``, few patches; ``"distributed"``, a smooth
        field; empty where it holds both possible, or neither.
    alternative : (model, its belief in words) against which an answer is checked; empty for none.
    citations : keys of ``report.citations`` of what it stands on.
    exact : whether it needs no training. slow : whether an answer takes more than a few seconds.
    places : where its sources may be, for the benchmark.
    """

    name: str
    summary: str
    belief: Literal["focal", "distributed", ""] = ""
    alternative: tuple[str, str] | tuple[()] = ()
    citations: tuple[str, ...] = ()
    exact: bool = False
    slow: bool = False
    places: tuple[str, ...] = ("cortex",)


#: Models of another belief: the name, and what it believes.
_CORTEX = ("cortex", "patches or a smooth field (model cortex)")
_ATOMS = ("atoms", "few patches (model atoms)")

#: By name; a family that is not listed is described by its name alone.
MODEL_FAMILIES: dict[str, ModelFamily] = {
    each.name: each
    for each in (
        ModelFamily(
            "patches",
            "few patches, heads drawn",
            belief="focal",
            alternative=_CORTEX,
            citations=("r_hat",),
            exact=True,
            slow=True,
        ),
        ModelFamily(
            "gaussian",
            "the minimum norm and its uncertainty",
            belief="distributed",
            alternative=_ATOMS,
            citations=("minimum norm",),
            exact=True,
            places=("cortex", "volume"),
        ),
        ModelFamily(
            "atoms",
            "few patches, amortized",
            belief="focal",
            alternative=_CORTEX,
            citations=("sbi",),
        ),
        ModelFamily(
            "diffusion",
            "patches or a field, diffusion",
            alternative=_ATOMS,
            citations=("sbi", "flow matching", "sparse bayes"),
        ),
        ModelFamily("flow", "parcels, normalizing flow", citations=("sbi",)),
        ModelFamily(
            "dipole", "one or two free dipoles, flows", citations=("sbi",), places=("volume",)
        ),
    )
}


def model_family(name: str) -> ModelFamily:
    """Return the record of the family ``name``; one with its name alone where it is not listed."""
    return MODEL_FAMILIES.get(name, ModelFamily(name, name))
