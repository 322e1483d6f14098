"""Does a bundle work on this machine? Its files must have been checked before.

This version's own program runs the bundle's model: call it in a process of its own, with limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifact import OPENVINO_WEIGHTS, onnx_file, openvino_file
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.derived import program
from pipeline.bundle.golden import check_golden_file, check_tolerance
from pipeline.bundle.papers import licence_files
from pipeline.bundle.sbom import PAPERS
from pipeline.bundle.session import precision_of
from pipeline.bundle.slimline_infer.values import by_example, printable
from pipeline.data.dataset import Feed
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import first_line

if TYPE_CHECKING:
    import onnx

    from pipeline.bundle.slimline_infer import Model


def check_onnx(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """Check an ONNX model without running it.

    The ONNX checker passes. The model reads only the manifest's files and runs no operator of a library's. The manifest
    allows no larger difference than the model's arithmetic calls for, and the golden examples are the manifest's.
    """
    import onnx
    from google.protobuf.message import DecodeError

    path = folder / manifest["model"]
    try:
        model = onnx_file.read_onnx(path)
    except DecodeError as error:
        return [Check("external data", False, f"{path.name} is not an ONNX model: {error}")]
    checks = [_external_data(model, manifest), _operators(model)]
    if not all(check.passed for check in checks):
        return checks
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        return [*checks, Check("ONNX checker", False, f"{path.name}: {printable(first_line(error))}")]
    ceiling = onnx_file.tolerance(model, precision_of(manifest["runtime"], manifest["session"]))
    checks.append(Check("ONNX checker", True, f"{path.name} is valid"))
    return [*checks, check_tolerance(manifest, ceiling), check_golden_file(folder, manifest)]


def check_openvino(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """Check a model in OpenVINO's own format in the same way: the graph is XML, and OpenVINO is not asked to read it.

    All operators are OpenVINO's own, and every constant lies within the file beside it.
    """
    path = folder / manifest["model"]
    if OPENVINO_WEIGHTS not in manifest["files"]:
        return [Check("graph", False, f"{OPENVINO_WEIGHTS} is not in the manifest")]
    try:
        graph = openvino_file.read_graph(path)
    except openvino_file.Unreadable as error:
        return [Check("graph", False, f"{path.name}: {error}")]
    problems = list(openvino_file.problems(graph, manifest["files"][OPENVINO_WEIGHTS]["bytes"]))
    checks = [from_problems("graph", problems, "OpenVINO's own operators, with constants within their file")]
    if problems:
        return checks
    precision = precision_of(manifest["runtime"], manifest["session"])
    ceiling = onnx_file.allowed(openvino_file.arithmetic(graph, precision))
    return [
        *checks,
        from_problems("use of files", _unused(manifest, [OPENVINO_WEIGHTS]), "every file has a use"),
        check_tolerance(manifest, ceiling),
        check_golden_file(folder, manifest),
    ]


def check_program_file(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """Check a model that only PyTorch can read, in the same way: nothing looks into the file."""
    ceiling = onnx_file.allowed(precision_of(manifest["runtime"], manifest["session"]))
    return [
        from_problems("use of files", _unused(manifest, []), "every file has a use"),
        check_tolerance(manifest, ceiling),
        check_golden_file(folder, manifest),
    ]


def run_model(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """Check that the runtime loads the model, that it has the manifest's inputs and outputs, and that it gives the
    golden outputs again."""
    from pipeline.bundle.slimline_infer import InputError, Model

    try:
        model = Model(folder)
    except InputError as error:
        return [Check("runtime", False, str(error))]
    checks = [Check("runtime", True, f"{model.runtime.NAME} loads {manifest['model']} with the manifest's options")]
    checks.append(_signature(model))
    if checks[-1].passed:
        checks.extend(_golden(model))
    return checks


def _external_data(model: onnx.ModelProto, manifest: Mapping[str, Any]) -> Check:
    """Each tensor lies in a file of the manifest, and each file has a use."""
    sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
    problems = [f"{manifest['model']}: {text}" for text in onnx_file.external_problems(model, sizes)]
    used = [onnx_file.spelled(name) for name in onnx_file.external_files(model)]
    problems += [] if problems else _unused(manifest, used)
    return from_problems("external data", problems, ", ".join(map(printable, used)) or "none")


def _unused(manifest: Mapping[str, Any], external: Sequence[str]) -> list[str]:
    """Files of the manifest that neither the model nor the program reads, and what is told of the model's size."""
    known = {manifest["model"], manifest.get("program"), manifest["golden"]["file"], *PAPERS, *licence_files(manifest)}
    used = {*known, *manifest.get("ort_format", {}).values(), *program(manifest["runtime"]), *external}
    problems = [
        f"{printable(name)} is in the manifest, and nothing reads it" for name in manifest["files"] if name not in used
    ]
    size = sum(manifest["files"][name]["bytes"] for name in {manifest["model"], *external})
    told = manifest["measured"]["size_bytes"]
    if told != size:
        problems.append(f"the manifest tells {told} bytes as the model's size, and its files have {size}")
    return problems


def _operators(model: onnx.ModelProto) -> Check:
    foreign = [f"{name} is an operator of another library" for name in onnx_file.foreign_operators(model)]
    return from_problems("operators", foreign, "ONNX's and ONNX Runtime's own, and functions of the model")


def _signature(model: Model) -> Check:
    """Names, types and sizes; the names of symbolic sizes may differ between versions of a runtime."""
    problems = []
    for kind, found in (("inputs", model.session.inputs), ("outputs", model.session.outputs)):
        if found is None:
            continue
        axes = {entry["name"]: entry.get("batch_axis", 0) for entry in model.manifest[kind]}
        declared = _comparable(model.manifest[kind])
        shown = _comparable([by_example(entry, axes.get(entry["name"], 0)) for entry in found])
        if shown != declared:
            problems.append(f"the manifest declares {kind} {printable(declared)}, the model has {printable(shown)}")
    return from_problems("inputs and outputs", problems, "as the manifest declares them")


def _comparable(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[int | str]]]:
    return [
        (entry["name"], entry["dtype"], [size if isinstance(size, int) else "?" for size in entry["shape"]])
        for entry in entries
    ]


def _golden(model: Model) -> Iterator[Check]:
    from pipeline.bundle.slimline_infer import InputError
    from pipeline.bundle.slimline_infer.compare import compare

    golden = model.manifest["golden"]
    inputs, expected, _ = model.golden()
    try:
        with np.errstate(all="ignore"):
            found = model(inputs)
    except (InputError, ValueError) as error:
        yield Check("golden outputs", False, f"the model can't run the golden inputs: {printable(first_line(error))}")
        return
    problems, largest = compare(expected, found, golden)
    difference = f"largest relative difference {largest:.2g}, allowed {golden['relative_tolerance']:g}"
    if problems:
        problems.append(f"the rule: {golden['rule']}")
    problems += [
        f"output '{printable(name)}' holds values that are not finite"
        for name, array in found.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]
    yield from_problems("golden outputs", problems, f"reproduced on {golden['examples']} examples ({difference})")
    yield from_problems("preprocessing", _preprocessing(model, inputs), "the program does what slimline does")


def _preprocessing(model: Model, raw: Feed) -> list[str]:
    """The problems where the program prepares the golden inputs in another way than slimline does."""
    from pipeline.bundle.slimline_infer.values import prepare

    problems = []
    for entry in model.inputs:
        name, step = entry["name"], entry["preprocessing"]
        with np.errstate(all="ignore"):
            wanted = Preprocessing(**step)(raw[name]) if step else raw[name]
            prepared = prepare(raw[name], entry)
        if not np.allclose(prepared, wanted.astype(entry["dtype"]), rtol=1e-5, atol=1e-6):
            problems.append(f"the program prepares input '{printable(name)}' in another way than slimline")
    return problems
