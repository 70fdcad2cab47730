"""The neural mass of Jansen and Rit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from bayesesi.dynamics.mass import Circuit, Mass


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class JansenRit(Mass):
    """Pyramidal cells with excitatory and inhibitory ones: six equations, state (y0 .. y5).

    y_3 to y_5 are the derivatives of y_0 to y_2. Input is 120 to 320 /s as in the paper, here
    Gaussian of the same mean and sd. Jansen & Rit 1995, Biol Cybern 73:357, doi:10.1007/BF00199471.
    """

    @property
    def circuit(self) -> Circuit:
        return Circuit(
            (self.A, self.A, self.B),
            (self.a, self.a, self.b),
            (1.0, 0.8 * self.C, 0.25 * self.C),
            (self.C, 0.25 * self.C),
        )
