"""The measured figures of a manifest in words, for its README and its model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.bundle.fence import code, prose


def rows(measured: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The name, the value and the interval of each figure that there is."""
    accuracy, latency, speedup = measured["accuracy"], measured["latency_ms"], measured["speedup"]
    if accuracy:
        name = f"{prose(accuracy['metric'])} ({accuracy['n']} examples)"
        figure = "{:.2%}".format if _in_percent(accuracy) else "{:.4f}".format
        yield name, figure(accuracy["value"]), f"{figure(accuracy['low'])} to {figure(accuracy['high'])}"
        if accuracy["delta"] is not None:
            yield "change against the baseline", *_change(accuracy)
    if latency:
        for name in ("p50", "p90", "p99"):
            yield f"latency {name}", f"{_number(latency[name]['value'])} ms", _interval(latency[name], "ms")
    if speedup:
        reference = speedup["reference"]
        over = f"{code(reference['variant'])} on {code(reference['target'])}"
        name = f"speed-up over {over} ({prose(speedup['verdict'])})"
        yield name, f"{speedup['value']:.3f}×", f"{speedup['low']:.3f}× to {speedup['high']:.3f}×"
    if measured["throughput"] is not None:
        yield "throughput", f"{_number(measured['throughput'])} examples/s", "-"
    yield "size on disk", f"{_number(measured['size_bytes'] / 1e6)} MB", "-"
    if measured["peak_memory_bytes"] is not None:
        yield "peak memory", f"{_number(measured['peak_memory_bytes'] / 1e6)} MB", "-"


def examples(count: int) -> str:
    """The number of examples with its noun."""
    return "1 example" if count == 1 else f"{count} examples"


def machine_words(machine: Mapping[str, Any]) -> str:
    """The machine on one line."""
    cores = f"{machine['cores']} cores" if machine.get("cores") else None
    known = [str(value) for value in (machine.get("cpu"), cores, machine.get("gpu"), machine.get("os")) if value]
    return prose(", ".join(known) or "not recorded")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _interval(figure: Mapping[str, Any], unit: str) -> str:
    if figure["low"] is None or figure["high"] is None:
        return "too few samples"
    return f"{_number(figure['low'])} to {_number(figure['high'])} {unit}"


def _change(accuracy: Mapping[str, Any]) -> tuple[str, str]:
    """The change and its interval, in the metric's unit."""
    scale, places, unit = (100, 2, " points") if _in_percent(accuracy) else (1, 4, "")
    names = ("delta", "delta_low", "delta_high")
    if accuracy.get("unit") == "error":
        scale, names = -1, ("delta", "delta_high", "delta_low")
    value, low, high = (
        None if accuracy[name] is None else f"{accuracy[name] * scale + 0.0:+.{places}f}" for name in names
    )
    return f"{value}{unit}", "-" if low is None or high is None else f"{low} to {high}{unit}"


def _in_percent(accuracy: Mapping[str, Any]) -> bool:
    """Also of a manifest that does not say what its figures are written in."""
    return bool(accuracy.get("unit", "percent") == "percent")
