"""The neural mass of Wendling and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from bayesesi.dynamics.mass import Circuit, Mass, Parameter


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Wendling(Mass):
    """A Jansen-Rit mass with fast inhibition, which slow inhibition holds back.

    C5 = 0.3 C, C6 = 0.1 C, C7 = 0.8 C. The paper's y_4 (slow inhibition of the fast inhibitory
    cells) obeys the equation of y_2 / C4, so eight of its ten equations are left: y_0 to y_3, then
    their derivatives (Desroches, Faugeras & Krupa 2016, doi:10.20388/omp2016.003.0038).

    Attributes
    ----------
    G, g : mV and 1/s, height and rate of fast inhibitory potentials.

    Wendling, Bartolomei, Bellanger & Chauvel 2002, Eur J Neurosci 15:1499,
    doi:10.1046/j.1460-9568.2002.01985.x.
    """

    A: Parameter = 5.0
    B: Parameter = 50.0
    G: Parameter = 15.0
    g: Parameter = 500.0
    p: Parameter = 90.0
    p_sd: Parameter = 30.0

    @property
    def circuit(self) -> Circuit:
        return Circuit(
            (self.A, self.A, self.B, self.G),
            (self.a, self.a, self.b, self.g),
            (1.0, 0.8 * self.C, 0.25 * self.C, 0.8 * self.C),
            (self.C, 0.25 * self.C, 0.3 * self.C),
            slow_on_fast=0.1 / 0.25,
        )
