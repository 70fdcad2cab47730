"""The sections of a page: each takes its content from a reading and is omitted if there is none.

A section returns the values that its template of the same name fills in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayesesi.report.reading import Reading
from bayesesi.report.sections import (
    conclusion,
    cortex,
    course,
    dipoles,
    forward,
    methods,
    recording,
    regions,
    sensitivity,
    slices,
    targets,
    truth,
    uncertainty,
    where,
)

__all__ = ["SECTIONS", "Section"]

Section = Callable[[Reading], dict[str, Any] | None]

#: Every section of a page, by its name: the values for its template, or None.
SECTIONS: dict[str, Section] = {
    each.__name__: each
    for each in (
        where.where,
        conclusion.conclusion,
        dipoles.dipoles,
        truth.truth,
        targets.targets,
        regions.regions,
        cortex.cortex,
        slices.slices,
        course.course,
        recording.recording,
        forward.forward,
        sensitivity.sensitivity,
        uncertainty.uncertainty,
        methods.methods,
    )
}
