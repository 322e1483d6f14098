"""The tables of docs/pruning.md, from the reports of runs with pruned variants.

    python benchmarks/pruning_table.py RUN [RUN ...]

A row for each variant of each run (the baseline of the first run only), with its MACs, its speed-up with the 95 %
interval beside them, its size, its accuracy and the difference to the baseline's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from optimization_table import markdown, speed

HEADS = ("variant", "MACs", "speed-up", "size (MB)", "accuracy or cosine", "change (points)", "verdict")


def rows(run: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each measured row of a run; the seed is told where it is not 0."""
    whole = next(variant["macs"] for variant in run["variants"] if variant["name"] == "baseline")
    seed = f", seed {run['seed']}" if run["seed"] else ""
    found: list[tuple[str, ...]] = []
    for variant in run["variants"]:
        for result in variant["results"]:
            name = variant["name"] + seed
            if result["status"] != "ok":
                found.append((name, "", "", "", "", "", f"{result['status']}: {' '.join(result['reason'].split())}"))
                continue
            share = "" if not whole or not variant["macs"] else f"{variant['macs'] / whole:.2f}"
            size = f"{variant['size_bytes'] / 1e6:.2f}"
            found.append((name, share, " ".join(speed(result)).strip(), size, *_accuracy(result["accuracy"])))
    return found


def _accuracy(found: dict[str, Any] | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    if found["metric"] == "cosine":
        return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]", "", found["verdict"] or ""
    value = f"{100 * found['value']:.2f} %"
    if found["delta"] is None:
        return value, "", ""
    change = f"{100 * found['delta']:+.2f} [{100 * found['delta_low']:+.2f}, {100 * found['delta_high']:+.2f}]"
    return value, change, found["verdict"] or ""


def main() -> None:
    """Print the table of the runs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, such as outputs/latest")
    runs = [json.loads((run / "report.json").read_text()) for run in parser.parse_args().runs]
    lines = [row for number, run in enumerate(runs) for row in rows(run) if number == 0 or row[0][:8] != "baseline"]
    print("\n".join(markdown([HEADS, *lines])))


if __name__ == "__main__":
    main()
