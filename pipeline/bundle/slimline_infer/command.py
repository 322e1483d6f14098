"""The command line: its arguments, its output and its exit code."""
# ruff: noqa: T201  a program for the command line: it prints

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compare import compare
from .files import read
from .model import Model
from .values import Arrays, InputError, printable

DONE, NOT_REPRODUCED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def main(description: str | None = None, arguments: Sequence[str] | None = None) -> int:
    """Run the model on the golden inputs, or on files; returns the exit code."""
    options = _parser(description).parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="infer.py: %(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        return _run(options)
    except InputError as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return MISTAKE
    except MemoryError:
        print("infer.py: there is not enough memory for this: give fewer examples, or --batch-size 1", file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:  # such as by `| head`; what is left can't be told to anyone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infer.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="a .npz or .npy file of raw inputs, images, or a folder"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--top", type=_positive, default=1, metavar="K", help="the K classes with the highest scores")
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="examples a call (default: as measured)")
    parser.add_argument("--variant", metavar="NAME", help="of a package: this one, whatever the machine is")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on (got {text!r})")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    model = Model(batch_size=options.batch_size, variant=options.variant)
    if model.chosen:
        print(f"infer.py: {model.chosen}", file=sys.stderr)
    if not options.files:
        return check_golden(model, options.top, options.json)
    raw, names = read(options.files, model.inputs)
    outputs = model(raw)
    found = results(model, outputs, options.top, names=names)
    if options.json:
        _print_json({"predictions": found} if found is not None else {"outputs": plain(outputs)})
    else:
        show(found, outputs)
    sys.stdout.flush()
    return DONE


def check_golden(model: Model, top: int = 1, as_json: bool = False) -> int:
    """Run the golden inputs, print the predictions and whether the golden outputs are reproduced; returns the exit
    code."""
    inputs, expected, labels = model.golden()
    outputs = model(inputs)
    found = results(model, outputs, top, labels=labels)
    problems, largest = compare(expected, outputs, model.manifest["golden"])
    allowed = model.manifest["golden"]["relative_tolerance"]
    if as_json:
        told = {"reproduced": not problems, "problems": problems, "largest_difference": largest, "allowed": allowed}
        _print_json({**told, "predictions": found} if found is not None else told)
    else:
        show(found, outputs)
        verdict = f"NOT reproduced: {'; '.join(problems)}" if problems else "reproduced"
        print(f"golden outputs {verdict} (largest relative difference {largest:.2g}, allowed {allowed:g})")
    sys.stdout.flush()
    return NOT_REPRODUCED if problems else DONE


def results(
    model: Model,
    outputs: Arrays,
    top: int,
    names: Sequence[str] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> list[dict[str, Any]] | None:
    """Each example's class, its score and the ``top`` best ones, as plain values; None where there are no classes."""
    scores = model.scores(outputs)
    if scores is None:
        return None
    found = []
    for index, row in enumerate(scores):
        best = np.argsort(-row, kind="stable")[:top]
        ranked = [
            {"class": model.name_of(number), "index": int(number), "score": float(row[number])} for number in best
        ]
        entry: dict[str, Any] = {"example": index, **ranked[0], "top": ranked}
        if names is not None:
            entry["file"] = names[index]
        if labels is not None and labels.ndim == 1:
            entry["expected"] = model.name_of(int(labels[index]))
        found.append(entry)
    return found


def show(found: Sequence[Mapping[str, Any]] | None, outputs: Arrays) -> None:
    """Print a line per example with its classes and scores, or a line per output where there are no classes."""
    if found is None:
        for name, output in outputs.items():
            print(f"output '{printable(name)}': {output.dtype} {list(output.shape)}")
        return
    for entry in found:
        ranked = ", ".join(f"{printable(item['class'])} ({item['score']:.4g})" for item in entry["top"])
        expected = f"  (expected {printable(entry['expected'])})" if "expected" in entry else ""
        print(f"{printable(entry.get('file', entry['example']))}: {ranked}{expected}")


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(plain(value), ensure_ascii=True, allow_nan=False))


def plain(value: Any) -> Any:
    """The value in JSON's own types; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
