"""From amplitudes of sources to their energy on the cortex."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bayesesi.anatomy import LOBES, region_energy
from bayesesi.posterior.patches.likelihood import PatchLikelihood
from bayesesi.posterior.patches.states import PatchStates

#: Draws whose fields are held at once.
_CHUNK = 50


def chunks(n: int) -> Iterator[slice]:
    """Cut ``n`` draws into slices whose fields are held at once."""
    for first in range(0, n, _CHUNK):
        yield slice(first, min(first + _CHUNK, n))


def source_rows(problem: PatchLikelihood, states: PatchStates) -> sp.csr_array:
    """Make (D K, S) the weights of each slot's source, nothing in slots that are not used.

    ``states`` are D, of ``problem``.
    """
    atom = states.extent * problem.atoms.n_centres + states.centre
    rows = sp.csr_array(problem.atoms.weights[atom.ravel()])
    return sp.csr_array(sp.diags_array(states.used.ravel().astype(float)) @ rows)


def source_weights(problem: PatchLikelihood, states: PatchStates) -> NDArray[np.float64]:
    """Make the (D, K, S) weights of D ``states`` of ``problem``, dense."""
    return np.asarray(source_rows(problem, states).toarray().reshape(*states.used.shape, -1))


def source_energy(
    problem: PatchLikelihood, states: PatchStates, amplitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum squared moments over the samples of the window, (D, S) A² m².

    ``states`` are D, of ``problem``, ``amplitude`` (D, K, d, R) A m.
    """
    functions = problem.obs.time_basis.functions
    gram = functions.T @ functions
    product = np.einsum("nkdr,rq,nldq->nkl", amplitude, gram, amplitude, optimize=True)
    weights = source_weights(problem, states)
    return np.asarray((weights * (product / problem.n_axes @ weights)).sum(axis=1))


def lobe_energy(
    problem: PatchLikelihood, states: PatchStates, amplitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integrate |q|² dA over the lobes of the left and then of the right side, (D, 12).

    ``states`` are D, of ``problem``, ``amplitude`` (D, K, d, R) A m.
    """
    parcellation = problem.prior.parcellation
    lobe = [LOBES.index(r.lobe) + len(LOBES) * (r.side == "right") for r in parcellation.regions]
    member = np.arange(2 * len(LOBES)) == np.array(lobe)[:, None]
    parts = [
        region_energy(source_energy(problem, states[rows], amplitude[rows]), parcellation)
        for rows in chunks(len(states))
    ]
    return np.asarray(np.concatenate(parts) @ member)


LOBE_NAMES = tuple(f"{lobe} {side}" for side in ("left", "right") for lobe in LOBES)
