"""The tables of docs/optimizations.md, from the reports of several runs.

    python benchmarks/optimization_table.py RUN [RUN ...]

A table for each run's model, with a row for each variant and target: the speed-up over the run's reference row with its
95 % interval, the accuracy, and the verdict on each. The rows that were not measured follow, with their reasons.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Line = tuple[str, ...]


def tables(run: dict[str, Any]) -> str:
    """Markdown: the model's name, the rows that were measured, and why the others were not."""
    rows = [(variant["name"], result) for variant in run["variants"] for result in variant["results"]]
    several = len({result["target"] for _, result in rows if result["status"] == "ok"}) > 1
    measured = [line(name, result, several) for name, result in rows if result["status"] == "ok"]
    judged = "cosine" if any((result["accuracy"] or {}).get("metric") == "cosine" for _, result in rows) else "accuracy"
    heads = ("variant", *(["target"] if several else []), "speed-up", "verdict", judged, "verdict")
    lines = [f"**{run['model']}**", "", *markdown([heads, *measured]), "", *_unmeasured(rows)]
    return "\n".join(lines).rstrip()


def line(variant: str, result: dict[str, Any], several: bool) -> Line:
    """A row that was measured; ``several`` says that its target has a column."""
    return (variant, *([result["target"]] if several else []), *speed(result), *_accuracy(result["accuracy"]))


def speed(result: dict[str, Any]) -> tuple[str, str]:
    """The speed-up with its interval, and the verdict; of the reference itself the median call."""
    speedup = result["speedup"]
    if speedup is None:
        latency = result["latency_ms"]
        return "" if latency is None else f"{latency['p50']['value']:.2f} ms", ""
    return f"{speedup['value']:.2f}x [{speedup['low']:.2f}, {speedup['high']:.2f}]", speedup["verdict"]


def markdown(lines: Sequence[Line]) -> list[str]:
    """A table whose first line is its head."""
    return [f"| {' | '.join(cells)} |" for cells in (lines[0], ["---"] * len(lines[0]), *lines[1:])]


def _accuracy(found: dict[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    value = f"{found['value']:.4f}" if found["metric"] == "cosine" else f"{100 * found['value']:.2f} %"
    return value, found["verdict"] or ""


def _unmeasured(rows: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """A line for each reason, with the rows that it holds for."""
    names: dict[str, list[str]] = {}
    for name, result in rows:
        if result["status"] != "ok":
            reason = f"{result['status']}: {' '.join(result['reason'].split())}"
            names.setdefault(reason, []).append(f"`{name}` on {result['target']}")
    for reason, places in names.items():
        yield f"- {', '.join(places)}: {reason}"


def main() -> None:
    """Print the tables of the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, such as outputs/latest")
    print("\n\n".join(tables(json.loads((run / "report.json").read_text())) for run in parser.parse_args().runs))


if __name__ == "__main__":
    main()
