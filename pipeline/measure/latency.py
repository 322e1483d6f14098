"""How long does one call take? All subjects of a device are timed in the same rounds, interleaved in random order.

A method that times one model to its end and then the next calls identical models different, because the machine's speed
wanders. Here every block visits every model once, so that ratios within a block share what the machine did. Every round
starts fresh processes, because a process keeps one memory layout for its life. Measuring stops once the intervals are
narrow, never because a difference is significant.

Sources: Abedi & Brecht 2017 (randomised multiple interleaved trials); Kalibera & Jones 2013; Bulej et al. 2020.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Feed
from pipeline.errors import WorkerFailed
from pipeline.machine.busy import busy_cores
from pipeline.machine.card import Card, card_of
from pipeline.measure.cores import cores_for, leave_room
from pipeline.measure.exclusive import measuring
from pipeline.measure.group import Group, Subject, group_of
from pipeline.measure.race import Dropped, Judge, Race
from pipeline.measure.rounds import Round
from pipeline.measure.samples import Collected
from pipeline.measure.schedule import FEWEST_ROUNDS, Expected, Room, expect, groups
from pipeline.measure.workers.start import FreshWorkers
from pipeline.measure.workers.worker import DeviceTimed, Loaded
from pipeline.plan import MeasureSettings, RunLimits
from pipeline.results.record import LatencySamples, Stopped

logger = logging.getLogger(__name__)
_NS_PER_MS = 1e6
_FEWEST_FOR_WIDTHS = 3
Progress = Callable[[float, str], None]


@dataclass(slots=True)
class SubjectTimes:
    """The times of a subject's start, one value a round."""

    load_ms: list[float] = field(default_factory=list)
    first_inference_ms: list[float] = field(default_factory=list)
    device_ms: list[float] = field(default_factory=list)
    """The time of a run by itself, on an accelerator."""
    enqueue_share: list[float] = field(default_factory=list)
    device_reason: str | None = None
    """The reason why a round has no time of the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The results for one device. A subject is in ``times`` and the samples, or in ``failures``; one that a race has
    dropped is no failure."""

    samples: LatencySamples
    times: dict[str, SubjectTimes]
    failures: dict[str, str]
    """The reason in one line, by subject."""
    dropped: dict[str, Dropped] = field(default_factory=dict)
    """Which subjects a race has not timed to the end."""
    differences: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    """The log-ratios of each subject's blocks, log(its reference's median call) - log(its own), clones too: an array
    for each round in which both were timed."""


def measure_latency(
    subjects: Sequence[Subject],
    references: Mapping[str, str],
    clones: Sequence[str],
    feeds: Mapping[int, Feed],
    settings: MeasureSettings,
    seed: int,
    *,
    more: Mapping[int, Sequence[Feed]] | None = None,
    needed_bytes: Mapping[str, int] | None = None,
    limit_s: float = RunLimits().seconds,
    judge: Judge | None = None,
    progress: Progress = lambda done, text: None,
    announce: Callable[[Expected], None] = lambda expected: None,
) -> Measured:
    """Time all subjects of one device.

    ``references`` names, for a subject's key, the key that it is compared with. Each key in ``clones`` is measured
    twice, the second time as ``clone:<key>``; the difference of the two is nothing but noise. ``feeds`` has an input
    batch per batch size, and ``more`` the batches that calls take in turn with it. ``needed_bytes`` is what each
    subject takes of a graphics card's memory, so that no more subjects are loaded at once than it holds. ``limit_s`` is
    how long a worker's answer may take at least.

    With a ``judge`` this is a race. It is asked after every round which subjects need not be timed any more; their
    samples stay. The race ends, earlier than measuring would otherwise, when nothing is left but what the others were
    compared with, which the judge can't drop. Where there are several groups, each is a race of its own.

    ``announce`` is told, before anything is timed, how long the measuring will take (once a group, should there be more
    subjects than are measured together); ``progress`` is told the share done and the widths so far. A subject whose
    worker fails becomes a failure with its reason, and the others go on.
    """
    by_key = {subject.key: subject for subject in subjects}
    cloned = [key for key in clones if key in by_key]
    device = subjects[0].target.device if subjects else "cpu"
    stopped: Stopped = "width"
    with measuring(settings.exclusive), busy_cores(settings.busy), card_of(device) as card:
        began = time.monotonic()
        room = Room(free_bytes=None if card is None else card.usable_bytes(), needed_bytes=needed_bytes or {})
        split = groups(list(by_key), references, cloned, room) if subjects else []
        run = _Run(
            settings=settings,
            budget_s=None if settings.budget_s is None else settings.budget_s / max(1, len(split)),
            collected=Collected(device),
            rng=np.random.default_rng(seed),
            announce=announce,
            race=Race(judge=judge),
            card=card,
        )
        for index, keys in enumerate(split):
            group = group_of([by_key[key] for key in keys], references, cloned, feeds, more or {}, limit_s)
            outcome = run.measure(group, _share(progress, index, len(split)))
            stopped = outcome if outcome != "width" else stopped
    progress(1.0, f"{len(run.collected.rounds)} rounds, {_widest_text(run.widest)}")
    return Measured(
        samples=run.collected.samples(run.failures, stopped, time.monotonic() - began, run.plans),
        times={key: run.times[key] for key in by_key if key in run.times and key not in run.failures},
        failures={key: run.failures[key] for key in by_key if key in run.failures},
        dropped={key: run.race.dropped[key] for key in by_key if key in run.race.dropped},
        differences=run.collected.differences(run.pairs),
    )


@dataclass(slots=True, kw_only=True)
class _Run:
    """What the groups of a device have in common, and what was found so far."""

    settings: MeasureSettings
    budget_s: float | None
    """The budget of each group."""
    collected: Collected
    rng: np.random.Generator
    announce: Callable[[Expected], None]
    race: Race
    pairs: dict[str, str] = field(default_factory=dict)
    """What each subject that was measured is compared with."""
    times: dict[str, SubjectTimes] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    widest: float | None = None
    """The largest half-width of any interval, of the groups that were measured; None before the first."""
    plans: list[dict[str, Any]] = field(default_factory=list)
    """What each group was meant to take, and how many rounds it had."""
    card: Card | None
    repeated: bool = False
    """Whether a round was measured again, as its processes had ended with the one that had started them."""

    def measure(self, group: Group, progress: Progress) -> Stopped:
        """Round after round, until the intervals are narrow enough, the rounds or the budget are used up."""
        before = len(self.collected.rounds)
        self.pairs.update(group.pairs)
        with FreshWorkers(self.settings.start) as fresh:
            stopped, expected = self._rounds(group, fresh, progress)
        self.widest = max(self.widest or 0.0, self._widest(group.without({**self.failures, **self.race.dropped})))
        if expected is not None:
            self.plans.append(
                {
                    "device": self.collected.device,
                    "rounds": len(self.collected.rounds) - before,
                    "most_rounds": self.settings.looks[-1],
                    "blocks": expected.blocks,
                    "full_blocks": expected.full_blocks,
                    "stopped": stopped,
                }
            )
        return stopped

    def _rounds(self, group: Group, fresh: FreshWorkers, progress: Progress) -> tuple[Stopped, Expected | None]:
        began = time.monotonic()
        expected: Expected | None = None
        most = self.settings.looks[-1]
        widths = ""
        for number in range(1, most + 1):
            if not group.jobs:
                break
            last = number == most
            expected = self._round(group, expected, fresh, last, _text(progress, number, most, widths))
            group = self.race.judged(group.without(self.failures), self.collected, number)
            if self.race.over(group):
                return "decided", expected
            if number >= _FEWEST_FOR_WIDTHS or number in self.settings.looks:
                widest = self._widest(group)
                widths = f", {_widest_text(widest)}"
                if number in self.settings.looks and widest <= self.settings.half_width:
                    return "width", expected
            spent_s = time.monotonic() - began
            if self.budget_s is not None and spent_s >= self.budget_s and number >= FEWEST_ROUNDS:
                return "budget", expected
        return "cap", expected

    def _round(
        self,
        group: Group,
        expected: Expected | None,
        fresh: FreshWorkers,
        last: bool,
        progress: Callable[[float], None],
    ) -> Expected | None:
        began = time.monotonic()
        cores = cores_for(job.target for job in group.jobs.values())
        jobs = {key: replace(job, cores=cores) for key, job in group.jobs.items()}
        with fresh.started(jobs) as workers:
            current = Round.of(workers, self.settings, self.card, cores)
            # What the next round needs is imported now, on another core: nothing of it is left to do while timing.
            with fresh.importing({} if last or not leave_room(cores) else jobs):
                loaded = current.load(self.rng)
            if expected is None and loaded:
                calls_ms = {key: times.warm_ns / _NS_PER_MS for key, times in loaded.items()}
                expected = expect(calls_ms, time.monotonic() - began, self.settings, self.budget_s)
                self.announce(expected)
            blocks = 0 if expected is None else expected.blocks
            timed = current.run(blocks, self.rng, lambda done: progress(min(done / blocks, 1.0)))
            devices = {} if self.collected.device == "cpu" else current.device_times(self.rng)
            lost = fresh.lost
        if lost and not self.repeated:
            logger.warning("the process that starts the measuring ones was ended: the round is measured again")
            self.repeated = True
            return self._round(group, expected, fresh, last, progress)
        self._note(loaded)
        if expected is not None:
            self.collected.add(timed, cores)
        self._note_device(devices)
        self.failures.update(current.failures)
        return expected

    def _note(self, loaded: Mapping[str, Loaded]) -> None:
        for key, times in loaded.items():
            found = self.times.setdefault(key, SubjectTimes())
            found.load_ms.append(times.load_ns / _NS_PER_MS)
            found.first_inference_ms.append(times.first_ns / _NS_PER_MS)

    def _note_device(self, timed: Mapping[str, DeviceTimed | WorkerFailed]) -> None:
        for key, found in timed.items():
            times = self.times[key]
            if isinstance(found, WorkerFailed):
                times.device_reason = str(found)
            else:
                times.device_ms.append(found.call_ns / _NS_PER_MS)
                times.enqueue_share.append(found.enqueue_share)

    def _widest(self, group: Group) -> float:
        estimates = self.collected.estimates(group.pairs, self.settings.look_alpha)
        return max((estimates[key].half_width if key in estimates else math.inf for key in group.pairs), default=0.0)


def _share(progress: Progress, index: int, count: int) -> Progress:
    """The progress of one group as that of all."""
    return lambda done, text: progress((index + done) / count, text)


def _text(progress: Progress, number: int, most: int, widths: str) -> Callable[[float], None]:
    """The progress of one round as that of its group; 1 is left to the end."""
    return lambda done: progress(min((number - 1 + done) / most, 0.999), f"round {number} of at most {most}{widths}")


def _widest_text(half_width: float | None) -> str:
    if not half_width:
        return "nothing to compare"
    if not math.isfinite(half_width):
        return "no interval yet"
    return f"widest interval ±{100 * half_width:.1f} %"
