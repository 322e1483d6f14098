"""The model in ONNX Runtime's own format, for the reduced builds that phones take, and the operators they need.

A reduced build reads no ONNX file. It is built with ``--include_ops_by_config required_operators.config``.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from pipeline.artifact import ONNX_FILE
from pipeline.artifact.onnx_file import DOMAINS, LOADING_OPERATORS
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.slimline_infer.values import printable
from pipeline.errors import Skipped, first_line

ORT_FILE = "model.ort"
OPERATORS_FILE = "required_operators.config"
ENTRY = {"model": ORT_FILE, "operators": OPERATORS_FILE}
"""The manifest's entry ``ort_format``."""


def write_ort(folder: Path) -> None:
    """Write both files beside a bundle's model.onnx. Raises Skipped where ONNX Runtime can't convert it.

    The graph is optimized as far as every processor can run it, for arm64 where processors differ. Makes a session:
    call it in a process of its own.
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    with tempfile.TemporaryDirectory(prefix="slimline-") as place:
        try:
            with _quiet():
                convert_onnx_models_to_ort(
                    folder / ONNX_FILE, Path(place), [OptimizationStyle.Fixed], target_platform="arm"
                )
        except Exception as error:  # whatever ONNX Runtime raises for a model that it can't convert
            raise Skipped(f"ONNX Runtime can't convert the model to {ORT_FILE}: {first_line(error)}") from error
        (folder / ORT_FILE).write_bytes((Path(place) / ORT_FILE).read_bytes())
    (folder / OPERATORS_FILE).write_text(operators(folder / ORT_FILE), encoding="utf-8")


def operators(model: Path) -> str:
    """The operators of a file in ONNX Runtime's format, in the form that its build reads: domain;version;names."""
    from onnxruntime.tools.ort_format_model import create_config_from_models

    with tempfile.TemporaryDirectory(prefix="slimline-") as place, _quiet():
        path = Path(place) / OPERATORS_FILE
        create_config_from_models([model], path, False)
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return "\n".join([f"# Generated from {ORT_FILE}", *lines, ""])


def check_ort(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """Check that the operators are those of the file and ONNX Runtime's own, and that the file reproduces the golden
    outputs. Makes a session: call it in a process of its own."""
    try:
        wanted = operators(folder / ORT_FILE)
    except Exception as error:  # noqa: BLE001  whatever its reader raises for a file that is none
        return [Check(OPERATORS_FILE, False, f"{ORT_FILE} can't be read: {printable(first_line(error))}")]
    problems = [f"{printable(name)} is an operator of another library" for name in _foreign(wanted)]
    if (folder / OPERATORS_FILE).read_text(encoding="utf-8", errors="replace") != wanted:
        problems.append(f"{OPERATORS_FILE} does not name the operators of {ORT_FILE}")
    checks = [from_problems(OPERATORS_FILE, problems, f"the operators of {ORT_FILE}, all of them ONNX Runtime's own")]
    return checks if problems else [*checks, _golden(folder, manifest)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what ONNX Runtime's tools print and log, and their warnings of files that they leave open."""
    log = logging.getLogger("ort_format_model.utils")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        log.setLevel(level)


def _foreign(config: str) -> Iterator[str]:
    for line in config.splitlines()[1:]:
        domain, _, names = line.split(";", 2)
        yield from (
            f"{domain}::{name}" for name in names.split(",") if domain not in DOMAINS or name in LOADING_OPERATORS
        )


def _golden(folder: Path, manifest: Mapping[str, Any]) -> Check:
    from pipeline.bundle.slimline_infer import InputError, Model
    from pipeline.bundle.slimline_infer.compare import compare
    from pipeline.bundle.slimline_infer.model import open_session

    model = Model(folder)
    try:
        _, model.session = open_session(folder, {**manifest, "model": ORT_FILE})
        inputs, expected, _ = model.golden()
        problems, largest = compare(expected, model(inputs), manifest["golden"])
    except InputError as error:
        return Check(ORT_FILE, False, str(error))
    allowed = manifest["golden"]["relative_tolerance"]
    return from_problems(
        ORT_FILE,
        problems,
        f"reproduces the golden outputs (largest relative difference {largest:.2g}, allowed {allowed:g})",
    )
