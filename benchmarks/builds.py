"""Builds with fine-tuning, one after another and side by side: how long they take.

    python benchmarks/builds.py [--counts 12] [--executions local,pool,ray:4] [--examples 4000] [OVERRIDES]

So many chains prune fashion_resnet to different widths, fine-tune it for an epoch on some examples, export it and
quantize it. Each way to carry them out builds into a store of its own, which has the trained model only; ``ray:4`` has
four places. The table has the wall time of each and its part of the first one's. Overrides hold for all ways, such as
``execution.cpus=0.5``, which lets four tasks of Ray share two cores. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from built import composed
from rich.console import Console

from pipeline.folders.surroundings import own_surroundings
from pipeline.plan import Plan, Variant
from pipeline.run.build import builder
from pipeline.run.fitting import acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.run.progress import ProgressDisplay
from pipeline.run.spread import build_all
from pipeline.store import StorePlace

RATIOS = (0.15, 0.6)
"""The lowest and the highest share of channels that is pruned."""
STEPS = 5
"""The stages of a chain."""


def plan_of(execution: str, count: int, examples: int, folder: Path, overrides: Sequence[str]) -> Plan:
    """The plan of the chains, each another ratio of the variant ``pruned_int8``."""
    name, _, places = execution.partition(":")
    words = [
        "variant=[baseline,pruned_int8]",
        "target=[ort_cpu]",
        f"execution={name}",
        *([f"execution.places={places}"] if places else []),
        "variants.pruned_int8.stages.finetune.epochs=1",
        f"variants.pruned_int8.stages.finetune.max_examples={examples}",
        *overrides,
    ]
    plan = composed(words, folder / "output")
    chain = plan.variants["pruned_int8"]
    low, high = RATIOS
    ratios = [low + (high - low) * number / max(1, count - 1) for number in range(count)]
    variants = {f"pruned_{ratio:.3f}": _pruned_to(chain, f"pruned_{ratio:.3f}", ratio) for ratio in ratios}
    place = StorePlace(folder=folder / f"{count}-{execution.replace(':', '-')}")
    return replace(plan, variants={"baseline": plan.variants["baseline"], **variants}, store=place)


def _pruned_to(chain: Variant, name: str, ratio: float) -> Variant:
    # Rounded as the processor likes it, several ratios leave the same channels, and the chains share their stages.
    prune = replace(chain.stages["prune"], pruning_ratio=ratio, round_to=1)  # type: ignore[type-var]
    stages = {**chain.stages, "prune": prune}
    return replace(chain, name=name, stages=stages)


def timed(plan: Plan, count: int) -> float:
    """How long the chains take to build, in seconds; the trained model and the places are there before."""
    plan = with_fitted_data(plan)
    splits = preflight(plan)
    with ProgressDisplay(Console()) as display, builder(plan, display.step) as making:
        plan = making.plan = acquainted(plan, making.source().artifact, splits).plan
        before, began = making.built_count, time.monotonic()
        built = build_all(making, list(plan.variants.values()), display, count * STEPS)
        seconds, made = time.monotonic() - began, making.built_count - before
    failed = [f"{item.record.name}: {item.record.reason}" for item in built if item.record.status != "ok"]
    if failed:
        raise SystemExit("\n".join(failed))
    if made < count * STEPS:
        raise SystemExit(f"{made} stages were built, and {count} chains have {count * STEPS}: some are the same")
    return seconds


def table(found: Mapping[str, Mapping[int, float]]) -> str:
    """The wall times as a table in Markdown: a line for each way, and a column for each number of chains."""
    first = next(iter(found.values()))
    heads = ["`execution=`", *(f"{count} chains" for count in first)]
    rows = [
        [name, *(f"{seconds:.0f} s ({seconds / first[count]:.2f})" for count, seconds in times.items())]
        for name, times in found.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time builds one after another and side by side.")
    parser.add_argument("--counts", default="12", help="how many chains, with commas between (default: 12)")
    parser.add_argument("--executions", default="local,pool", help="with commas between (default: local,pool)")
    parser.add_argument("--examples", type=int, default=4000, help="that each fine-tuning sees (default: 4000)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDES", help="such as execution.cpus=0.5")
    options = parser.parse_intermixed_args(arguments)
    counts = [int(count) for count in options.counts.split(",")]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="builds-"))
    found: dict[str, dict[int, float]] = {}
    with own_surroundings():
        for execution in options.executions.split(","):
            for count in counts:
                seconds = timed(plan_of(execution, count, options.examples, folder, options.overrides), count)
                found.setdefault(execution, {})[count] = seconds
                print(f"{execution}, {count} chains: {seconds:.0f} s", flush=True)
    print(table(found))
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
