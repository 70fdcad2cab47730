"""Independent pieces of work: here, on the cores of this machine, or on a cluster of Dask's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bayesesi.errors import InputError

#: Environment of a worker: one thread, and memory that is kept for the next array. By itself Dask
#: has it given back after each, which takes as long as the work.
_WORKER = {
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "MALLOC_TRIM_THRESHOLD_": 2**30,
    "MALLOC_MMAP_THRESHOLD_": 2**30,
}


def run_jobs(
    work: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int = 1,
    scheduler: str | None = None,
    doing: str = "working",
    progress: bool = False,
    done: int = 0,
) -> Iterator[Any]:
    """Yield ``work(*job)`` of every job, in the order in which they end.

    Parameters
    ----------
    work : function that can be pickled if there are several processes. jobs : its arguments, one
        tuple a job.
    workers : processes on this machine. scheduler : address of a Dask scheduler; then ``workers``
        is not used.
    doing : what a bar says, if there is ``progress``. done : jobs that an earlier run finished,
        which the bar says.

    Raises
    ------
    InputError : no workers, Dask is missing or does not answer.
    """
    from rich.progress import track

    if workers < 1:
        raise InputError(f"workers are 1 or more, not {workers}")
    if done:
        doing = f"{doing}, {done} of {done + len(jobs)} there already"
    ended = _run(work, jobs, min(workers, max(len(jobs), 1)), scheduler)
    yield from track(ended, doing, total=len(jobs), disable=not (progress and jobs))


def _run(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int, scheduler: str | None
) -> Iterator[Any]:
    if scheduler is None and workers == 1:
        from threadpoolctl import threadpool_limits

        for job in jobs:
            # matrices are small: threads cost more than they bring, many times so on busy cores
            with threadpool_limits(1, user_api="blas"):
                done = work(*job)
            yield done
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            "more than one worker needs Dask; install it with pip install 'bayesesi[cluster]'"
        ) from error
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {scheduler[:80]!r} ({type(error).__name__}); start "
                "one with `dask scheduler`, or use --workers"
            ) from error
        with client:
            yield from _gather(client, work, jobs)
        return
    import dask

    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": _WORKER}),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield from _gather(client, work, jobs)


def _gather(
    client: Any, work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]
) -> Iterator[Any]:
    from distributed import as_completed

    futures = [client.submit(work, *job, pure=False) for job in jobs]
    for future in as_completed(futures):
        yield future.result()
