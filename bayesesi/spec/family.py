"""What the tables of a recipe have in common: each names its family, which registers itself."""

from __future__ import annotations

from typing import Any, ClassVar

from bayesesi.registry import register_spec
from bayesesi.spec.base import Table


class FamilySpec(Table):
    """A table whose ``family`` says what else it may hold.

    Attributes
    ----------
    kind : ``"network"``, ``"estimator"``, ``"loss"`` or ``"strategy"``.
    module : file of its class in the package of its kind, where that has not the family's name.
    """

    kind: ClassVar[str]
    module: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "family" in cls.model_fields:
            register_spec(cls.kind, cls)

    @property
    def name(self) -> str:
        """The name of its family."""
        return str(getattr(self, "family", ""))
