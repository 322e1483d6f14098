"""Times all rows: round after round, until the intervals are narrow enough or the rounds or the budget are used up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.kit.device.collected import Collected
from pipeline.kit.device.machine import available_memory_bytes, idle_cores
from pipeline.kit.device.rounds import started
from pipeline.kit.device.schedule import CLONE, FEWEST_ROUNDS, Expected, Row, clone_of, expect, groups

_NS_PER_MS = 1e6
_FEWEST_FOR_WIDTHS = 3
Say = Callable[[float, str], None]


class Measuring:
    """What was asked, and what was found so far."""

    def __init__(self, folder: Path, kit: Mapping[str, Any], budget_s: float | None, say: Say) -> None:
        """``say`` is told the share done and what is going on."""
        self.folder, self.kit, self.settings = folder, kit, kit["measure"]
        self.budget_s, self.say = budget_s, say
        self.rng = np.random.default_rng(kit["seed"])
        self.collected = Collected()
        self.starts: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, str] = {}
        self.plans: list[dict[str, Any]] = []
        self.began = time.monotonic()

    def run(self, keep: Callable[[], None]) -> None:
        """Measure every group; ``keep`` is called at each look."""
        parts = groups(self.kit["rows"], available_memory_bytes())
        for number, group in enumerate(parts):
            budget_s = None if self.budget_s is None else self.budget_s / len(parts)
            self._group(group, budget_s, _of_all(self.say, number + 1, len(parts)), keep)

    def ratios(self) -> dict[str, Any]:
        """Each row's ratio to its reference so far, clones too."""
        pairs = {row["key"]: row["reference"] for row in self.kit["rows"] if row["reference"] != row["key"]}
        pairs.update({name: name[len(CLONE) :] for name in self.collected.names if name.startswith(CLONE)})
        alpha = self.settings["look_alpha"]
        found = {key: self.collected.ratio(key, reference, alpha) for key, reference in pairs.items()}
        return {key: ratio for key, ratio in found.items() if ratio is not None}

    def _group(self, group: Sequence[Row], budget_s: float | None, progress: Say, keep: Callable[[], None]) -> None:
        began, most, looks = time.monotonic(), self.settings["looks"][-1], self.settings["looks"]
        plan = {"device": "cpu", "rounds": 0, "most_rounds": most, "stopped": "cap", "blocks": 1, "full_blocks": 1}
        self.plans.append(plan)
        expected: Expected | None = None
        for number in range(1, most + 1):
            text = f"round {number} of at most {most}{self._widths(number)}"
            expected = self._round(group, expected, budget_s, _of_all(progress, number, most, text))
            if expected is None:
                return
            plan.update(rounds=number, blocks=expected.blocks, full_blocks=expected.full_blocks)
            if number in looks:
                keep()
                if self.widest() <= self.settings["half_width"]:
                    plan["stopped"] = "width"
                    return
            if budget_s is not None and number >= FEWEST_ROUNDS and time.monotonic() - began >= budget_s:
                plan["stopped"] = "budget"
                return

    @property
    def stopped(self) -> str:
        """Why it ended: every interval was narrow enough, or the budget or the rounds were used up."""
        reasons = {plan["stopped"] for plan in self.plans}
        return next((reason for reason in ("budget", "cap") if reason in reasons), "width")

    def widest(self) -> float:
        """The largest half-width of any interval; infinite where nothing could be compared."""
        return max((ratio.half_width for ratio in self.ratios().values()), default=math.inf)

    def _widths(self, number: int) -> str:
        if number <= _FEWEST_FOR_WIDTHS:
            return ""
        widest = self.widest()
        return f", widest interval ±{100 * widest:.1f} %" if widest < math.inf else ""

    def _round(
        self, group: Sequence[Row], expected: Expected | None, budget_s: float | None, progress: Say
    ) -> Expected | None:
        began = time.monotonic()
        rows = {row["key"]: row for row in group if row["key"] not in self.failures}
        clone = clone_of(group)
        if clone["key"] in rows:
            rows[CLONE + clone["key"]] = clone
        if not rows:
            return None
        progress(0.0, "")
        cores = idle_cores(max(row["threads"] for row in rows.values()))
        with started(rows, self.settings, self.rng, self.kit["limit_s"]) as current:
            current.start(self.folder, rows, self.kit["inputs"], cores)
            loaded = current.load()
            self._note(loaded)
            if expected is None and loaded:
                calls_ms = [told["warm_ns"] / _NS_PER_MS for told in loaded.values()]
                expected = expect(calls_ms, time.monotonic() - began, self.settings, budget_s)
                self.say(0.0, _in_words(expected, len(rows)))
            blocks = 0 if expected is None else expected.blocks
            timed = current.run(blocks, lambda done: progress(min(done / blocks, 1.0), ""))
            self.failures.update(current.failures)
        if expected is not None and timed:
            self.collected.add(timed, cores)
        return expected if timed else None

    def _note(self, loaded: Mapping[str, Mapping[str, Any]]) -> None:
        for key, told in loaded.items():
            found = self.starts.setdefault(
                key,
                {
                    "load_ms": [],
                    "first_inference_ms": [],
                    "peak_memory_bytes": told["peak_bytes"],
                    "fewer_threads": told["fewer_threads"],
                },
            )
            found["load_ms"].append(told["load_ns"] / _NS_PER_MS)
            found["first_inference_ms"].append(told["first_ns"] / _NS_PER_MS)


def _of_all(say: Say, number: int, count: int, text: str = "") -> Say:
    """The progress of one of several parts, counted from 1, as the progress of all; ``text`` says which part it is."""
    return lambda done, inner: say((number - 1 + done) / count, text or inner)


def _in_words(expected: Expected, models: int) -> str:
    fewest, most = expected.rounds
    low, high = (round(seconds) for seconds in expected.seconds)
    return f"{models} models x {expected.blocks} blocks x {fewest} to {most} rounds: about {low} to {high} s"
