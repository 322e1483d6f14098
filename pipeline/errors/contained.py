"""An unforeseen fault in one part of a report costs that part and no more."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.errors.raised import OutOfSpace, SlimlineError, UserError, reason_of

logger = logging.getLogger(__name__)

RAISING = "SLIMLINE_RAISE"
"""Faults of our own are raised where this variable of the environment is set, as it is in the tests."""
T = TypeVar("T")
S = TypeVar("S")


def contained(part: str, make: Callable[[], T], instead: Callable[[str], S]) -> T | S:
    """The result of ``make``; where it raises, the result of ``instead`` for a sentence that names the part and the
    cause.

    The whole text of the error goes to the log. A full disk and a user's mistake are raised: they are no fault of a
    part's.
    """
    try:
        return make()
    except (OutOfSpace, UserError):
        raise
    except SlimlineError as error:
        return _told(part, str(error), instead)
    except Exception as error:
        if os.environ.get(RAISING):
            raise
        return _told(part, f"{reason_of(error)} (a fault of slimline's; slimline.log has the whole text)", instead)


def _told(part: str, reason: str, instead: Callable[[str], S]) -> S:
    logger.debug("%s could not be made", part, exc_info=True)
    return instead(f"{part} could not be made: {reason}")


@dataclass(frozen=True, slots=True)
class Faults:
    """The parts of a report that could not be written, a sentence each without its full stop."""

    sentences: list[str] = field(default_factory=list)

    def contain(self, part: str, make: Callable[[], T], instead: S) -> T | S:
        """The result of ``make``, or ``instead`` where it raises; the sentence about it is kept."""

        def keep(sentence: str) -> S:
            self.sentences.append(sentence)
            return instead

        return contained(part, make, keep)
