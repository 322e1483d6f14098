"""A runtime whose models do what their folder's ``behaviour.json`` says."""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.data.dataset import Feed
from pipeline.measure.group import Subject
from pipeline.measure.workers.worker import Job
from pipeline.plan import Session, Target

FEEDS: Mapping[int, Feed] = {size: {"x": np.zeros((size, 2), np.float32)} for size in (1, 8)}
_MB = 2**20


def be_odd(how: str) -> None:
    if how == "exit":
        raise SystemExit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "hang":
        time.sleep(600)
    if how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    once = Path(how)
    if how.endswith("kill_parent") and not once.exists():
        once.touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    if how == "garbage":
        for descriptor in range(3, 64):
            with suppress(OSError):
                os.write(descriptor, b"garbage" * 10)


@dataclass(frozen=True)
class FakeSession:
    behaviour: dict[str, Any]
    memory: bytearray

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        if "raise_at_batch" in self.behaviour and len(feed["x"]) == self.behaviour["raise_at_batch"]:
            raise ValueError("this batch is not for me\nand the details")
        if self.behaviour.get("pid_file"):
            Path(self.behaviour["pid_file"]).write_text(str(os.getpid()))
        if self.behaviour.get("batches_file"):
            with Path(self.behaviour["batches_file"]).open("a") as file:
                file.write(f"{feed['x'][0, 0]:.0f}\n")
        if self.behaviour.get("die"):
            sys.stderr.write("out of luck\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if "odd" in self.behaviour:
            be_odd(self.behaviour["odd"])
        end = time.perf_counter() + self.behaviour.get("call_ms", 0.05) / 1e3
        while time.perf_counter() < end:
            pass
        return [feed["x"]]

    def resident(self, feed: Feed) -> "FakeBatch":
        if "no_device_time" in self.behaviour:
            raise RuntimeError(self.behaviour["no_device_time"])
        return FakeBatch()


@dataclass
class FakeBatch:
    """A device that takes a tenth of a millisecond a run, and is told of it at once."""

    asked: int = 0

    def enqueue(self) -> None:
        self.asked += 1

    def wait(self) -> None:
        time.sleep(self.asked * 1e-4)
        self.asked = 0


@dataclass(frozen=True)
class FakeBackend:
    name: ClassVar[str] = "fake"
    runs: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None: ...

    def preload(self, target: Target) -> None: ...

    def load(self, artifact: Artifact, target: Target) -> Session:
        behaviour = json.loads((artifact.path / "behaviour.json").read_text())
        if "refuse" in behaviour:
            raise RuntimeError(behaviour["refuse"])
        return FakeSession(behaviour, bytearray(os.urandom(1)) * (behaviour.get("memory_mb", 0) * _MB))


@dataclass(frozen=True)
class NotForkable(FakeBackend):
    forkable: ClassVar[bool] = False


@dataclass(frozen=True)
class NotInstalled(FakeBackend):
    def preload(self, target: Target) -> None:
        raise ModuleNotFoundError("No module named 'fake_runtime'")


def artifact(folder: Path, name: str, **behaviour: Any) -> Artifact:
    path = folder / name
    path.mkdir(exist_ok=True)
    (path / "behaviour.json").write_text(json.dumps(behaviour))
    return Artifact(path, "onnx", name)


def target(backend: FakeBackend | None = None, threads: int = 1) -> Target:
    return Target(name="fake", backend=backend or FakeBackend(), threads=threads)


def job(folder: Path, name: str = "model", backend: FakeBackend | None = None, **behaviour: Any) -> Job:
    return Job(artifact=artifact(folder, name, **behaviour), target=target(backend), feed=FEEDS[1])


def subject(
    folder: Path, name: str, batch_size: int = 1, backend: FakeBackend | None = None, **behaviour: Any
) -> Subject:
    return Subject(
        key=f"{name}@fake/{batch_size}",
        artifact=artifact(folder, name, **behaviour),
        target=target(backend),
        batch_size=batch_size,
    )


def gone(pid: int) -> bool:
    """Wait for a process to end; the test would hang, not fail, on a machine that is only slow."""
    for _ in range(600):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
