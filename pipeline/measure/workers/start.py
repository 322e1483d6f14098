"""Starts and ends the fresh processes of a round."""

from __future__ import annotations

import logging
import pickle
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from pipeline.errors import WorkerFailed
from pipeline.isolated.process import PATIENCE_S, channel_to, kill, start_python
from pipeline.machine.environment import available_cores
from pipeline.measure.workers.process import Patience, Worker
from pipeline.measure.workers.template import Template, start_template
from pipeline.measure.workers.worker import Command, Job, Start, Wake, main

logger = logging.getLogger(__name__)


class FreshWorkers:
    """Round after round of fresh processes, each with its runtime imported and its model not loaded yet.

    A context: when it ends, whatever the cause, so do they.
    """

    def __init__(self, start: Literal["fork", "spawn"]) -> None:
        self._start = start
        self._spare: Template | None = None
        self._current: Template | None = None
        self._ends_spare = ExitStack()

    def __enter__(self) -> FreshWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends_spare.close()

    @contextmanager
    def started(self, jobs: Mapping[str, Job]) -> Iterator[dict[str, Worker | WorkerFailed]]:
        """A process per job, or the reason why there is none, for as long as the context lasts.

        They start side by side and all are up when this yields, so none starts while another is timed.
        """
        with ExitStack() as stack:
            forked = self._forked(jobs)
            workers = self._fork(forked, stack) if forked else {}
            workers.update(_spawned([key for key in jobs if key not in forked], stack))
            yield _awake(jobs, _ready(jobs, workers))

    @contextmanager
    def importing(self, jobs: Mapping[str, Job]) -> Iterator[None]:
        """Meanwhile the next round's template starts and imports its runtimes; at the end it is up, and at rest."""
        self._ends_spare.close()
        forked = self._forked(jobs)
        self._spare = start_template(forked, self._ends_spare) if forked else None
        yield
        if self._spare is None:
            return
        try:
            self._spare.ready()
        except WorkerFailed as failure:
            logger.debug("the next round starts without a prepared process: %s", failure)
            self._spare = None

    @property
    def lost(self) -> bool:
        """Whether the process that this round's workers were forked from has ended, and they with it."""
        return self._current is not None and self._current.gone

    def _fork(self, jobs: Mapping[str, Job], stack: ExitStack) -> dict[str, Worker | WorkerFailed]:
        """A worker per job; where the process that makes them has died, another one tries, once."""
        reasons: list[WorkerFailed] = []
        for template in (self._template, start_template):
            try:
                self._current = template(jobs, stack)
                return {**self._current.fork(jobs)}
            except WorkerFailed as failure:
                logger.debug("%s", failure)
                reasons.append(failure)
        return dict.fromkeys(jobs, reasons[-1])

    def _template(self, jobs: Mapping[str, Job], stack: ExitStack) -> Template:
        """The one that was prepared, if it was for these jobs (some may have failed or been dropped since), or a new
        one."""
        spare, self._spare = self._spare, None
        stack.enter_context(self._ends_spare.pop_all())
        return spare if spare is not None and jobs.keys() <= spare.workers.keys() else start_template(jobs, stack)

    def _forked(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        return {key: job for key, job in jobs.items() if self._start == "fork" and _may_fork(job)}


@contextmanager
def started(jobs: Mapping[str, Job], start: Literal["fork", "spawn"]) -> Iterator[dict[str, Worker | WorkerFailed]]:
    """The processes of a single round: see ``FreshWorkers.started``."""
    with FreshWorkers(start) as fresh, fresh.started(jobs) as workers:
        yield workers


@contextmanager
def alone(job: Job) -> Iterator[Worker]:
    """A fresh process that inherits nothing, for as long as the context lasts; raises WorkerFailed."""
    with closing(each_alone({"alone": job})) as workers:
        _, worker = next(workers)
        if isinstance(worker, WorkerFailed):
            raise worker
        yield worker


def each_alone(jobs: Mapping[str, Job]) -> Generator[tuple[str, Worker | WorkerFailed]]:
    """A fresh process for each job, one after the other, or the reason why there is none; close it, or exhaust it.

    As many processes as there are cores import their runtimes side by side, and then wait for their turn; until then
    none has touched an accelerator. Each process ends when the turn of the next one comes.
    """
    for keys in batched(jobs, available_cores()):
        with ExitStack() as stack:
            for key, worker in _ready({key: jobs[key] for key in keys}, _spawned(keys, stack)).items():
                yield key, worker
                if isinstance(worker, Worker):
                    worker.end()


def batched(keys: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """The keys in groups of this size, in order (as itertools.batched of Python 3.12)."""
    rest = iter(keys)
    while part := tuple(islice(rest, size)):
        yield part


def _may_fork(job: Job) -> bool:
    """No accelerator has been touched before the fork, so its driver need not survive one."""
    return sys.platform == "linux" and job.target.backend.forkable


def _ready(jobs: Mapping[str, Job], workers: Mapping[str, Worker | WorkerFailed]) -> dict[str, Worker | WorkerFailed]:
    """Give every worker its job, then wait for each."""
    ready: dict[str, Worker | WorkerFailed] = {}
    for key, job in jobs.items():
        worker = workers[key]
        if isinstance(worker, Worker):
            worker = replace(worker, pid=worker.pid if _has_pool(job) else None, patience=Patience(least_s=job.limit_s))
        ready[key] = worker
    return _all_told(ready, {key: Start(pickle.dumps(job, protocol=5)) for key, job in jobs.items()})


def _awake(jobs: Mapping[str, Job], workers: dict[str, Worker | WorkerFailed]) -> dict[str, Worker | WorkerFailed]:
    """Have the accelerators' workers wake theirs, side by side."""
    return _all_told(workers, {key: Wake() for key, job in jobs.items() if job.target.device != "cpu"})


def _all_told(
    workers: Mapping[str, Worker | WorkerFailed], commands: Mapping[str, Command]
) -> dict[str, Worker | WorkerFailed]:
    """Tell workers what to do, then wait for each; one that fails becomes its reason."""
    after = dict(workers)

    def attempt(key: str, step: Callable[[Worker], object]) -> None:
        worker = after[key]
        if isinstance(worker, Worker):
            try:
                step(worker)
            except WorkerFailed as failure:
                after[key] = failure

    for key, command in commands.items():
        attempt(key, partial(Worker.tell, command=command))
    for key in commands:
        attempt(key, Worker.answer)
    return after


def _has_pool(job: Job) -> bool:
    """Whether idle threads may spin; an accelerator's process is never stopped."""
    return job.target.device == "cpu" and job.target.threads > 1


def _spawned(keys: Iterable[str], stack: ExitStack) -> dict[str, Worker]:
    """A new interpreter for each key; they end with ``stack``."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slimline-workers-")))
    return {key: _spawn(folder / f"spawned-{number}.log", stack) for number, key in enumerate(keys)}


def _spawn(log: Path, stack: ExitStack) -> Worker:
    process = start_python(main.__module__, log)
    channel = channel_to(process)
    stack.callback(kill, process)
    stack.callback(channel.close)
    return Worker(
        channel=channel,
        exit_code=lambda: process.wait(PATIENCE_S),
        log=log,
        end=lambda: kill(process),
        pid=process.pid,
    )
