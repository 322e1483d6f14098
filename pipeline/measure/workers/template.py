"""The parent's end of a template, which imports the runtimes and forks a worker per job at an order."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipeline.errors import WorkerFailed
from pipeline.isolated.channel import Channel
from pipeline.isolated.process import channel_to, end, kill, last_words, start_python
from pipeline.measure.workers.forking import Fork, Order, Place, Preparation, main
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.worker import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A process that was told what to import, and has the pipes of the workers to come."""

    process: subprocess.Popen[bytes]
    control: Channel
    limit_s: float
    """How long it may take to import, and to fork."""
    workers: Mapping[str, Worker]
    """The workers by job: they answer once they are forked."""
    log: Path

    def ready(self) -> None:
        """Wait until it has imported the runtimes; raises WorkerFailed where it has died."""
        self._ask("ready")

    @property
    def gone(self) -> bool:
        """Whether it has ended, and with it its workers."""
        return self.process.poll() is not None

    def fork(self, keys: Collection[str]) -> dict[str, Worker]:
        """Make the workers of some of its jobs, once; raises WorkerFailed where that fails."""
        numbers = {number: key for number, key in enumerate(self.workers) if key in keys}
        pids = self._ask(Fork(tuple(numbers)))
        return {
            key: replace(self.workers[key], pid=pids[number], end=partial(_kill, pids[number]))
            for number, key in numbers.items()
        }

    def _ask(self, order: Order) -> dict[int, int]:
        try:
            self.control.send(order)
            pids: dict[int, int] = self.control.receive(self.limit_s)
        except TimeoutError as error:
            kill(self.process)
            raise WorkerFailed(f"the runtimes could not be imported in {self.limit_s:g} s") from error
        except (BrokenPipeError, EOFError) as error:
            said = last_words(self.log) or "no reason given"
            raise WorkerFailed(f"the measuring processes can't be started: {said}") from error
        return pids


def start_template(jobs: Mapping[str, Job], stack: ExitStack) -> Template:
    """Start a template for some jobs, without waiting for it; it and its workers end with ``stack``."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slimline-template-")))
    places, ours = _places(folder, len(jobs))
    for channel in ours:
        stack.callback(channel.close)
    descriptors = [descriptor for place in places for descriptor in (place.read_fd, place.write_fd)]
    log = folder / "template.log"
    process = start_python(main.__module__, log, descriptors)
    _close(descriptors)
    control = channel_to(process)
    stack.callback(end, process)
    stack.callback(control.close)
    targets = list(dict.fromkeys(pickle.dumps(job.target, protocol=5) for job in jobs.values()))
    workers = {
        key: Worker(channel=ours[number], exit_code=_asks(control, number), log=places[number].log, end=_nothing)
        for number, key in enumerate(jobs)
    }
    with suppress(BrokenPipeError):  # one that is gone already is noticed when it is first asked for something
        control.send(Preparation(targets=targets, places=places))
    limit_s = max(job.limit_s for job in jobs.values())
    return Template(process=process, control=control, limit_s=limit_s, workers=workers, log=log)


def _kill(pid: int) -> None:
    """It stays known until its template has asked how it ended, so the number is no other process's."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _nothing() -> None:
    """There is no process yet."""


def _asks(control: Channel, number: int) -> Callable[[], int | None]:
    def exit_code() -> int | None:
        try:
            control.send(number)
            code: int | None = control.receive()
        except (BrokenPipeError, EOFError):
            return None
        return code

    return exit_code


def _places(folder: Path, count: int) -> tuple[list[Place], list[Channel]]:
    """Two pipes a worker: its ends, and ours."""
    places, ours = [], []
    for number in range(count):
        (to_read, to_write), (from_read, from_write) = os.pipe(), os.pipe()
        places.append(Place(read_fd=to_read, write_fd=from_write, log=folder / f"forked-{number}.log"))
        ours.append(Channel.over(from_read, to_write))
    return places, ours


def _close(descriptors: Collection[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
