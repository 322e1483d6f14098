"""Starting and ending a round's workers, and talking to them from the parent."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import WorkerFailed
from pipeline.measure.channel import Channel
from pipeline.measure.worker import Command, Failure, Job, Start
from pipeline.measure.zygote import Berth, Brood

_PATIENCE_S = 5.0
"""How long a process that was told to end may take."""
_LOG_TAIL = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The parent's end of a measuring process."""

    channel: Channel
    exit_code: Callable[[], int | None]
    log: Path

    def ask(self, command: Command) -> Any:
        """Have a command carried out and wait for the result; raises WorkerFailed with the reason."""
        self.tell(command)
        return self.answer()

    def tell(self, command: Command) -> None:
        """Send a command; raises WorkerFailed where the process is gone."""
        try:
            self.channel.send(command)
        except BrokenPipeError as error:
            raise WorkerFailed(self._obituary()) from error

    def answer(self) -> Any:
        """Wait for the result of what was told; raises WorkerFailed with the reason."""
        try:
            answer = self.channel.receive()
        except EOFError as error:
            raise WorkerFailed(self._obituary()) from error
        if isinstance(answer, Failure):
            raise WorkerFailed(answer.reason)
        return answer

    def _obituary(self) -> str:
        said = self.log.read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip() if self.log.exists() else ""
        last_words = f": {said.splitlines()[-1].strip()}" if said else ""
        return f"its process {_how_it_ended(self.exit_code())}{last_words}"


@contextmanager
def started(jobs: Mapping[str, Job], start: Literal["fork", "spawn"]) -> Iterator[dict[str, Worker | WorkerFailed]]:
    """A fresh process per job, its runtime imported, its model not loaded yet; or the reason why there is none.

    They start side by side and all are up when this yields, so none starts while another is timed. When the context
    ends, whatever the cause, so do they.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slimline-workers-")))
        forked = {key: job for key, job in jobs.items() if start == "fork" and _may_fork(job)}
        workers = _fork(forked, folder, stack)
        for number, key in enumerate(key for key in jobs if key not in forked):
            workers[key] = _spawn(folder / f"spawned-{number}.log", stack)
        yield _ready(jobs, workers)


@contextmanager
def alone(job: Job) -> Iterator[Worker]:
    """A fresh process of its own, with nothing inherited, for as long as the context lasts; raises WorkerFailed."""
    with started({"alone": job}, "spawn") as workers:
        worker = workers["alone"]
        if isinstance(worker, WorkerFailed):
            raise worker
        yield worker


def _may_fork(job: Job) -> bool:
    """Not for an accelerator: its driver does not survive a fork."""
    return sys.platform == "linux" and job.target.device == "cpu" and job.target.backend.forkable


def _ready(jobs: Mapping[str, Job], workers: Mapping[str, Worker]) -> dict[str, Worker | WorkerFailed]:
    """Give every worker its job, then wait for each."""
    found: dict[str, Worker | WorkerFailed] = {}
    for key, job in jobs.items():
        try:
            workers[key].tell(Start(pickle.dumps(job, protocol=5)))
            found[key] = workers[key]
        except WorkerFailed as failure:
            found[key] = failure
    for key, worker in found.items():
        if isinstance(worker, WorkerFailed):
            continue
        try:
            worker.answer()
        except WorkerFailed as failure:
            found[key] = failure
    return found


def _spawn(log: Path, stack: ExitStack) -> Worker:
    process = _python("pipeline.measure.worker", log)
    channel = _channel(process)
    stack.callback(_kill, process)
    stack.callback(channel.close)
    return Worker(channel=channel, exit_code=lambda: process.wait(_PATIENCE_S), log=log)


def _fork(jobs: Mapping[str, Job], folder: Path, stack: ExitStack) -> dict[str, Worker]:
    if not jobs:
        return {}
    berths, ours = _berths(folder, len(jobs))
    for channel in ours:
        stack.callback(channel.close)
    descriptors = [descriptor for berth in berths for descriptor in (berth.read_fd, berth.write_fd)]
    zygote = _python("pipeline.measure.zygote", folder / "zygote.log", descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    control = _channel(zygote)
    stack.callback(_end, zygote)
    stack.callback(control.close)
    backends = list(dict.fromkeys(pickle.dumps(job.target.backend, protocol=5) for job in jobs.values()))
    try:
        control.send(Brood(backends=backends, berths=berths))
        control.receive()
    except (BrokenPipeError, EOFError) as error:
        said = (folder / "zygote.log").read_text(errors="replace").strip().splitlines()
        raise WorkerFailed(
            f"the measuring processes can't be started: {said[-1] if said else 'no reason given'}"
        ) from error
    return {
        key: Worker(channel=ours[number], exit_code=_asks(control, number), log=berths[number].log)
        for number, key in enumerate(jobs)
    }


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


def _python(module: str, log: Path, descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start ``main`` of a module in a fresh interpreter: with our search path, and without importing our main module.

    In a process group of its own, so that a terminal's Ctrl-C reaches the parent alone, which then ends it.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    with log.open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=tuple(descriptors),
            process_group=0 if os.name == "posix" else None,
        )


def _channel(process: subprocess.Popen[bytes]) -> Channel:
    assert process.stdin is not None
    assert process.stdout is not None
    return Channel(process.stdout, process.stdin)  # type: ignore[arg-type]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that ends by itself once its channel is closed."""
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"
