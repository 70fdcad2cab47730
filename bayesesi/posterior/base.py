"""What every posterior can do: be drawn from, be summed up, say which regions are active."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import (
    ACTIVE_SHARE,
    Parcellation,
    active_regions,
    region_energy,
    template_parcellation,
)
from bayesesi.errors import InputError
from bayesesi.observation import Observation

if TYPE_CHECKING:
    import arviz as az
    import mne

#: Draws, and numbers in them, that are held at once while only sums over them are wanted.
_CHUNK, _NUMBERS = 50, 20_000_000
#: A source counts in a draw with this share of the largest moment density.
_HALF = 0.5


@dataclass(frozen=True, eq=False)
class Summary:
    """What n draws say, in one pass over them.

    Attributes
    ----------
    region_energy : (n, P): integral of |q|² dA over each region, see ``anatomy.region_energy``.
    active : (n, P) which regions are active.
    region_peak : (n, P) A m: largest size over the window of the summed moment of each region.
    source_probability : (S,) share of draws with any activity in which the source's moment density
        (root mean square over the window) is at least half of the largest.
    peak : (n,) source of the largest such density, -1 where a draw has no activity.
    centre : (n, 3) m: mean place of the energy, NaN where there is none. total : (n,) A m: largest
        size over the window of the summed moment of all sources. misfit : (n,) |v~ - L~ J|².
    region_moment : (n, P[, 3], R) A m: summed moment of each region, coefficients in time.
    on_rise : (n, 2) source of the largest moment density at the two samples of
        ``Observation.rise``, -1 where a draw has no activity; (n, 0) where the window has no rise.
    latents : (n,) each: what else the family knows of a draw, see ``Posterior.latents``.

    P is 0 for sources that are on no cortex.
    """

    region_energy: NDArray[np.float64]
    active: NDArray[np.bool_]
    region_peak: NDArray[np.float64]
    source_probability: NDArray[np.float64]
    peak: NDArray[np.int64]
    centre: NDArray[np.float64]
    total: NDArray[np.float64]
    misfit: NDArray[np.float64]
    region_moment: NDArray[np.float64]
    on_rise: NDArray[np.int64]
    latents: Mapping[str, NDArray[Any]]

    @property
    def silent(self) -> NDArray[np.bool_]:
        """(n,) draws in which nothing is active."""
        return np.asarray(self.peak < 0)


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
        """That nothing is active: 0 for a family whose prior never says so."""
        return 0.0

    @property
    def r_hat(self) -> float:
        """The largest of what was watched in the chains that the answer rests on; 1 without any."""
        return 1.0

    @property
    def outside(self) -> tuple[str, ...]:
        """What of the observation lies beyond all that the posterior was made for; exact ones are
        made for any."""
        return ()

    @property
    def caveat(self) -> str:
        """A sentence on what the family is known to get wrong on such an observation, or none."""
        return ""

    @property
    def sample_efficiency(self) -> float:
        """Of weighted draws, 0 to 1; 1 where nothing is approximate."""
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
        functions = self.obs.time_basis.functions
        n_times, r = functions.shape
        # an orthogonal turn keeps squares: R numbers do for T samples
        root = functions if n_times <= r else np.asarray(np.linalg.qr(functions, mode="r"))
        along = (draws @ root.T) ** 2
        return np.asarray(along.reshape(*draws.shape[:2], -1).sum(axis=2))

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
        from rich.progress import track

        if n < 1:
            raise InputError(f"draw at least once, not {n} times")
        size = int(np.prod(self.obs.leadfield.shape[1:])) * self.obs.n_functions
        chunk = int(np.clip(_NUMBERS // size, 1, _CHUNK))
        starts = range(0, n, chunk)
        seeds = np.random.SeedSequence(seed).generate_state(len(starts))
        parts = [
            self._drawn(min(chunk, n - first), int(own), share, parcellation)
            for first, own in track(
                zip(starts, seeds, strict=True), "drawing", len(starts), disable=not progress
            )
        ]
        return _joined(parts)

    def _drawn(self, n: int, seed: int, share: float, parcellation: Parcellation | None) -> Summary:
        return self.sum_up(self.sample(n, seed), share, parcellation, self.latents(n, seed))

    def sum_up(
        self,
        draws: NDArray[np.float64],
        share: float = ACTIVE_SHARE,
        parcellation: Parcellation | None = None,
        latents: Mapping[str, NDArray[Any]] | None = None,
    ) -> Summary:
        """Summarise ``draws`` (n, S[, 3], R) A m, or fields from elsewhere on the same sources.

        ``share`` and ``parcellation`` as in ``summarise``; ``latents`` are (n,) each, by name.
        """
        regions = parcellation or self._regions
        energy = self.energy(draws)
        densities = np.sqrt(energy) / self._source_areas
        largest = densities.max(axis=1, keepdims=True)
        loud = largest[:, 0] > 0
        of_regions = (
            np.zeros((len(draws), 0)) if regions is None else region_energy(energy, regions)
        )
        moment = self._moments_of(draws, regions)
        size = self._sizes(moment)
        return Summary(
            of_regions,
            active_regions(of_regions, share) if of_regions.size else of_regions > 0,
            size[:, 1:],
            (densities[loud] >= _HALF * largest[loud]).sum(axis=0) / max(int(loud.sum()), 1),
            np.where(loud, densities.argmax(axis=1), -1),
            self._centre(energy),
            size[:, 0],
            ((self.obs.values - self._explained_by(draws)) ** 2).sum(axis=(1, 2)),
            moment[:, 1:],
            self._on_rise(draws, loud),
            latents or {},
        )

    def _centre(self, energy: NDArray[np.float64]) -> NDArray[np.float64]:
        total = energy.sum(axis=1, keepdims=True)
        places = energy @ self.obs.source_space.positions
        return np.divide(places, total, out=np.full_like(places, np.nan), where=total > 0)

    def _explained_by(self, draws: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D, n_eff, R) what draws look like in the assumed head."""
        leadfield = self.obs.leadfield.reshape(self.obs.n_eff, -1)
        return np.asarray(leadfield @ draws.reshape(len(draws), leadfield.shape[1], -1))

    def _moments_of(
        self, draws: NDArray[np.float64], regions: Parcellation | None
    ) -> NDArray[np.float64]:
        """(D, 1 + P[, 3], R) A m: the summed moment of all sources, and of each region's."""
        labels = np.full(draws.shape[1], -1) if regions is None else regions.labels
        n_regions = 0 if regions is None else len(regions.regions)
        inside = np.flatnonzero(labels >= 0)
        every = np.arange(len(labels))
        rows, columns = np.r_[0 * every, 1 + labels[inside]], np.r_[every, inside]
        gather = sp.csr_array((np.ones(len(rows)), (rows, columns)), (1 + n_regions, len(labels)))
        summed = np.empty((len(draws), 1 + n_regions, *draws.shape[2:]))
        for k, draw in enumerate(draws):
            summed[k] = (gather @ draw.reshape(len(draw), -1)).reshape(-1, *draw.shape[1:])
        return summed

    def _sizes(self, moment: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D, 1 + P) A m: largest size over time of moments (D, 1 + P[, 3], R)."""
        course = moment @ self.obs.time_basis.functions.T
        size = np.abs(course) if moment.ndim == 3 else np.linalg.norm(course, axis=2)
        return np.asarray(size.max(axis=2))

    def _on_rise(self, draws: NDArray[np.float64], loud: NDArray[np.bool_]) -> NDArray[np.int64]:
        """See ``Summary.on_rise``."""
        rise = self.obs.rise
        found = np.full((len(draws), 0 if rise is None else 2), -1)
        for k, sample in enumerate(rise or ()):
            now = draws @ self.obs.time_basis.functions[sample]
            size = np.abs(now) if draws.ndim == 3 else np.linalg.norm(now, axis=2)
            found[:, k] = np.where(loud, (size / self._source_areas).argmax(axis=1), -1)
        return found

    @property
    def _source_areas(self) -> NDArray[np.float64]:
        """(S,) m² of cortex; 1 for sources that are on none, whose moments then count as such."""
        space = self.obs.source_space
        return space.areas if space.mesh is not None else np.ones(space.n_sources)

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
            raise InputError(f"a source estimate is of the 'mean' or the 'sd', not {which!r}")
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


def _joined(parts: list[Summary]) -> Summary:
    loud = np.array([int((part.peak >= 0).sum()) for part in parts])
    share = loud / max(int(loud.sum()), 1)

    def every(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Summary(
        every("region_energy"),
        every("active"),
        every("region_peak"),
        np.sum([w * p.source_probability for w, p in zip(share, parts, strict=True)], axis=0),
        every("peak"),
        every("centre"),
        every("total"),
        every("misfit"),
        every("region_moment"),
        every("on_rise"),
        {name: np.concatenate([part.latents[name] for part in parts]) for name in parts[0].latents},
    )
