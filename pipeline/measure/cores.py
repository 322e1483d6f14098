"""Chooses the cores that a round's workers run on: all of them run on the same ones.

With one thread that is the core that is idlest at the time. On such a core blocks spread about half as much as without
pinning; on a core that a neighbour uses they spread no less.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from pipeline.machine.cpu_ticks import of_each_core
from pipeline.machine.environment import available_cores
from pipeline.plan import Target

_SAMPLE_S = 0.1


def cores_for(targets: Iterable[Target]) -> tuple[int, ...] | None:
    """The idlest cores, as many as the target with the most threads wants; None: not pinned.

    None for accelerators, whose drivers have threads of their own, and where the system has no such call.
    """
    chosen = list(targets)
    if not hasattr(os, "sched_getaffinity") or any(target.device != "cpu" for target in chosen):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    wanted = max(target.threads for target in chosen)
    if wanted >= len(allowed):
        return tuple(allowed)
    before = busy_ticks()
    time.sleep(_SAMPLE_S)
    return idlest(allowed, before, busy_ticks(), wanted)


def leave_room(cores: tuple[int, ...] | None) -> bool:
    """Whether a core is left beside those that a round's workers run on: one at a time works, where none is pinned."""
    return available_cores() > (1 if cores is None else len(cores))


def idlest(allowed: Iterable[int], before: dict[int, int], after: dict[int, int], count: int) -> tuple[int, ...]:
    """The ``count`` cores that were least busy between two samples, in the order of their numbers."""
    by_load = sorted(allowed, key=lambda core: (after.get(core, 0) - before.get(core, 0), core))
    return tuple(sorted(by_load[:count]))


def busy_ticks() -> dict[int, int]:
    """How many ticks of 10 ms each core has been busy, or taken by the hypervisor; empty where it can't be read."""
    return {core: ticks.total - ticks.idle for core, ticks in of_each_core().items()}
