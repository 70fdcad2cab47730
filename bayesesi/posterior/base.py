"""The contract of posteriors: draws, their summary, and which regions are active."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import Parcellation, template_parcellation
from bayesesi.errors import InputError
from bayesesi.observation import Observation
from bayesesi.posterior.draws import DenseDraws, FieldDraws
from bayesesi.posterior.summary import Summary, sum_up
from bayesesi.spec.source import ACTIVE_SHARE

if TYPE_CHECKING:
    import arviz as az
    import mne

#: Draws, and numbers in them, that are held at once while only sums over them are wanted.
_CHUNK, _NUMBERS = 50, 20_000_000


@dataclass(frozen=True, eq=False)
class Posterior(ABC):
    """q(j | v) for one observation.

    Draws are (D, S, R), or (D, S, 3, R) for free sources, in A m, with J(t) = J_R functions(t)'.

    Attributes
    ----------
    obs : the observation, whitened.
    """

    obs: Observation

    @abstractmethod
    def sample(self, n: int, seed: int = 0) -> NDArray[np.float64]:
        """Draw ``n`` times, (n, S[, 3], R) A m; the same for the same ``seed``."""

    @abstractmethod
    def mean(self) -> NDArray[np.float64]:
        """Compute the mean, (S[, 3], R) A m."""

    @abstractmethod
    def sd(self) -> NDArray[np.float64]:
        """Compute the standard deviation of each coefficient, (S[, 3], R) A m."""

    def log_prob(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute (D,) log densities of ``draws`` (D, S[, 3], R) A m.

        Raises
        ------
        InputError : a family that has none.
        """
        raise InputError(f"{type(self).__name__} has no density to evaluate; draw from it instead")

    @property
    def null_probability(self) -> float:
        """Probability that nothing is active: 0 for a family whose prior excludes it."""
        return 0.0

    @property
    def r_hat(self) -> float:
        """The largest R-hat monitored in the chains behind the posterior; 1 without any."""
        return 1.0

    @property
    def outside(self) -> tuple[str, ...]:
        """What in the observation lies beyond the range of the posterior; exact ones have none."""
        return ()

    @property
    def caveat(self) -> str:
        """A sentence on a known weakness of the family on such an observation, or nothing."""
        return ""

    @property
    def sample_efficiency(self) -> float:
        """Sample efficiency of weighted draws, 0 to 1; 1 where nothing is approximate."""
        return 1.0

    def explained(self) -> NDArray[np.float64]:
        """Compute E[L~ J | v~], (n_eff, R), what the sources account for in the whitened data."""
        axes = self.obs.leadfield.ndim - 1
        return np.asarray(np.tensordot(self.obs.leadfield, self.mean(), axes=axes))

    def as_sbi_posterior(self) -> Any:
        """Wrap it as sbi's diagnostics and plots take one, see ``posterior.sbi_posterior``."""
        from bayesesi.posterior.sbi_posterior import SbiPosterior

        return SbiPosterior(self)

    def details(self) -> dict[str, Any]:
        """Describe how this was computed, as a methods section would; can be written as JSON."""
        return {}

    def findings(self, level: float) -> dict[str, Any]:
        """Describe what a family has beside regions and maps; can be written as JSON.

        ``level`` is the probability of sets, 0.5 to 0.99.
        """
        return {}

    def latents(self, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Describe draws of ``sample`` of ``n`` and ``seed`` by what a family knows of each, (n,).

        For instance the ``count`` of patches, the ``log_likelihood``, the number of the ``head``.
        """
        return {}

    def energy(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum squared moments of ``draws`` (D, S[, 3], R) A m over the window: (D, S) A² m²."""
        return DenseDraws(self.obs, draws).energy()

    def draws(self, n: int, seed: int = 0) -> FieldDraws:
        """Draw ``n`` times by ``seed``: the draws of ``sample``, as the family holds them."""
        return DenseDraws(self.obs, self.sample(n, seed))

    def summarise(
        self,
        n: int = 1000,
        seed: int = 0,
        share: float = ACTIVE_SHARE,
        parcellation: Parcellation | None = None,
        progress: bool = False,
    ) -> Summary:
        """Summarise ``n`` draws of ``seed``, a few at a time; ``progress`` shows a bar.

        ``share`` (0 to 1) of the energy makes a region of ``parcellation`` active.

        Raises
        ------
        InputError : fewer than one draw.
        """
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        size = int(np.prod(self.obs.leadfield.shape[1:])) * self.obs.n_functions
        chunk = int(np.clip(_NUMBERS // size, 1, _CHUNK))
        counts = [min(chunk, n - first) for first in range(0, n, chunk)]
        seeds = [int(own) for own in np.random.SeedSequence(seed).generate_state(len(counts))]
        regions, together = parcellation or self._regions, self._together
        parts = []
        for first in _shown(range(0, len(counts), together), progress):
            rows = slice(first, first + together)
            draws, latents = self._drawn(counts[rows], seeds[rows])
            parts.append(sum_up(draws, regions, share, latents))
        return Summary.joined(parts)

    @property
    def _together(self) -> int:
        """Sets of draws, each of a seed of its own, that are summed up at once."""
        return 1

    def _drawn(
        self, counts: list[int], seeds: list[int]
    ) -> tuple[FieldDraws, dict[str, NDArray[Any]]]:
        """Draws and their latents: ``counts`` of them, of one seed each."""
        (n,), (seed,) = counts, seeds
        return self.draws(n, seed), self.latents(n, seed)

    def sum_up(
        self,
        draws: NDArray[np.float64] | FieldDraws,
        share: float = ACTIVE_SHARE,
        parcellation: Parcellation | None = None,
        latents: Mapping[str, NDArray[Any]] | None = None,
    ) -> Summary:
        """Summarise ``draws`` (n, S[, 3], R) A m, or fields from elsewhere on the same sources.

        ``share`` and ``parcellation`` as in ``summarise``; ``latents`` are (n,) each, by name.
        """
        held = draws if isinstance(draws, FieldDraws) else DenseDraws(self.obs, draws)
        return sum_up(held, parcellation or self._regions, share, latents)

    @property
    def _regions(self) -> Parcellation | None:
        return None if self.obs.source_space.mesh is None else self.parcellation

    def active(
        self,
        n: int = 1000,
        seed: int = 0,
        share: float = ACTIVE_SHARE,
        parcellation: Parcellation | None = None,
    ) -> NDArray[np.bool_]:
        """Find (n, P) which regions are active in each draw, by the one definition of that.

        ``n``, ``seed``, ``share`` (0 to 1) and ``parcellation`` as in ``summarise``.
        """
        return self.summarise(n, seed, share, parcellation).active

    def region_probability(
        self, n: int = 1000, seed: int = 0, share: float = ACTIVE_SHARE
    ) -> NDArray[np.float64]:
        """Compute (P,) the share of draws in which each region is active.

        ``n``, ``seed`` and ``share`` (0 to 1) as in ``summarise``.
        """
        return np.asarray(self.active(n, seed, share).mean(axis=0))

    @property
    def parcellation(self) -> Parcellation:
        """The template's regions on this source space."""
        space = self.obs.source_space
        if space.ico is not None:
            return template_parcellation(space.ico)
        return template_parcellation(5).on(space)

    def source_estimate(self, which: Literal["mean", "sd"] = "mean") -> mne.SourceEstimate:
        """Convert to ``mne.SourceEstimate``, A m over time: ``which`` is ``"mean"`` or ``"sd"`` of
        J(t).

        Free sources as the norm over their three axes.

        Raises
        ------
        InputError : another word, or sources that are not on a cortex.
        """
        import mne

        if which not in ("mean", "sd"):
            raise InputError(f"which must be 'mean' or 'sd', got {which!r}")
        functions, space = self.obs.time_basis.functions, self.obs.source_space
        if space.vertices is None or space.mesh is None:
            raise InputError("a source estimate needs sources on a cortex; these are in a volume")
        if which == "mean":
            values = self.mean() @ functions.T
        else:
            values = np.sqrt(self.sd() ** 2 @ (functions**2).T)
        if values.ndim == 3:
            values = np.linalg.norm(values, axis=1)
        left = space.vertices < space.mesh.n_left
        vertices = [space.vertices[left], space.vertices[~left] - space.mesh.n_left]
        times = self.obs.time_basis.times
        step = float(times[1] - times[0]) if len(times) > 1 else 1.0
        return mne.SourceEstimate(values, vertices, float(times[0]), step, space.subject)

    def to_arviz(self, n: int = 200, seed: int = 0) -> az.InferenceData:
        """Convert ``n`` draws of ``seed`` to an ArviZ group.

        Dims are (chain, draw, source[, orient], function).
        """
        import arviz as az

        draws = self.sample(n, seed)
        dims = ["source", "orient", "function"] if draws.ndim == 4 else ["source", "function"]
        return az.from_dict(posterior={"j": draws[None]}, dims={"j": dims})


def _shown(steps: range, progress: bool) -> Iterable[int]:
    """Show a bar while draws are made, if asked for."""
    if not progress:
        return steps
    from rich.progress import track

    return track(steps, "drawing")
