"""A model made ready for many recordings of one forward, noise and window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.forward import ForwardOperator
from bayesesi.noise import NoiseCovariance
from bayesesi.observation import Observation, observe
from bayesesi.observation.sensor_data import Recording
from bayesesi.posterior import Posterior


class Answering(Protocol):
    """What a model is asked here, see ``Model``."""

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        """Orient the sources of ``forward`` as the model takes them."""

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        """Compute the posterior of ``obs``; the same for the same ``seed``."""


@dataclass(eq=False)
class PreparedModel:
    """Hold what does not depend on the data; see ``Model.prepare``.

    Attributes
    ----------
    model : that answers.
    forward : with its sources as the model takes them.
    noise : of single trials, with its autocorrelation.
    window : whose channels, samples and average all recordings share.
    options : of ``observe``.
    """

    model: Answering
    forward: ForwardOperator
    noise: NoiseCovariance
    window: Recording
    options: Mapping[str, Any]
    _held: Observation | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(
        cls,
        model: Answering,
        forward: ForwardOperator,
        noise: NoiseCovariance,
        window: Recording,
        options: Mapping[str, Any],
    ) -> PreparedModel:
        """Check that the noise is known without the data.

        Parameters
        ----------
        model : that is to answer.
        forward : of at least the window's channels.
        noise : of single trials.
        window : see the class.
        options : of ``observe``.

        Raises
        ------
        InputError : noise that is taken from each recording, or without autocorrelation.
        """
        if not isinstance(noise, NoiseCovariance):
            raise InputError(
                f"prepare takes a NoiseCovariance, not {str(noise)[:40]!r}: noise that is taken "
                "from each recording cannot be prepared; use observe"
            )
        if noise.autocorrelation is None and "autocorrelation" not in options:
            raise InputError(
                "the noise has no autocorrelation, which would be taken from each recording; give "
                "autocorrelation='white' or (n_lags,) r(lag)"
            )
        return cls(model, model.oriented(forward), noise, window, dict(options))

    def observe(self, values: NDArray[np.floating] | Recording) -> Observation:
        """Whiten a recording: what ``bayesesi.observe`` gives, its lead field kept where it can be.

        Parameters
        ----------
        values : (C, T) V of the window's channels and samples, or a ``Recording`` of them.

        Raises
        ------
        InputError : another shape, and what ``bayesesi.observe`` does not take.
        """
        obs = observe(self._recording(values), self.forward, self.noise, **self.options)
        if self._held is None or not _alike(obs, self._held):
            # silent channels or another rank: such a recording has a whitener of its own
            self._held = obs
        return replace(obs, leadfield=self._held.leadfield, forward=self._held.forward)

    def posterior(self, values: NDArray[np.floating] | Recording, seed: int = 0) -> Posterior:
        """Compute the posterior of a recording: that of ``observe`` and ``Model.posterior``.

        Parameters
        ----------
        values : (C, T) V, see ``observe``. seed : the same one gives the same posterior.
        """
        return self.model.posterior(self.observe(values), seed)

    def _recording(self, values: NDArray[np.floating] | Recording) -> Recording:
        if isinstance(values, Recording):
            return values
        shape = self.window.values.shape
        if np.shape(values) != shape:
            raise InputError(
                f"values are of {shape[0]} channels and {shape[1]} samples, as the window that was "
                f"prepared, not {np.shape(values)}"
            )
        return replace(self.window, values=np.asarray(values, float))


def _alike(obs: Observation, held: Observation) -> bool:
    """Whether two observations have one lead field, whitened alike."""
    return (
        obs.whitener.ch_names == held.whitener.ch_names
        and np.array_equal(obs.whitener.matrix, held.whitener.matrix)
        and np.array_equal(obs.forward.leadfield, held.forward.leadfield)
    )
