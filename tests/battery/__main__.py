"""Every model of the battery through every stage on every target of this machine.

python -m tests.battery                 all: what docs/battery.md shows; exit code 1 where a fault is found
python -m tests.battery NAME [NAME …]   some models
python -m tests.battery --stage aware   one column of the table
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.artifact import Format
from pipeline.isolated.template import Template
from pipeline.plan import BASELINE, Plan
from tests.battery.trial import IMPORTED, Cell, gives_scores, made, planned, traps, trial

TARGETS = ("ort_cpu", "openvino_cpu", "torch_cpu")
STAGES: Mapping[str, str] = {
    "export": "baseline", "dynamic": "dynamic_int8", "static": "static_int8", "equalize": "equalized_static_int8",
    "smooth": "smooth_static_int8", "mixed": "mixed_int8", "weights": "weights_int8", "nncf": "nncf_int8",
    "fp16": "fp16", "fuse": "fused_onnxscript", "optimize": "optimized", "simplify": "simplified",
    "fix": "fixed_shapes", "prune": "pruned", "recalibrate": "pruned_recalibrated", "low rank": "low_rank",
    "aware": "qat_int8",
}  # fmt: skip
"""A chain for each stage, by the head of its column; ``prune`` also compensates and fine-tunes."""
WORKS, TOLD, IDLE, REASON, FAULT, NONE = "✓", "≠", "·", "✗", "FAULT", ""
"""Marks of a chain: it works wherever it runs; on one target it gives something else, and the report says so; it has
nothing to do, or does not apply; it failed with a reason; it has a fault; the model was refused."""
IMPORTS = ("nncf", "onnxslim", "onnxscript.rewriter", "onnx2pytorch", "torch_pruning", "torchao.quantization.pt2e")
"""What single stages import, which takes seconds each time."""
AWARE = "qat_int8"
"""The chain that takes classifiers only."""
TRAINED = ("pruned.stages.finetune", "low_rank.stages.finetune", "qat_int8.stages.quantize")
"""The stages that train."""
OVERRIDES = (
    "variants.fp16.devices=[cpu]",
    *(f"variants.{stage}.{field}" for stage in TRAINED for field in ("epochs=1", "batch_size=8")),
)
_FIGURE = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?")
Found = Mapping[str, Sequence[Cell]]
Plans = Mapping[Format, Plan]


def main(argv: Sequence[str]) -> int:
    """Try models; returns 1 where there is a fault."""
    known = traps()
    parser = argparse.ArgumentParser(prog="python -m tests.battery")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    parser.add_argument("--stage", choices=[*STAGES], help="the only column beside the baseline's")
    typed = parser.parse_args(argv)
    names = typed.names or list(known)
    stages = STAGES if typed.stage is None else {stage: STAGES[stage] for stage in ("export", typed.stage)}
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"there is no model {unknown[0]}")
    logging.disable(logging.WARNING)
    start = time.monotonic()
    sys.stdout.write(f"| model | {' | '.join(stages)} |\n| --- |{' --- |' * len(stages)}\n")
    found = dict(_told(_tried(names, list(stages.values())), list(stages.values())))
    took = f"{len(found)} models in {(time.monotonic() - start) / 60:.0f} min"
    sys.stdout.write("\n".join(["", *reasons(found), "", took, ""]))
    return 1 if any(cell.fault for cells in found.values() for cell in cells) else 0


def _tried(names: Iterable[str], variants: Sequence[str]) -> Iterator[tuple[str, Sequence[Cell]]]:
    plans, as_classifiers = _plans(variants), _plans((BASELINE, AWARE), "metric=top_one")
    with Template((*IMPORTED, *IMPORTS)) as template:
        for name in names:
            with tempfile.TemporaryDirectory(prefix="battery-of-slimline-") as folder:
                model = made(name, Path(folder) / "model")
                cells = trial(plans[model.format], model, Path(folder), template)
                if any(gives_scores(cell) for cell in cells):
                    again = trial(as_classifiers[model.format], model, Path(folder), template)
                    cells = [*_others(cells), *(cell for cell in again if cell.variant != BASELINE)]
                yield name, cells


def _plans(variants: Sequence[str], *overrides: str) -> Plans:
    formats: tuple[Format, Format] = ("onnx", "torch")
    settings = [setting for setting in OVERRIDES if setting.split(".")[1] in variants]
    return {format: planned(format, variants, TARGETS, *settings, *overrides) for format in formats}


def _others(cells: Iterable[Cell]) -> Iterator[Cell]:
    return (cell for cell in cells if cell.variant != AWARE)


def _told(tried: Iterable[tuple[str, Sequence[Cell]]], variants: Sequence[str]) -> Iterator[tuple[str, Sequence[Cell]]]:
    """Print a row of the table for each model as soon as it is there."""
    for name, cells in tried:
        marks = (_mark([cell for cell in cells if cell.variant == variant]) for variant in variants)
        sys.stdout.write(f"| `{name}` | {' | '.join(marks)} |\n")
        sys.stdout.flush()
        yield name, cells


def _mark(cells: Sequence[Cell]) -> str:
    if not cells:
        return NONE
    if any(cell.fault for cell in cells):
        return FAULT
    if any(cell.remark for cell in cells):
        return TOLD
    if any(cell.reason is None for cell in cells):
        return WORKS
    return IDLE if all(cell.skipped for cell in cells) else REASON


def reasons(found: Found) -> Iterator[str]:
    """A line for each reason of what failed, and each remark, with the models that it meets and their chains. Reasons
    that differ by figures only are one."""
    by_words: dict[str, list[tuple[str, Cell]]] = {}
    for name, cells in found.items():
        for cell in cells:
            if _said(cell):
                by_words.setdefault(_FIGURE.sub("…", _said(cell)), []).append((name, cell))
    for words, met in sorted(by_words.items()):
        exact = {_said(cell) for _, cell in met}
        yield f"- {exact.pop() if len(exact) == 1 else words}: {'; '.join(_met(met))}"


def _met(met: Sequence[tuple[str, Cell]]) -> Iterator[str]:
    """The models, those with the same chains and targets together."""
    by_model: dict[str, list[Cell]] = {}
    for name, cell in met:
        by_model.setdefault(name, []).append(cell)
    by_place: dict[str, list[str]] = {}
    for name, cells in by_model.items():
        by_place.setdefault(_places(cells), []).append(f"`{name}`")
    return (f"{', '.join(names)} ({place})" for place, names in by_place.items())


def _said(cell: Cell) -> str:
    return cell.fault or cell.remark or ("" if cell.skipped else cell.reason) or ""


def _places(cells: Sequence[Cell]) -> str:
    """The chains, and the targets where it is not all of them."""
    if not cells[0].variant:
        return "refused"
    variants, targets = dict.fromkeys(cell.variant for cell in cells), dict.fromkeys(cell.target for cell in cells)
    return ", ".join(variants) + ("" if len(targets) == len(TARGETS) else f" on {', '.join(targets)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
