"""Gaussian sources: the minimum norm and its uncertainty. Exact; it has no weights to load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from bayesesi.errors import InputError, some
from bayesesi.model.artifact import ASSETS
from bayesesi.model.base import Model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior, gaussian_posterior
from bayesesi.posterior.gaussian import SHAPES, Shape

#: The Gaussian prior by the sources: what ``GaussianModel`` takes if nobody says otherwise.
AUTO = "auto"


@dataclass(frozen=True)
class GaussianModel(Model):
    """Gaussian sources: ``identity``, ``depth`` or ``smooth``; see ``gaussian_posterior``.

    ``auto`` is smooth on the template's cortex, where moments then follow the area a source stands
    for (independent ones make the smallest cells the most active), and identity elsewhere.
    """

    family: ClassVar[str] = "gaussian"

    prior: str = AUTO

    def __post_init__(self) -> None:
        allowed = (AUTO, *SHAPES)
        if self.prior not in allowed:
            raise InputError(
                f"the prior of 'gaussian' is one of {', '.join(allowed)}, not {some([self.prior])}"
            )

    @property
    def name(self) -> str:
        return "gaussian"

    @property
    def prior_null(self) -> float:
        return 0.1

    @property
    def fingerprint(self) -> str:
        return self.prior

    @property
    def card_path(self) -> Path:
        return ASSETS / "gaussian.card.json"

    def _shape(self, obs: Observation) -> Shape:
        if self.prior != AUTO:
            return cast("Shape", self.prior)
        fixed = obs.forward.orientation == "fixed"
        return "smooth" if fixed and obs.source_space.ico is not None else "identity"

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        return gaussian_posterior(obs, self._shape(obs))

    def details(self, obs: Observation) -> dict[str, Any]:
        return {**super().details(obs), "prior": self._shape(obs)}
