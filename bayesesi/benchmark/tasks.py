"""Tasks of a benchmark: which cases, how many, and the caveats of their numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bayesesi.benchmark.cases import Condition
from bayesesi.benchmark.recordings import KNOWN_OF, Recording, recordings
from bayesesi.errors import InputError, some

#: Of every task: no card, choice or training has met these cases.
SEED = 20
#: The task of recordings; and what is asked like a task and has no cases, see ``single_sources``.
REAL, RESOLUTION = "real", "resolution"


@dataclass(frozen=True)
class Published:
    """Hold what others found with their head and their cases: not measured here.

    Attributes
    ----------
    method : as they call it. measure : of ``MEASURES``, by the same definition.
    values : condition -> mean over their cases, (name, number) pairs. source : where it was read.
    """

    method: str
    measure: str
    values: tuple[tuple[str, float], ...]
    source: str


@dataclass(frozen=True)
class Task:
    """Describe a task of the benchmark.

    Attributes
    ----------
    name : as the command line takes it. words : what the task is, for a page.
    conditions : cases are of them in turn. places : ``"cortex"`` or ``"volume"``.
    n, n_slow : cases of fast methods, and the first of them that slow ones are given; n_emd :
        those on which mass is moved. crime : whether data are made as they are inverted.
    skip : methods that run only if named.
    tuned_on : conditions on whose other cases settings are chosen; the task's own if none.
    published : numbers of others, for the same picture.
    """

    name: str
    words: str
    crime: str
    conditions: tuple[Condition | Recording, ...]
    places: str = "cortex"
    n: int = 200
    n_slow: int = 30
    n_emd: int = 60
    skip: tuple[str, ...] = ()
    tuned_on: tuple[Condition, ...] = ()
    published: tuple[Published, ...] = ()

    @property
    def places_only(self) -> bool:
        """Whether cases are recordings, of which it is known where and not how much."""
        return any(isinstance(each, Recording) for each in self.conditions)

    @property
    def tuning(self) -> tuple[Condition, ...]:
        """Conditions whose other cases settings are chosen on."""
        own = tuple(each for each in self.conditions if isinstance(each, Condition))
        return self.tuned_on or own


_HEADS = (
    "none of the common kinds: the true head, cap position and noise covariance differ from the "
    "assumed ones, and events are simulated on 20,484 sources"
)
_SINGLE = tuple(
    Condition("piu-61", f"one source, {snr:.0f} dB", snr, 1) for snr in (0.0, 5.0, 20.0)
)
_MANY = tuple(Condition("piu-61", f"{k} sources, 20 dB", 20.0, k) for k in (2, 3, 5, 10))
_CORTEX = (Condition("frame-any-cap", "one moment"), Condition("event-any-cap", "a window"))
#: Means of 2,000 cases a condition, read off the figures of arXiv:2411.00143.
_MORIK = "Morik et al. 2024, arXiv:2411.00143, read off its figures; its own head and cases"
_PIU_ROWS = ("one source, 20 dB", *(each.name for each in _MANY))
_PUBLISHED = (
    Published(
        "3D-PIUNet",
        "nemd",
        (
            *(("one source, 0 dB", 0.57), ("one source, 5 dB", 0.355)),
            *zip(_PIU_ROWS, (0.18, 0.33, 0.43, 0.56, 0.77), strict=True),
        ),
        _MORIK,
    ),
    Published(
        "eLORETA, as published",
        "nemd",
        tuple(zip(_PIU_ROWS, (0.60, 0.62, 0.61, 0.64, 0.70), strict=True)),
        _MORIK,
    ),
)
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "cortex-focal",
            "One to three patches, 19 to 128 electrodes, one moment or a tenth of a second, -10 to "
            "25 dB, with an unknown head.",
            _HEADS,
            _CORTEX,
        ),
        Task(
            "distributed",
            "Patches in two cases of three, a smooth field in the third; else as cortex-focal.",
            _HEADS,
            (Condition("frame-any-field", "one moment"), Condition("event-any-field", "a window")),
        ),
        Task(
            "shift",
            "Outside the training range of every network: one to five patches of 4 to 40 mm, "
            "skulls from a fifth to three times the assumed, caps turned by 8 degrees, a third of "
            "the channels missing.",
            _HEADS,
            (Condition("frame-shifted", "one moment"),),
        ),
        Task(
            "sif-994",
            "DeepSIF's protocol (Sun et al. 2022) on our 994 parcels and head: 75 electrodes, a "
            "second, white noise, 5 to 20 dB. Regions are the 68 of our atlas here.",
            "the head is known, as in the protocol; events are made on 20,484 sources",
            (Condition("sif-994", "a second"),),
            n=60,
            n_slow=10,
        ),
        Task(
            "cal",
            "CaliBrain's protocol with our head: five single sources, one moment, 0 dB (alpha .5), "
            "64 electrodes, white noise.",
            "the head is known, as in the protocol; sources sit on the 20,484",
            (Condition("cal", "one moment"),),
            n=120,
        ),
        Task(
            "piu-61",
            "3D-PIUNet's protocol (Morik et al. 2024) on our head: 61 electrodes, free blobs on a "
            "7 mm grid, one moment, an assumed skull of half the true conductivity.",
            "the grid is the assumed one and noise is known, as in the protocol; conductivities "
            "are not",
            (*_SINGLE, *_MANY),
            places="volume",
            n=70,
            n_slow=70,
            n_emd=70,
            skip=(
                *("RAP-MUSIC", "LCMV", "dipole fit", "LCMV, tuned", "RAP-MUSIC, tuned"),
                # half a minute a case by Stein's estimate, and no better than the others here
                *("MxNE", "irMxNE", "MxNE, tuned", "irMxNE, tuned"),
                *("gamma-MAP, tuned", "dSPM", "dSPM, tuned"),
            ),
            published=_PUBLISHED,
        ),
        Task(
            REAL,
            "Recordings with a known origin. There is one case each, so there are no statistics.",
            "none: these are measurements, in the template's head",
            (),
            n=3,
            n_slow=3,
            n_emd=0,
            tuned_on=_CORTEX,
        ),
    )
}


def task_of(name: str, data: str | Path | None = None) -> Task:
    """Find a task by its name.

    Parameters
    ----------
    name : of the task. data : folder with the recordings of ``real``.

    Raises
    ------
    InputError : no such task, no recordings.
    """
    if name not in TASKS:
        raise InputError(f"no task {some([name])}; there are {', '.join((*TASKS, RESOLUTION))}")
    task = TASKS[name]
    if name != REAL:
        return task
    found = recordings(data)
    words = dict.fromkeys(KNOWN_OF[each.folder.name] for each in found)
    return replace(task, conditions=found, words=" ".join((task.words, *words)))
