"""Writes ``deploy/<variant>/``: the recommended model with everything that it takes to run it and to check it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import ONNX_FILE, OPENVINO_FILE, OPENVINO_WEIGHTS, Artifact, entries_of_files, file_digest
from pipeline.artifact.onnx_file import (
    Tolerance,
    allowed,
    external_files,
    is_inside,
    read_onnx,
    spelled,
    tolerance,
)
from pipeline.artifact.openvino_file import arithmetic, read_graph
from pipeline.bundle import derived, golden, licences, papers
from pipeline.bundle import manifest as manifests
from pipeline.bundle.licences import Licence
from pipeline.bundle.ort_format import ENTRY as ORT_ENTRY
from pipeline.bundle.ort_format import OPERATORS_FILE, ORT_FILE, write_ort
from pipeline.bundle.pictures import recipe
from pipeline.bundle.program import PROGRAM_FILE, signature, write_program
from pipeline.bundle.sbom import PAPERS
from pipeline.bundle.session import precision_of, runtime_of, session_entry
from pipeline.bundle.slimline_infer.values import value_range
from pipeline.bundle.steps import Options, processes
from pipeline.bundle.sums import SUMS_FILE
from pipeline.bundle.try_out import Tried, try_out
from pipeline.bundle.verify import checks_of
from pipeline.data.batches import Axes
from pipeline.data.dataset import Dataset, Feed, Split
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import Skipped, VerificationFailed, WorkerFailed
from pipeline.folders.writing import whole_folder
from pipeline.isolated import Limits, run
from pipeline.isolated.run import Starter
from pipeline.plan import Metric, Target
from pipeline.results.record import Record
from pipeline.results.report import Recommendation, Report

logger = logging.getLogger(__name__)

PATIENCE_S = 1800.0
"""The longest time of a step while a bundle is written: the model is the user's own."""
MEMORY_GB = 1024.0
_PATIENT = Limits(seconds=PATIENCE_S)
OWN_FILES = (
    *(manifests.MANIFEST_FILE, manifests.GOLDEN_FILE, PROGRAM_FILE, derived.PROGRAM, derived.SERVER),
    *(*PAPERS, SUMS_FILE, ORT_FILE, OPERATORS_FILE),
)
OWN_FOLDERS = (derived.PARTS, licences.FOLDER)


def write_bundle(
    out: Path,
    *,
    artifact: Artifact,
    target: Target,
    report: Report,
    record: Record,
    recommendation: Recommendation,
    preprocessing: Mapping[str, Preprocessing],
    class_names: Sequence[str],
    examples: Split,
    trained: Artifact | None = None,
    data: Dataset | None = None,
    output_axes: Axes | None = None,
    metric: Metric | None = None,
    known_licences: Mapping[str, Licence] | None = None,
    wheels: Path | None = None,
    ort_format: bool = False,
) -> Path:
    """Write the recommended variant's deploy folder and return it; an older one at ``out`` is replaced.

    ``target`` is the recommended target and ``artifact`` the model that was timed on it; ``examples`` are raw (not
    preprocessed) test examples, of which the first few become the golden inputs. ``trained`` is the PyTorch model that
    an ONNX variant was made from, where stages have changed it: it is added as a program of torch.export, if torch can
    export it. ``data`` tells how images were read, ``metric`` where the scores are, ``output_axes`` where outputs have
    the examples, by name (else first). ``known_licences`` are those of the model and the data, ``wheels`` is a folder
    with the wheels whose digests ``requirements.txt`` holds then. ``ort_format`` adds the model in ONNX Runtime's own
    format. The folder takes its name only after it has been verified. Raises Skipped where a bundle can't be made of
    the variant, VerificationFailed where what was written does not pass, OutOfSpace, UserError where ``wheels`` lacks
    one, and ValueError where the report has no such row.
    """
    runtime, session = runtime_of(target), session_entry(target)
    measured = manifests.measured(report, record, recommendation)
    variant = next(variant for variant in record.variants if variant.name == recommendation.variant)
    chosen = golden.choose(examples, recommendation.batch_size)
    with whole_folder(out) as folder, processes(runtime) as start:
        for name, content in derived.program(runtime).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        model = _add_model(artifact, folder, runtime, session, start)
        asked = {"runtime": runtime, "model": model.name, "session": session, "batch_size": recommendation.batch_size}
        told = {**asked, "inputs": model.inputs, "outputs": model.outputs, "output_axes": dict(output_axes or {})}
        tried = _tried(folder, told, chosen.arrays, preprocessing, start)
        golden.write(folder / manifests.GOLDEN_FILE, chosen, tried.golden)
        if ort_format:
            _add_ort(folder, runtime, model.name, start)
        program = runtime != "torch" and trained is not None and _add_program(trained, folder, start)
        manifest = manifests.plain(
            {
                "schema_version": manifests.SCHEMA_VERSION,
                "slimline": manifests.maker(record),
                "name": recommendation.variant,
                "created": record.created,
                **asked,
                "sha256": file_digest(folder / model.name),
                **({"program": PROGRAM_FILE} if program else {}),
                **({"ort_format": ORT_ENTRY} if ort_format else {}),
                "batch_size": tried.batch_size,
                "inputs": [_described(entry, chosen, data) for entry in tried.inputs],
                "outputs": tried.outputs,
                "scores": (scores := golden.scores(metric, tried.golden)),
                "labels": golden.labels(class_names, scores, tried.golden),
                "golden": golden.entry(len(chosen), model.tolerance),
                "measured": {**measured, "size_bytes": _size(folder, model)},
                "constraints": asdict(report.constraints),
                "why": recommendation.why,
                "provenance": manifests.provenance(record, variant, artifact.digest),
            }
        )
        own = papers.Papers.of(manifest, known_licences or {}, wheels)
        manifest |= manifests.plain(own.entries)
        own.write(folder, manifest, entries_of_files(folder))
        sealed = manifests.sealed({**manifest, "files": entries_of_files(folder)})
        (folder / manifests.MANIFEST_FILE).write_text(manifests.render(sealed), encoding="utf-8")
        papers.write_sums(folder, sealed)
        _prove(folder, start)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model's files in the bundle, and what is known of the model without running it."""

    name: str
    external: tuple[str, ...] = ()
    tolerance: Tolerance
    inputs: tuple[dict[str, Any], ...] = ()
    """The inputs as the manifest describes them; empty where the runtime reports them."""
    outputs: tuple[dict[str, Any], ...] = ()


def _add_model(artifact: Artifact, folder: Path, runtime: str, session: Mapping[str, Any], start: Starter) -> Model:
    precision = precision_of(runtime, session)
    if runtime == "torch":
        _write_program(artifact, folder / PROGRAM_FILE, session["dtype"], start)
        inputs, outputs = signature(artifact)
        return Model(name=PROGRAM_FILE, tolerance=allowed(precision), inputs=inputs, outputs=outputs)
    if artifact.format == "openvino":
        for name in (OPENVINO_FILE, OPENVINO_WEIGHTS):
            _copy(artifact, name, folder)
        ceiling = allowed(arithmetic(read_graph(artifact.openvino_path), precision))
        return Model(name=OPENVINO_FILE, external=(OPENVINO_WEIGHTS,), tolerance=ceiling)
    onnx_model = read_onnx(artifact.onnx_path)
    external = tuple(map(spelled, external_files(onnx_model)))
    for name in (ONNX_FILE, *external):
        _copy(artifact, name, folder)
    return Model(name=ONNX_FILE, external=external, tolerance=tolerance(onnx_model, precision))


def _copy(artifact: Artifact, name: str, folder: Path) -> None:
    """A file of the artifact, where the bundle may hold one by that name."""
    if not is_inside(name) or name in OWN_FILES or Path(name).parts[0] in OWN_FOLDERS:
        raise VerificationFailed(f"the model keeps tensors in '{name}', which a bundle can't hold")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(artifact.path / name, folder / name)


def _write_program(source: Artifact, out: Path, dtype: str | None, start: Starter) -> None:
    try:
        run(write_program, source, out, dtype, limits=_PATIENT, start=start)
    except (Skipped, WorkerFailed) as error:
        raise Skipped(
            f"a deploy bundle of a PyTorch model holds a program of torch.export, and {error}: for a bundle, recommend "
            "among the targets that run ONNX models, such as target=[ort_cpu]"
        ) from error


def _add_ort(folder: Path, runtime: str, model: str, start: Starter) -> None:
    if runtime != "onnxruntime" or model != ONNX_FILE:
        raise Skipped(
            f"{ORT_FILE} is made of an ONNX model for ONNX Runtime, and this bundle has {model} for {runtime}"
        )
    try:
        run(write_ort, folder, limits=_PATIENT, start=start)
    except WorkerFailed as error:
        raise Skipped(f"ONNX Runtime can't convert the model to {ORT_FILE}: {error}") from error


def _add_program(trained: Artifact, folder: Path, start: Starter) -> bool:
    try:
        run(write_program, trained, folder / PROGRAM_FILE, limits=_PATIENT, start=start)
    except (Skipped, WorkerFailed) as error:
        logger.info("the bundle has no %s: %s", PROGRAM_FILE, error)
        return False
    return True


def _tried(
    folder: Path, asked: Mapping[str, Any], raw: Feed, preprocessing: Mapping[str, Preprocessing], start: Starter
) -> Tried:
    steps = {name: None if step.is_identity else step.to_dict() for name, step in preprocessing.items()}
    try:
        return run(try_out, folder, asked, raw, steps, limits=_PATIENT, start=start)
    except WorkerFailed as error:
        raise Skipped(f"the model gave no golden outputs: {error}") from error


def _described(entry: Mapping[str, Any], chosen: Split, data: Dataset | None) -> dict[str, Any]:
    """A manifest's input, with what the golden examples show of it."""
    raw = chosen.arrays[entry["name"]]
    picture = recipe(entry["name"], raw, data) if len(chosen.inputs) == 1 else None
    return {**entry, "range": value_range(raw), "image": picture}


def _size(folder: Path, model: Model) -> int:
    return sum((folder / name).stat().st_size for name in (model.name, *model.external))


def _prove(folder: Path, start: Starter) -> None:
    options = Options(timeout_s=PATIENCE_S, memory_gb=MEMORY_GB, run_infer=True, start=start)
    failed = [check for check in checks_of(folder, options) if not check.passed]
    if failed:
        raise VerificationFailed(
            "\n".join(f"the bundle was not written: {check.name}: {check.detail}" for check in failed)
        )
