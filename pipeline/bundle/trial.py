"""Does a bundle work on this machine? Its files must have been checked before."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.integrity import read_manifest
from pipeline.bundle.onnx_file import external_files, is_inside
from pipeline.bundle.process import in_fresh_process
from pipeline.bundle.session import describe
from pipeline.data.dataset import Feed
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import Skipped, WorkerFailed

if TYPE_CHECKING:
    from pipeline.bundle.infer import Model

TIMEOUT_S = 600
REPRODUCED = "golden outputs reproduced"


def check_onnx(folder: Path) -> list[Check]:
    """The ONNX checker passes, and the model reads no file but those of the manifest."""
    import onnx
    from google.protobuf.message import DecodeError

    manifest = read_manifest(folder)
    path = folder / manifest["model"]
    try:
        locations = external_files(path)
    except DecodeError as error:
        return [Check("ONNX checker", False, f"{path.name} is not an ONNX model: {error}")]
    problems = [
        f"{path.name} keeps tensors in '{name}', outside the folder" for name in locations if not is_inside(name)
    ]
    problems += [
        f"{path.name} keeps tensors in '{name}', which is not in the manifest"
        for name in locations
        if is_inside(name) and name not in manifest["files"]
    ]
    if problems:
        return [from_problems("external data", problems, "")]
    inside = Check("external data", True, ", ".join(locations) or "none")
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        return [inside, Check("ONNX checker", False, f"{path.name}: {str(error).splitlines()[0]}")]
    return [inside, Check("ONNX checker", True, f"{path.name} is valid")]


def check_running(folder: Path) -> list[Check]:
    """ONNX Runtime loads the model, its golden outputs are reproduced, and ``infer.py`` runs alone."""
    try:
        checks = in_fresh_process(run_model, folder)
    except WorkerFailed as error:
        checks = [Check("ONNX Runtime", False, str(error))]
    if not all(check.passed for check in checks):
        return checks
    return [*checks, run_program(folder)]


def run_model(folder: Path) -> list[Check]:
    """The checks that need a session: call it in a process of its own."""
    from pipeline.bundle import infer

    try:
        model = infer.Model(folder)
    except infer.InputError as error:
        return [Check("ONNX Runtime", False, str(error))]
    providers = ", ".join(entry["name"] for entry in model.manifest["session"]["providers"])
    checks = [
        Check("ONNX Runtime", True, f"loads {model.manifest['model']} with the manifest's options on {providers}")
    ]
    checks.append(_signature(model))
    if checks[-1].passed:
        checks.extend(_golden(model))
    return checks


def run_program(folder: Path) -> Check:
    """``python infer.py`` runs alone, in another working directory, and reproduces the golden outputs."""
    with tempfile.TemporaryDirectory(prefix="slimline-verify-") as empty:
        command = [sys.executable, "-I", "-B", "-X", f"pycache_prefix={empty}", str(folder.resolve() / "infer.py")]
        try:
            done = subprocess.run(command, cwd=empty, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return Check("infer.py", False, f"python infer.py took more than {TIMEOUT_S} s")
    lines = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
    if done.returncode == 0 and lines[-1].startswith(REPRODUCED):
        return Check("infer.py", True, f"runs alone: {lines[-1]}")
    return Check("infer.py", False, f"python infer.py ended with code {done.returncode}: {lines[-1]}")


def _signature(model: Model) -> Check:
    """Names, types and sizes; the names of symbolic sizes may differ between versions of ONNX Runtime."""
    problems = []
    for kind, values in (("inputs", model.session.get_inputs()), ("outputs", model.session.get_outputs())):
        try:
            found = _comparable(describe(values))
        except Skipped as error:
            return Check("inputs and outputs", False, str(error))
        declared = _comparable(model.manifest[kind])
        if found != declared:
            problems.append(f"the manifest declares {kind} {declared}, the model has {found}")
    return from_problems("inputs and outputs", problems, "as the manifest declares them")


def _comparable(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[int | str]]]:
    return [
        (entry["name"], entry["dtype"], [size if isinstance(size, int) else "?" for size in entry["shape"]])
        for entry in entries
    ]


def _golden(model: Model) -> Iterator[Check]:
    from pipeline.bundle import infer

    golden = model.manifest["golden"]
    try:
        inputs, expected, _ = model.golden()
        found = model(inputs)
    except (infer.InputError, KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        yield Check("golden outputs", False, f"{golden['file']} doesn't fit the model: {error}")
        return
    problems, largest = infer.compare(expected, found, golden)
    allowed = f"largest relative difference {largest:.2g}, allowed {golden['relative_tolerance']:g}"
    if problems:
        problems.append(f"the rule: {golden['rule']}")
    yield from_problems("golden outputs", problems, f"reproduced on {golden['examples']} examples ({allowed})")
    yield from_problems(
        "preprocessing", _preprocessing(model, inputs), "infer.py turns raw values into the same numbers as slimline"
    )


def _preprocessing(model: Model, raw: Feed) -> list[str]:
    """Where the folder's ``infer.py`` prepares the golden inputs in another way than slimline does."""
    try:
        program = _import(model.folder / "infer.py")
        prepared = {entry["name"]: program.prepare(raw[entry["name"]], entry) for entry in model.inputs}
    except Exception as error:  # noqa: BLE001 - the folder's own program may raise anything
        return [f"infer.py can't prepare the golden inputs: {type(error).__name__}: {error}"]
    problems = []
    for entry in model.inputs:
        name, step = entry["name"], entry["preprocessing"]
        wanted = Preprocessing(**step)(raw[name]) if step else raw[name]
        if not np.allclose(prepared[name], wanted.astype(entry["dtype"]), rtol=1e-5, atol=1e-6):
            problems.append(f"infer.py prepares input '{name}' in another way than slimline")
    return problems


def _import(path: Path) -> ModuleType:
    """The program as a module, compiled from its source: a cached compilation beside it could be another program's."""
    module = ModuleType("bundle_infer")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module
