"""A call on another machine: what is sent there, and how it is carried out."""

from __future__ import annotations

import os
import platform
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from pipeline import PACKAGE
from pipeline.errors import OutOfSpace, WorkerFailed
from pipeline.folders.life import Life
from pipeline.folders.surroundings import own_surroundings
from pipeline.isolated.call import Call, Raised, Returned, carried_out
from pipeline.plan import PlacedCall

T = TypeVar("T")
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FarCall:
    """A call with what the process there needs to find the user's own modules, and to end with this one."""

    call: Call
    search_path: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    caller: Life = field(default_factory=Life.mine)

    @staticmethod
    def of(call: PlacedCall[Any]) -> FarCall:
        """The call as it is sent."""
        return FarCall(call=Call(function=call.function, arguments=call.arguments, heard=call.hear is not None))

    def carry_out(
        self, tell: Callable[[Any], None], is_given_up: Callable[[], bool] = lambda: False
    ) -> Returned | Raised:
        """The outcome, from this process; ``tell`` gets what the call says and logs. Where ``is_given_up`` says that
        nobody waits for it any more, this process ends."""
        sys.path.extend(folder for folder in self.search_path if folder not in sys.path)
        over = threading.Event()
        threading.Thread(target=self._end_early, args=(over, is_given_up), daemon=True, name="caller").start()
        try:
            call = replace(self.call, function=partial(_in_own_surroundings, self.call.function))
            return _of_this_machine(carried_out(call, tell))
        finally:
            over.set()

    def _end_early(self, over: threading.Event, is_given_up: Callable[[], bool]) -> None:
        """End this process when the call is given up, or a caller on the same machine is gone; elsewhere the call is
        finished and stored."""
        while not over.wait(_LOOK_S):
            if self.caller.is_over or is_given_up():
                os._exit(1)


class Lost(WorkerFailed):
    """Raised for a call of which no outcome will come: its process, its machine or the way there is gone."""


def started_again(once: Callable[[], T], retries: int) -> T:
    """What ``once`` returns; where the call is lost, it is started again, ``retries`` times."""
    for _ in range(retries):
        with suppress(Lost):
            return once()
    return once()


def _in_own_surroundings(function: Callable[..., Any], *arguments: Any, **words: Any) -> Any:
    """What the function returns; a machine that has no room for the surroundings fails as the function would."""
    with own_surroundings():
        return function(*arguments, **words)


def _of_this_machine(outcome: Returned | Raised) -> Returned | Raised:
    """The outcome; a full disk names the machine and is the reason of this call alone, because the disk is not that of
    the one that asks."""
    if not isinstance(outcome, Raised) or not issubclass(outcome.kind, (OSError, OutOfSpace)):
        return outcome
    if issubclass(outcome.kind, OSError):
        _, reason, path = outcome.words
        said = reason.lower() if path is None else f"{reason.lower()}: {path}"
    else:
        (said,) = outcome.words
    return replace(outcome, kind=WorkerFailed, words=(f"on {platform.node()}: {said}",))


@contextmanager
def importable() -> Iterator[None]:
    """Let processes that another program starts meanwhile find this package as this one does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
