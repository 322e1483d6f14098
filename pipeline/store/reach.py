"""Goes on without a server that is away: a few tries, one line, and a rest before it is asked again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import Unreachable

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Reach:
    """Whether a server does what is asked. Reading and writing have one each: who may read may not always write."""

    consequence: str
    """What follows for the run where the server does not; completes the line."""
    pauses_s: Sequence[float] = (1.0, 4.0)
    """The waits between the tries."""
    rest_s: float = 60.0
    """For so long it is not asked again after it failed."""
    _until: float = 0.0

    def attempt(self, action: Callable[[], T], otherwise: T) -> T:
        """What ``action`` gives; ``otherwise``, with a warning, where the server is away after all tries."""
        if time.monotonic() < self._until:
            return otherwise
        for pause_s in (*self.pauses_s, None):
            try:
                return action()
            except Unreachable as error:
                if pause_s is None:
                    self._until = time.monotonic() + self.rest_s
                    logger.warning("%s; %s", error, self.consequence)
                else:
                    time.sleep(pause_s)
        return otherwise
