"""What is asked: which cases, how many, and what has to be said beside their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from bayesesi.benchmark.cases import Condition
from bayesesi.errors import InputError, some

#: Of every task: no card, choice or training has met these cases.
SEED = 20


@dataclass(frozen=True)
class Task:
    """Attributes
    ----------
    conditions : cases are of them in turn. places : ``"cortex"`` or ``"volume"``.
    n, n_slow : cases of fast methods, and the first of them that slow ones are given; n_emd :
        those on which mass is moved. crime : whether data are made as they are inverted.
    words : what the task is, for a page. skip : methods that are not asked unless named.
    """

    name: str
    words: str
    crime: str
    conditions: tuple[Condition, ...]
    places: str = "cortex"
    n: int = 200
    n_slow: int = 30
    n_emd: int = 60
    skip: tuple[str, ...] = ()


_HEADS = (
    "none of the usual kinds: the head, the cap's place and the noise's covariance that made the "
    "data are not those assumed, and events are made on 20,484 sources"
)
_SINGLE = tuple(
    Condition("piu-61", f"one source, {snr:.0f} dB", snr, 1) for snr in (0.0, 5.0, 20.0)
)
_MANY = tuple(Condition("piu-61", f"{k} sources, 20 dB", 20.0, k) for k in (2, 3, 5, 10))
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "cortex-focal",
            "One to three patches, 19 to 128 electrodes, one moment or a tenth of a second, -10 to "
            "25 dB, in a head that is not known.",
            _HEADS,
            (Condition("frame-any-cap", "one moment"), Condition("event-any-cap", "a window")),
        ),
        Task(
            "distributed",
            "Patches in two cases of three, a smooth field in the third; else as cortex-focal.",
            _HEADS,
            (Condition("frame-any-field", "one moment"), Condition("event-any-field", "a window")),
        ),
        Task(
            "shift",
            "Beyond what any network has met: one to five patches of 4 to 40 mm, skulls from a "
            "fifth to three times the assumed, caps turned by 8 degrees, a third of the channels "
            "missing.",
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
            "CaliBrain's protocol on our head: five single sources, one moment, 0 dB (alpha .5), "
            "64 electrodes, white noise.",
            "the head is known, as in the protocol; sources sit on the 20,484",
            (Condition("cal", "one moment"),),
            n=120,
        ),
        Task(
            "piu-61",
            "3D-PIUNet's protocol (Morik et al. 2024) on our head: 61 electrodes, free blobs on a "
            "7 mm grid, one moment, the skull half as conductive as it is.",
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
        ),
    )
}


def task_of(name: str) -> Task:
    """By its name.

    Raises
    ------
    InputError : no such task.
    """
    if name not in TASKS:
        raise InputError(f"no task {some([name])}; there are {', '.join(TASKS)}")
    return TASKS[name]
