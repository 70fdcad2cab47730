"""What every model can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bayesesi.forward import ForwardOperator
from bayesesi.model.prepared import PreparedModel
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation
from bayesesi.observation.sensor_data import Recording
from bayesesi.posterior import Posterior


@dataclass(frozen=True)
class Model(ABC):
    """``posterior(obs)`` is p(j | v) under this model's beliefs.

    Attributes
    ----------
    prior : of the sources: what the model's maker believes of them.
    """

    #: The name of its family, see ``spec.model``.
    family: ClassVar[str]

    prior: str

    @property
    @abstractmethod
    def name(self) -> str:
        """By which ``load_model`` knows it."""

    @property
    def fingerprint(self) -> str:
        """What changes when its answers do; nothing for models that are exact."""
        return ""

    @property
    def card_path(self) -> Path | None:
        """Where its calibration card is kept; None for a model that was not read from a file."""
        return None

    @property
    @abstractmethod
    def prior_null(self) -> float:
        """Probability, before the data, that nothing is active."""

    @abstractmethod
    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        """Compute the posterior of one observation ``obs``; the same for the same ``seed``."""

    def as_sbi_posterior(self, obs: Observation, seed: int = 0) -> Any:
        """Compute the posterior of ``obs`` by ``seed``, as sbi's diagnostics and plots take one."""
        return self.posterior(obs, seed).as_sbi_posterior()

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        """Orient the sources of ``forward`` as this model takes them; its provenance says so."""
        return forward

    def prepare(
        self, forward: ForwardOperator, noise: NoiseCovariance, window: Recording, **options: Any
    ) -> PreparedModel:
        """Make ready for many recordings: ``prepare(...).posterior(values, seed)``.

        Each posterior is, bit for bit, that of ``observe`` and ``posterior``; from the second on
        what depends on forward and noise alone is not computed again.

        Parameters
        ----------
        forward : of at least the window's channels.
        noise : of single trials, with its autocorrelation.
        window : a recording of the same channels, samples and average; its values do not count.
        options : of ``observe``: ``scale``, ``time_basis``, ``fmax``, ``autocorrelation``,
            ``bads``.

        Raises
        ------
        InputError : noise that is taken from each recording.
        """
        return PreparedModel.of(self, forward, noise, window, options)

    def details(self, obs: Observation) -> dict[str, Any]:
        """Describe what a methods section would say of an answer to ``obs``, as plain data."""
        return {"family": self.family, "prior": self.prior}
