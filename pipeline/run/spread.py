"""Builds several chains at a time, in as many places as there are, and tells of them on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock

from pipeline.plan import Variant
from pipeline.run.build import Builder
from pipeline.run.built import Built
from pipeline.run.progress import ProgressDisplay

LABEL = "building"
_MOST_CHAINS = 64
"""Chains that are followed at a time. Most of them wait for a place."""
_TOLD = 2
"""Steps under way that the live line has room for."""


def build_all(builder: Builder, variants: Sequence[Variant], display: ProgressDisplay, steps: int) -> list[Built]:
    """Build variants, side by side where there is more than one place. What one of them raises ends them all.

    ``steps`` is how many models are likely to be built.
    """
    if builder.steps.places.count == 1 or len(variants) < 2:
        return [builder.build(variant) for variant in variants]
    before, builder.progress = builder.progress, Together(display, steps)
    try:
        return _side_by_side(builder, variants)
    finally:
        builder.progress = before


def build_ahead(builder: Builder, variants: Iterable[Variant], display: ProgressDisplay) -> list[str]:
    """Build the first of some variants side by side, as many as there are places; returns their names.

    Where there is one place, nothing is built before it is asked for.
    """
    count = builder.steps.places.count
    if count == 1:
        return []
    chosen = list(islice({variant.name: variant for variant in variants}.values(), count))
    build_all(builder, chosen, display, len(chosen))
    return [variant.name for variant in chosen]


def _side_by_side(builder: Builder, variants: Sequence[Variant]) -> list[Built]:
    with ThreadPoolExecutor(min(len(variants), _MOST_CHAINS), thread_name_prefix="chain") as threads:
        chains = [threads.submit(builder.build, variant) for variant in variants]
        try:
            ended, _ = wait(chains, return_when=FIRST_EXCEPTION)
            for chain in ended:
                chain.result()
            return [chain.result() for chain in chains]
        except BaseException:
            builder.steps.end()  # else the other chains would be waited for
            threads.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(slots=True)
class Together:
    """Tells of steps that are under way at the same time: one live line for all, and a line for each that ends."""

    display: ProgressDisplay
    steps: int
    label: str = LABEL
    """What the live line is called."""
    _under_way: dict[str, str] = field(default_factory=dict)
    _shares: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, label: str, done: float, text: str) -> None:
        """Take up what a step says: how far it is (0 to 1; at 1 it is over), and a few words."""
        with self._lock:
            self._shares[label] = done
            if done >= 1:
                self._under_way.pop(label, None)
                self.display.say(f"  {label}: {text}" if text else f"  {label}")
            else:
                self._under_way[label] = text
            share = sum(self._shares.values()) / max(self.steps, len(self._shares))
            self.display.step(self.label, min(share, 0.999), self._line())

    def _line(self) -> str:
        told = [f"{label} {text}".rstrip() for label, text in list(self._under_way.items())[:_TOLD]]
        more = len(self._under_way) - len(told)
        return "; ".join([*told, *([f"and {more} more"] if more else [])])
