"""The place where a variant is timed: a runtime, a device and a session's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.bounds import (
    Threads,
)
from pipeline.data.dataset import Feed
from pipeline.errors import Skipped

Device = Literal["cpu", "cuda"]


class Session(Protocol):
    """A loaded model."""

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch to the end (synchronised) and return the outputs in the model's order."""
        ...


class Resident(Protocol):
    """A batch that lies on an accelerator, and can be run there again and again."""

    def enqueue(self) -> None:
        """Ask for one run; returns as soon as the device has been told."""
        ...

    def wait(self) -> None:
        """Return once the device has done all that it was asked for."""
        ...


@runtime_checkable
class Enqueuing(Protocol):
    """A session that can run without handing inputs and outputs over."""

    def resident(self, feed: Feed) -> Resident:
        """Copy a batch to the device."""
        ...


@runtime_checkable
class Reading(Protocol):
    """A session that knows the types of what its model reads, which a stage may have changed."""

    def as_read(self, feed: Feed) -> Feed:
        """The batch in the types that the model reads."""
        ...


def as_read(session: Session, feed: Feed) -> Feed:
    """The batch in the types that the session's model reads; not to be timed."""
    return session.as_read(feed) if isinstance(session, Reading) else feed


class Backend(Protocol):
    """A runtime. Backends are frozen dataclasses, so that a worker process can be handed one."""

    name: ClassVar[str]
    runs: ClassVar[frozenset[Format]]
    """The formats of the models that it can load."""
    forkable: ClassVar[bool]
    """Whether a process that has preloaded the runtime, and made no session yet, may be forked."""

    def check(self, target: Target) -> None:
        """Raise BackendUnavailable, with the reason, where this machine can't run the target."""
        ...

    def preload(self, target: Target) -> None:
        """Import what the target needs, and touch no accelerator (before a fork, and before load time is measured)."""
        ...

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Load a model for a target; raises BackendUnavailable, never falls back."""
        ...


@runtime_checkable
class Waking(Protocol):
    """A backend whose device keeps a state for each process, which takes time to make whatever the model."""

    def wake(self, target: Target) -> None:
        """Make that state: after a fork, which such a state would not live through, and before load time is
        measured."""
        ...


@runtime_checkable
class Profiler(Protocol):
    """A backend that can tell where a call's time goes."""

    def profile(self, artifact: Artifact, target: Target, feed: Feed, calls: int) -> dict[str, Any]:
        """Run a model this number of times and return plain values.

        They are ``calls``, ``call_ms`` (mean), ``nodes`` (each with name, op, provider, type of its first input, ms a
        call, and kernel where the runtime names what carried it out) and ``channels`` (of each convolution's output).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The place where a variant is timed. Settings that change the session and not the model belong here."""

    name: str
    backend: Backend
    device: Device = "cpu"
    threads: Threads = 1
    session: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    """The node that it is timed on, as ``execution`` names nodes, such as {resource: xeon-amx}; empty: this machine."""


def unavailable(target: Target) -> str | None:
    """Why this machine can't run a target; None where it can. Raises UserError for settings that do not exist."""
    try:
        target.backend.check(target)
    except Skipped as error:
        return str(error)
    return None
