"""Where a PyTorch model's time goes, by torch.profiler: its operators on the CPU, its kernels on an NVIDIA card."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed
from pipeline.plan import Device, Session

WARM_CALLS = 5
_PROVIDERS: dict[Device, str] = {"cpu": "PyTorch CPU", "cuda": "PyTorch CUDA"}
_US_PER_MS = 1e3


class _Event(Protocol):
    """torch.autograd.profiler_util.FunctionEvent."""

    @property
    def name(self) -> str: ...

    @property
    def self_cpu_time_total(self) -> float: ...

    @property
    def time_range(self) -> Any: ...

    @property
    def device_type(self) -> Any: ...


def profile_session(
    session: Session, artifact: Artifact, feed: Feed, calls: int, device: Device = "cpu"
) -> dict[str, Any]:
    """Run a loaded model under the profiler, as ``Profiler`` says. The type of an operator or kernel is not known."""
    from torch.profiler import ProfilerActivity, profile

    for _ in range(WARM_CALLS):
        session(feed)
    with profile(activities=[ProfilerActivity.CPU if device == "cpu" else ProfilerActivity.CUDA]) as profiler:
        start = time.perf_counter()
        for _ in range(calls):
            session(feed)
        total_s = time.perf_counter() - start
    return {
        "calls": calls,
        "call_ms": total_s * 1e3 / calls,
        "nodes": read_events(profiler.events(), calls, device),
        "channels": _channels(artifact),
    }


def read_events(events: Iterable[_Event], calls: int, device: Device = "cpu") -> list[dict[str, Any]]:
    """Every operator of a call with the mean of its own time, without the operators that it calls; on a card, every
    kernel and copy.

    The profiler names only types, so a ``name`` is the type and the place among the nodes of that type.
    """
    op_of, us_of = (_operator, _own_us) if device == "cpu" else (_kernel, _device_us)
    ordered = sorted(
        (event for event in events if device == "cpu" or _on_card(event)), key=lambda event: event.time_range.start
    )
    a_call = {op: max(1, count // calls) for op, count in Counter(map(op_of, ordered)).items()}
    seen: Counter[str] = Counter()
    nodes: dict[str, dict[str, Any]] = {}
    for event in ordered:
        op = op_of(event)
        name = f"{op} {seen[op] % a_call[op] + 1}"
        seen[op] += 1
        node = nodes.setdefault(name, {"name": name, "op": op, "provider": _PROVIDERS[device], "type": "", "ms": 0.0})
        node["ms"] += us_of(event) / _US_PER_MS / calls
    return list(nodes.values())


def _on_card(event: _Event) -> bool:
    return str(event.device_type).rpartition(".")[2] == "CUDA"


def _operator(event: _Event) -> str:
    return event.name


def _own_us(event: _Event) -> float:
    return event.self_cpu_time_total


def _kernel(event: _Event) -> str:
    """A kernel's function without what it returns, its template's arguments and its own; a copy's name as it is."""
    name = event.name.removeprefix("void ")
    return name if name.startswith(("Memcpy", "Memset")) else re.split(r"[<(]", name, maxsplit=1)[0] or name


def _device_us(event: _Event) -> float:
    elapsed: float = event.time_range.elapsed_us()
    return elapsed


def _channels(artifact: Artifact) -> list[int]:
    """The output channels of the model's convolutions, depthwise ones left out."""
    from torch import nn

    from pipeline.artifact.torch_module import load_module

    modules = load_module(artifact.path).modules()
    return [module.out_channels for module in modules if isinstance(module, nn.Conv2d) and module.weight.shape[1] > 1]
