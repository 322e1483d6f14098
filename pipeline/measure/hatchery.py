"""The parent's end of a zygote: it imports the runtimes, and forks a worker per job when it is told to."""

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
from pipeline.measure.worker import Job
from pipeline.measure.worker_process import Worker
from pipeline.measure.zygote import Berth, Brood, Order, main


@dataclass(frozen=True, slots=True, kw_only=True)
class Zygote:
    """A process that was told what to import, and has the pipes of the workers to come."""

    process: subprocess.Popen[bytes]
    control: Channel
    limit_s: float
    """How long it may take to import, and to fork."""
    workers: Mapping[str, Worker]
    """By job: they answer once they are forked."""
    log: Path

    def ready(self) -> None:
        """Wait until it has imported the runtimes; raises WorkerFailed where it has died."""
        self._ask("ready")

    @property
    def gone(self) -> bool:
        """Whether it has ended, and with it its workers."""
        return self.process.poll() is not None

    def fork(self) -> dict[str, Worker]:
        """Make the workers, once; raises WorkerFailed where that fails."""
        pids = self._ask("fork")
        return {
            key: replace(worker, pid=pid, end=partial(_kill, pid))
            for (key, worker), pid in zip(self.workers.items(), pids, strict=True)
        }

    def _ask(self, order: Order) -> list[int]:
        try:
            self.control.send(order)
            pids: list[int] = self.control.receive(self.limit_s)
        except TimeoutError as error:
            kill(self.process)
            raise WorkerFailed(f"the runtimes could not be imported in {self.limit_s:g} s") from error
        except (BrokenPipeError, EOFError) as error:
            said = last_words(self.log) or "no reason given"
            raise WorkerFailed(f"the measuring processes can't be started: {said}") from error
        return pids


def hatch(jobs: Mapping[str, Job], stack: ExitStack) -> Zygote:
    """Start a zygote for some jobs, without waiting for it; it and its workers end with ``stack``."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slimline-zygote-")))
    berths, ours = _berths(folder, len(jobs))
    for channel in ours:
        stack.callback(channel.close)
    descriptors = [descriptor for berth in berths for descriptor in (berth.read_fd, berth.write_fd)]
    log = folder / "zygote.log"
    process = start_python(main.__module__, log, descriptors)
    _close(descriptors)
    control = channel_to(process)
    stack.callback(end, process)
    stack.callback(control.close)
    targets = list(dict.fromkeys(pickle.dumps(job.target, protocol=5) for job in jobs.values()))
    workers = {
        key: Worker(channel=ours[number], exit_code=_asks(control, number), log=berths[number].log, end=_nothing)
        for number, key in enumerate(jobs)
    }
    with suppress(BrokenPipeError):  # one that is gone already is noticed when it is first asked for something
        control.send(Brood(targets=targets, berths=berths))
    limit_s = max(job.limit_s for job in jobs.values())
    return Zygote(process=process, control=control, limit_s=limit_s, workers=workers, log=log)


def _kill(pid: int) -> None:
    """It stays known until its zygote has asked how it ended, so the number is no other process's."""
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


def _berths(folder: Path, count: int) -> tuple[list[Berth], list[Channel]]:
    """Two pipes a worker: its ends, and ours."""
    berths, ours = [], []
    for number in range(count):
        (to_read, to_write), (from_read, from_write) = os.pipe(), os.pipe()
        berths.append(Berth(read_fd=to_read, write_fd=from_write, log=folder / f"forked-{number}.log"))
        ours.append(Channel.over(from_read, to_write))
    return berths, ours


def _close(descriptors: Collection[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
