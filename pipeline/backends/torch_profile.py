"""Where a PyTorch model's time goes on the CPU: torch.profiler's own time of every operator."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed
from pipeline.plan import Session

WARM_CALLS = 5
_PROVIDER = "PyTorch CPU"
_US_PER_MS = 1e3


class _Event(Protocol):
    """torch.autograd.profiler_util.FunctionEvent."""

    @property
    def name(self) -> str: ...

    @property
    def self_cpu_time_total(self) -> float: ...

    @property
    def time_range(self) -> Any: ...


def profile_session(session: Session, artifact: Artifact, feed: Feed, calls: int) -> dict[str, Any]:
    """Run a loaded model under the profiler; see ``Profiler``. A type is not known of any operator."""
    from torch.profiler import ProfilerActivity, profile

    for _ in range(WARM_CALLS):
        session(feed)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        for _ in range(calls):
            session(feed)
        total_s = time.perf_counter() - start
    return {
        "calls": calls,
        "call_ms": total_s * 1e3 / calls,
        "nodes": read_events(profiler.events(), calls),
        "channels": _channels(artifact),
    }


def read_events(events: Iterable[_Event], calls: int) -> list[dict[str, Any]]:
    """Every operator of a call with the mean of its own time, without what it calls.

    The profiler names types only, so an operator's ``name`` is its type and its place among those of that type.
    """
    found = sorted(events, key=lambda event: event.time_range.start)
    a_call = {op: max(1, count // calls) for op, count in Counter(event.name for event in found).items()}
    seen: Counter[str] = Counter()
    nodes: dict[str, dict[str, Any]] = {}
    for event in found:
        op = event.name
        name = f"{op} {seen[op] % a_call[op] + 1}"
        seen[op] += 1
        node = nodes.setdefault(name, {"name": name, "op": op, "provider": _PROVIDER, "type": "", "ms": 0.0})
        node["ms"] += event.self_cpu_time_total / _US_PER_MS / calls
    return list(nodes.values())


def _channels(artifact: Artifact) -> list[int]:
    """The output channels of the model's convolutions, depthwise ones left out."""
    from torch import nn

    from pipeline.torch_artifact import load_module

    modules = load_module(artifact.path).modules()
    return [module.out_channels for module in modules if isinstance(module, nn.Conv2d) and module.weight.shape[1] > 1]
