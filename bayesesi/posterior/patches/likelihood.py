"""What is weighed: data turned in time, sources as seen through each head, what is believed before.

    v~ = sum_k L~_h w_k a_k' + tau e,   e ~ N(0, I),   a_kr ~ N(0, tau² s_k² q_r I),
    tau² ~ nu / chi²_nu

h a head, w_k the weights of source k (a patch of cortex about a centre, or a point; sum 1), a_k its
amplitudes: one along the normal, or three where the orientation is free; s_k the size of its
moment, q the variances that a moment of white course would have in the time functions, turned so
that they are independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesesi.anatomy import SourceSpace
from bayesesi.errors import InputError, some
from bayesesi.forward import LeadfieldBank
from bayesesi.noise import NOISE_DOF
from bayesesi.observation import Observation
from bayesesi.posterior.patches.atoms import Atoms, make_atoms, moment_sizes, shape_variants
from bayesesi.posterior.patches.head_samples import HeadSamples
from bayesesi.posterior.patches.topography_covariance import HeadSpread, spread_about, typical
from bayesesi.prior import DipolePrior, HeadPrior, PatchPrior

#: How an unknown head enters: as a spread of topographies about a typical one, or as one of the
#: heads drawn; and how many are drawn, to learn the spread from or to be that one.
HeadModel = Literal["spread", "draws"]
HEAD_MODELS: dict[HeadModel, int] = {"spread": 192, "draws": 32}
#: Power of the likelihood where data show all, and the energy at which it is half way there.
_ZETA, _HALF_ENERGY = 0.3, 60.0
#: The extent, as a share of their number, whose spread is taken for all.
_SPREAD_EXTENT = 0.5
#: Draws of what an atom may stand for, shared out among heads.
_N_VARIANTS = 4


@dataclass(frozen=True, eq=False)
class PatchLikelihood:
    """See the module.

    Attributes
    ----------
    obs : the data. prior : of the sources. atoms : the grid of centres and extents.
    sizes : (M,) A m. log_size : (M,) their log probabilities.
    topographies : (H, E, N, d, n_eff) of a unit moment at each extent and centre, in each head, or
        in a typical one (H = 1); d is 1, or 3 for free orientation.
    turned : (n_eff, R) data. turn : (R, R) orthonormal, values = turned turn'. variance : (R,) q.
    heads : sites (H, ...) of the heads drawn, empty where the assumed head is taken for the true
        one.
    spread : of topographies about those in the typical head; None where they do not spread.
    coarsened : whether the likelihood of a spread has a power below 1, see ``zeta``.
    """

    obs: Observation
    prior: PatchPrior | DipolePrior
    atoms: Atoms
    sizes: NDArray[np.float64]
    log_size: NDArray[np.float64]
    topographies: NDArray[np.floating]
    turned: NDArray[np.float64]
    turn: NDArray[np.float64]
    variance: NDArray[np.float64]
    heads: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    spread: HeadSpread | None = None
    coarsened: bool = True

    @property
    def log_head(self) -> NDArray[np.float64]:
        """(H,) log probabilities of heads; of scales, where topographies spread."""
        if self.spread is not None:
            return self.spread.log_scale
        return np.full(len(self.topographies), -np.log(len(self.topographies)))

    @property
    def n_heads(self) -> int:
        """H: what ``head`` of a state counts to."""
        return len(self.log_head)

    @property
    def n_axes(self) -> int:
        """d."""
        return int(self.topographies.shape[3])

    @property
    def n_slots(self) -> int:
        """The most sources there may be."""
        return self.prior.n_slots

    @property
    def n_numbers(self) -> int:
        return int(self.turned.size)

    @cached_property
    def power(self) -> float:
        """nu + |v~|²."""
        return NOISE_DOF + float((self.turned**2).sum())

    @cached_property
    def zeta(self) -> float:
        """The power of the likelihood, 1 where topographies do not spread.

        Model and truth differ: no Gaussian says how heads move topographies. Where noise hides that
        difference data may count fully; where they show a source's look in detail, what they add
        tells of the difference, and the posterior would be sure of the wrong place. It is that
        given data *near* to the recording's (coarsened; Miller & Dunson 2019,
        doi:10.1080/01621459.2018.1469995),

            zeta = z + (1 - z) / (1 + E / E0),

        E the energy of the strongest component over the noise, z and E0 chosen on simulated heads
        that no report uses.
        """
        if self.spread is None or not self.coarsened:
            return 1.0
        n, r = self.turned.shape
        strongest = float(np.linalg.norm(self.turned, 2) ** 2)
        # of a single function of time nothing is left over: then the noise is what it was taken for
        left = max(float((self.turned**2).sum()) - strongest, 0.0)
        noise = (NOISE_DOF + left) / (NOISE_DOF + (n - 1) * (r - 1))
        energy = max(strongest / noise - (np.sqrt(n) + np.sqrt(r)) ** 2, 0.0)
        return _ZETA + (1 - _ZETA) / (1 + energy / _HALF_ENERGY)

    @cached_property
    def median_power(self) -> float:
        """|g|² of a unit moment, median over centres and extents."""
        return float(np.median((self.topographies[0] ** 2).sum(axis=-1)))

    @cached_property
    def log_count(self) -> NDArray[np.float64]:
        """(K + 1,) log prior probability of 0, 1, 2... sources."""
        count = self.prior.spec.count
        with np.errstate(divide="ignore"):
            return np.log([count.null, *((1 - count.null) * np.array(count.weights))])

    @cached_property
    def log_slots(self) -> NDArray[np.float64]:
        """(K + 1,) the same for one choice of the slots that are used."""
        k = self.n_slots
        return self.log_count - np.log([comb(k, n) for n in range(k + 1)])

    @property
    def near(self) -> NDArray[np.bool_]:
        """(N, N) centres that are too near to each other to be in one event."""
        return _near(self.obs.source_space, self.atoms, self.prior.spec.count.min_distance_mm)

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """(N,) probability of a centre as the first one."""
        return np.exp(self.atoms.log_place)

    def log_place(self, centre: NDArray[np.int64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Compute (D,) log p(centres of the used slots), the prior's order of placing summed out.

        Slots are ``used`` (D, K), their ``centre`` (D, K) is an index into the atoms'. Placing one
        after the other, p(c_1) p(c_2 | c_1)... = prod_i w(c_i) / (1 - mass of what is near to the
        earlier ones); its mean over orders, by adding one source to every subset.
        """
        keys, where = np.unique(np.where(used, centre, -1), axis=0, return_inverse=True)
        return self._log_place(np.maximum(keys, 0), keys >= 0)[where.ravel()]

    def _log_place(self, centre: NDArray[np.int64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
        n_draws, n_slots = centre.shape
        weight = np.where(used, self.atoms.log_place[centre], 0.0).sum(axis=1)
        near = self.near[centre] & used[:, :, None]  # (D, K, N)
        free = [np.ones(n_draws)]
        ways = [np.ones(n_draws)]
        for subset in range(1, 2**n_slots):
            members = [k for k in range(n_slots) if subset >> k & 1]
            taken = near[:, members[0]]
            for k in members[1:]:
                taken = taken | near[:, k]
            # of all slots together nothing more is asked
            free.append(1 - taken @ self.place if len(members) < n_slots else free[0])
            # a slot that is not used adds no way of its own
            each = [
                np.where(used[:, k], ways[subset & ~(1 << k)] / free[subset & ~(1 << k)], 0.0)
                for k in members
            ]
            some = used[:, members].any(axis=1)
            counted = np.maximum(used[:, members].sum(axis=1), 1)
            ways.append(np.where(some, np.sum(each, axis=0) / counted, 1.0))
        clash = self.near[centre[:, :, None], centre[:, None, :]] & used[:, :, None] & used[:, None]
        clash &= ~np.eye(n_slots, dtype=bool)
        return np.asarray(np.where(clash.any(axis=(1, 2)), -np.inf, weight + np.log(ways[-1])))


def make_problem(
    obs: Observation,
    prior: PatchPrior | DipolePrior,
    heads: HeadPrior | None = None,
    head_model: HeadModel = "spread",
    n_heads: int | None = None,
    seed: int = 0,
    atoms: Atoms | None = None,
    assumed: NDArray[np.float64] | None = None,
) -> PatchLikelihood:
    """Prepare what ``patch_posterior`` weighs; its parameters and errors.

    Parameters
    ----------
    obs, prior, heads, head_model, n_heads, seed, atoms : see ``patch_posterior``.
    assumed : ``assumed_topographies(obs, atoms)`` kept from before, for no ``heads``.
    """
    if obs.source_space.n_sources != prior.source_space.n_sources:
        raise InputError(
            f"the prior lives on {prior.source_space.n_sources} sources, the observation on "
            f"{obs.source_space.n_sources}; read the prior at the level of the forward"
        )
    if head_model not in HEAD_MODELS:
        raise InputError(f"head_model is one of {', '.join(HEAD_MODELS)}, not {some([head_model])}")
    atoms = atoms or make_atoms(prior)
    draws: Mapping[str, NDArray[Any]] = {}
    topographies: NDArray[np.floating]
    spread = None
    if heads is None:
        topographies = (assumed_topographies(obs, atoms) if assumed is None else assumed)[None]
    else:
        n_heads = HEAD_MODELS[head_model] if n_heads is None else n_heads
        views = HeadSamples.drawn(obs, heads, n_heads, seed)
        if head_model == "draws":
            draws, topographies = views.draws, views.each(views.modes(atoms.weights)[None])
        else:
            topographies = typical(views, atoms.weights)[None]
            extent, n = int(atoms.n_extents * _SPREAD_EXTENT), atoms.n_centres
            banked = obs.forward.banked
            assert banked is not None
            variants = _variants(prior, atoms, extent, banked.bank, banked.ico)
            means = topographies[0, extent * n : (extent + 1) * n]
            spread = spread_about(means, views, variants)
    projector = obs.time_basis.projector
    variance, turn = np.linalg.eigh(projector.T @ projector)
    shape = (len(topographies), atoms.n_extents, atoms.n_centres, -1, obs.n_eff)
    topographies = topographies.reshape(shape)
    return PatchLikelihood(
        obs,
        prior,
        atoms,
        *moment_sizes(prior, obs, topographies[0]),
        topographies,
        obs.values @ turn,
        turn,
        np.maximum(variance, 0.0),
        draws,
        spread,
    )


@lru_cache(maxsize=2)
def _variants(
    prior: PatchPrior | DipolePrior, atoms: Atoms, extent: int, bank: LeadfieldBank, level: int
) -> NDArray[np.float32]:
    """(V, N, B): what each centre may stand for, in the bank's modes, for any recording."""
    to_modes = bank.cortex_modes(level).T
    kinds = shape_variants(prior, atoms, extent, _N_VARIANTS)
    return np.stack([np.asarray(kind @ to_modes, np.float32) for kind in kinds])


@lru_cache(maxsize=2)
def _near(space: SourceSpace, atoms: Atoms, distance_mm: float) -> NDArray[np.bool_]:
    """(N, N) for any recording."""
    from scipy.spatial.distance import cdist

    positions = space.positions[atoms.centres]
    return np.asarray(cdist(positions, positions) < distance_mm * 1e-3)


def assumed_topographies(obs: Observation, atoms: Atoms) -> NDArray[np.float64]:
    """Compute (A, n_eff), or (A, 3, n_eff) of free sources, 1/(A m), in the assumed head.

    The axes of a free source share its moment's variance.

    Parameters
    ----------
    obs : with the lead field. atoms : of its sources.

    Raises
    ------
    InputError : loose sources.
    """
    if obs.leadfield.ndim == 2:
        return np.asarray(atoms.weights @ obs.leadfield.T)
    if obs.forward.loose < 1:
        raise InputError(
            "patches point along the normal or anywhere, not loosely; use forward.fixed(), or "
            "forward.with_loose(1.0) for free ones"
        )
    parts = [atoms.weights @ obs.leadfield[:, :, k].T / np.sqrt(3) for k in range(3)]
    return np.stack(parts, axis=1)
