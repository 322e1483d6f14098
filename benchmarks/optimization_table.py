"""The tables of docs/optimizations.md, from the reports of several runs.

    python benchmarks/optimization_table.py RUN [RUN ...]

A row for each variant and target, a column for each run's model. A cell holds the speed-up over the run's reference row
with its 95 % interval, the accuracy with its verdict, or why there is neither.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

_LONGEST_REASON = 110


def cell(result: dict[str, Any]) -> str:
    """One row of a run in a line."""
    if result["status"] != "ok":
        return _shortened(f"{result['status']}: {result['reason']}")
    return "; ".join(part for part in (speed(result), _accuracy(result)) if part)


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown, the rows in the order of the first run that has them."""
    columns: list[dict[tuple[str, str], str]] = []
    rows: dict[tuple[str, str], None] = {}
    for run in runs:
        found = {}
        for variant in run["variants"]:
            for result in variant["results"]:
                found[variant["name"], result["target"]] = cell(result)
        columns.append(found)
        rows.update(dict.fromkeys(found))
    several = len({target for _, target in rows}) > 1
    heads = ["variant", *(["target"] if several else []), *(run["model"] for run in runs)]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for variant, target in rows:
        names = [variant, *([target] if several else [])]
        lines.append(f"| {' | '.join([*names, *(found.get((variant, target), '') for found in columns)])} |")
    return "\n".join(lines)


def speed(result: dict[str, Any]) -> str:
    """The speed-up with its interval and verdict; of the reference itself the median call."""
    speedup = result["speedup"]
    if speedup is None:
        latency = result["latency_ms"]
        return "" if latency is None else f"{latency['p50']['value']:.2f} ms"
    return f"{speedup['value']:.2f}x [{speedup['low']:.2f}, {speedup['high']:.2f}] {speedup['verdict']}"


def _accuracy(result: dict[str, Any]) -> str:
    found = result["accuracy"]
    if found is None:
        return ""
    value = f"cosine {found['value']:.4f}" if found["metric"] == "cosine" else f"{100 * found['value']:.2f} %"
    return value if found["verdict"] is None else f"{value} {found['verdict']}"


def _shortened(text: str) -> str:
    plain = " ".join(text.split()).replace("|", "/")
    return plain if len(plain) <= _LONGEST_REASON else plain[: _LONGEST_REASON - 1] + "…"


def main() -> None:
    """Print the table of the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, such as outputs/latest")
    print(table([json.loads((run / "report.json").read_text()) for run in parser.parse_args().runs]))


if __name__ == "__main__":
    main()
