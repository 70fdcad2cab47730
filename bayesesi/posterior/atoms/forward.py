"""What a network of atoms needs of a forward and noise, whatever the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesesi.errors import InputError
from bayesesi.features import PreparedForward
from bayesesi.observation import Observation
from bayesesi.posterior.patches import Atoms, assumed_topographies


@dataclass(frozen=True, eq=False)
class AtomForward:
    """Hold what all observations with one whitened lead field share.

    Attributes
    ----------
    leadfield : (n_eff, S) 1/(A m), by which it is known.
    topographies : (A, n_eff) 1/(A m), of atoms of unit moment.
    scan : the same as the network's features take it.
    """

    leadfield: NDArray[np.float64]
    topographies: NDArray[np.float64]
    scan: PreparedForward

    @classmethod
    def of(cls, obs: Observation, atoms: Atoms) -> AtomForward:
        """Prepare the forward of a lead field for the atoms of its sources.

        Parameters
        ----------
        obs : any with the lead field. atoms : of its sources.

        Raises
        ------
        InputError : sources that are not fixed to the normal.
        """
        if obs.leadfield.ndim != 2:
            raise InputError(
                "this network needs sources along the cortical normal; use forward.fixed()"
            )
        seen = assumed_topographies(obs, atoms)
        positions = obs.source_space.positions[atoms.centres]
        leadfield = obs.leadfield[:, atoms.centres]
        scan = PreparedForward.of(seen, leadfield, atoms.log_place, positions)
        return cls(obs.leadfield, seen, scan)
