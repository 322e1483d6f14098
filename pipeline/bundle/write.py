"""Write ``deploy/<variant>/``: the recommended model with all that it takes to run it and to check it."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import ONNX_FILE, Artifact, file_digest, model_files
from pipeline.bundle import manifest as manifests
from pipeline.bundle.onnx_file import external_files, is_inside, tolerance
from pipeline.bundle.process import in_fresh_process
from pipeline.bundle.program import PROGRAM_FILE, write_program
from pipeline.bundle.readme import readme
from pipeline.bundle.session import describe, session_entry
from pipeline.bundle.verify import verify_bundle
from pipeline.data.dataset import Feed, Split
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import Skipped, VerificationFailed, WorkerFailed, reporting_disk
from pipeline.plan import Target
from pipeline.record import Record
from pipeline.results import Recommendation, Report

logger = logging.getLogger(__name__)

GOLDEN_EXAMPLES = 16
MOST_GOLDEN_EXAMPLES = 32
"""As many as the batch size, but no more than this: inputs may be large."""
OWN_FILES = (manifests.MANIFEST_FILE, manifests.GOLDEN_FILE, PROGRAM_FILE, "infer.py", "README.md", "requirements.txt")


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
) -> Path:
    """Write the recommended variant's deploy folder and return it; an older one at ``out`` is replaced.

    ``target`` is the recommended one, ``examples`` are raw (not preprocessed) test examples, of which the first few
    become the golden inputs. ``trained`` is the PyTorch model that the variant was made from, where stages have changed
    it: it is added as a program of torch.export, if torch can export it. The folder takes its name only after it has
    been verified. Raises Skipped where a bundle can't be made of the variant, VerificationFailed where what was written
    does not pass, OutOfSpace, and ValueError where the report has no such row.
    """
    if artifact.format != "onnx":
        raise Skipped(
            f"a deploy bundle holds an ONNX model, and '{recommendation.variant}' is recommended on target "
            f"'{target.name}' as a {artifact.format} model: for a bundle, recommend among ONNX Runtime's targets, "
            "such as target=[ort_cpu]"
        )
    session = session_entry(target)
    with _replacing(out) as folder:
        _copy_model(artifact, folder)
        shutil.copyfile(Path(__file__).with_name("infer.py"), folder / "infer.py")
        (folder / "requirements.txt").write_text(_requirements(record, target))
        golden = _golden_examples(examples, recommendation.batch_size)
        tried = in_fresh_process(
            try_out, folder, session, recommendation.batch_size, golden.inputs, _entries(preprocessing)
        )
        _write_golden(folder / manifests.GOLDEN_FILE, golden, tried.golden)
        program = trained is not None and _add_program(trained, folder)
        variant = next(variant for variant in record.variants if variant.name == recommendation.variant)
        manifest = manifests.plain(
            {
                "schema_version": manifests.SCHEMA_VERSION,
                "name": recommendation.variant,
                "created": record.created,
                "model": ONNX_FILE,
                **({"program": PROGRAM_FILE} if program else {}),
                "batch_size": tried.batch_size,
                "inputs": tried.inputs,
                "outputs": tried.outputs,
                "labels": _labels(class_names, next(iter(tried.golden.values()))),
                "session": session,
                "golden": _golden_entry(folder, golden),
                "measured": manifests.measured(report, record, recommendation),
                "constraints": report.constraints,
                "why": recommendation.why,
                "provenance": manifests.provenance(record, variant, artifact.digest),
            }
        )
        (folder / "README.md").write_text(readme(manifest), encoding="utf-8")
        manifest["files"] = {path.relative_to(folder).as_posix(): file_digest(path) for path in model_files(folder)}
        _write_manifest(folder, manifests.sealed(manifest))
        _prove(folder)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What running the bundle's model showed."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    batch_size: int
    golden: dict[str, NDArray[Any]]
    """The golden outputs [N, ...] by name."""


def try_out(
    folder: Path,
    session: Mapping[str, Any],
    batch_size: int,
    raw: Feed,
    preprocessing: Mapping[str, Mapping[str, Any] | None],
) -> Tried:
    """Load the model as ``infer.py`` does, and run the raw golden inputs through it.

    Raises Skipped where the model's inputs or outputs are none that ``infer.py`` can serve. Makes a session: call it in
    a process of its own.
    """
    from pipeline.bundle import infer

    try:
        loaded = infer.open_session(folder / ONNX_FILE, session)
        outputs = describe(loaded.get_outputs())
        inputs = [
            {**entry, "raw_dtype": str(raw[entry["name"]].dtype), "preprocessing": preprocessing.get(entry["name"])}
            for entry in describe(loaded.get_inputs())
        ]
        batch = infer.fixed_batch(inputs) or batch_size
        # All that Model reads; the whole manifest needs the outputs first.
        provisional = {"inputs": inputs, "labels": None, "model": ONNX_FILE, "session": session, "batch_size": batch}
        _write_manifest(folder, provisional)
        golden = infer.Model(folder)(raw)
    except infer.InputError as error:
        raise Skipped(f"a deploy bundle can't serve this model: {error}") from error
    finally:
        (folder / manifests.MANIFEST_FILE).unlink(missing_ok=True)
    return Tried(inputs=inputs, outputs=outputs, batch_size=batch, golden=golden)


def _copy_model(artifact: Artifact, folder: Path) -> None:
    """Copy the ONNX file and the files that its tensors are kept in; nothing else that lies beside them."""
    for name in (ONNX_FILE, *external_files(artifact.onnx_path)):
        if not is_inside(name) or name in OWN_FILES:
            raise VerificationFailed(f"{artifact.onnx_path} keeps tensors in '{name}', which a bundle can't hold")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.path / name, folder / name)


def _add_program(trained: Artifact, folder: Path) -> bool:
    try:
        in_fresh_process(write_program, trained, folder / PROGRAM_FILE)
    except (Skipped, WorkerFailed) as error:
        logger.info("the bundle has no %s: %s", PROGRAM_FILE, error)
        return False
    return True


def _golden_examples(examples: Split, batch_size: int) -> Split:
    return examples.take(0, min(max(GOLDEN_EXAMPLES, batch_size), MOST_GOLDEN_EXAMPLES))


def _golden_entry(folder: Path, golden: Split) -> dict[str, Any]:
    allowed = tolerance(folder / ONNX_FILE)
    return {
        "file": manifests.GOLDEN_FILE,
        "examples": len(golden),
        "relative_tolerance": allowed.relative,
        "agreement": allowed.agreement,
        "rule": allowed.rule,
    }


def _write_golden(path: Path, golden: Split, outputs: Mapping[str, NDArray[Any]]) -> None:
    arrays: dict[str, NDArray[Any]] = {f"input.{name}": array for name, array in golden.inputs.items()}
    arrays.update({f"output.{name}": array for name, array in outputs.items()})
    if golden.labels is not None:
        arrays["labels"] = golden.labels
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    (folder / manifests.MANIFEST_FILE).write_text(manifests.render(manifest), encoding="utf-8")


def _entries(preprocessing: Mapping[str, Preprocessing]) -> dict[str, dict[str, Any] | None]:
    """The manifest's preprocessing entry per input; None leaves raw values, and their type, as they are."""
    return {name: None if step.is_identity else step.to_dict() for name, step in preprocessing.items()}


def _labels(class_names: Sequence[str], scores: NDArray[Any]) -> list[str] | None:
    """The class names, where the first output holds a score for each."""
    fits = bool(class_names) and scores.ndim == 2 and scores.shape[1] == len(class_names)
    return list(class_names) if fits else None


def _requirements(record: Record, target: Target) -> str:
    """The exact versions that the figures were taken with."""
    libraries = record.machine.get("libraries", {})
    numpy = libraries.get("numpy") or np.__version__
    if target.device == "cuda":
        runtime = libraries.get("onnxruntime-gpu") or metadata.version("onnxruntime-gpu")
        return f"numpy=={numpy}\nonnxruntime-gpu[cuda,cudnn]=={runtime}\n"
    # Either distribution holds the CPU provider; the smaller one is enough to deploy on a CPU.
    runtime = libraries.get("onnxruntime") or libraries.get("onnxruntime-gpu") or metadata.version("onnxruntime")
    return f"numpy=={numpy}\nonnxruntime=={runtime}\n"


def _prove(folder: Path) -> None:
    failed = [check for check in verify_bundle(folder) if not check.passed]
    if failed:
        raise VerificationFailed(
            "\n".join(f"the bundle was not written: {check.name}: {check.detail}" for check in failed)
        )


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new folder that becomes ``out`` when the block ends well, and is removed when it doesn't."""
    folder = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.new")
    old = folder.with_suffix(".old")
    try:
        with reporting_disk(out):
            folder.mkdir(parents=True)
            yield folder
            if out.exists():
                out.replace(old)
            folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if old.exists() and not out.exists():
            old.replace(out)
        shutil.rmtree(old, ignore_errors=True)
