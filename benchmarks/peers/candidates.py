"""What is compared: slimline's variants of a run, and the models that a peer's script made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.analyse import analyse
from pipeline.artifact import OPENVINO_FILE, Artifact, folder_digest
from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.openvino import OpenVino
from pipeline.errors import BackendUnavailable, UserError
from pipeline.plan import BASELINE, Backend, Target
from pipeline.results.header import TargetRecord
from pipeline.results.reading import load_record
from pipeline.results.record import Record, VariantRecord, subject_key

SLIMLINE = "slimline"
BATCH = 1
ORT = Target(name="ort_cpu", backend=OnnxRuntime())
_BF16 = "openvino_cpu_bf16"
_OPENVINO = tuple(
    Target(name=name, backend=OpenVino(), session={"precision": precision})
    for name, precision in (("openvino_cpu", "f32"), (_BF16, "bf16"))
)
TARGETS = {"onnxruntime": (ORT,), "openvino": _OPENVINO, "openvino_ir": _OPENVINO}
"""By the runtime that a peer's list names; one thread each."""
_BACKENDS: Mapping[str, Backend] = {backend.name: backend for backend in (OnnxRuntime(), OpenVino())}
_RUN_BY = {"onnx": ("onnxruntime", "openvino"), "openvino": ("openvino",)}
"""The runtimes that run a variant of slimline's, by its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model of a tool on a target."""

    tool: str
    name: str
    artifact: Artifact
    target: Target
    made_s: float | None = None
    """How long the tool took to make it; None for what is not timed."""

    @property
    def key(self) -> str:
        """Such as ``slimline.static_int8@ort_cpu/1``."""
        return subject_key(f"{self.tool}.{self.name}", self.target.name, BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What a tool could not make, or what could not be run, and why."""

    tool: str
    name: str
    reason: str


def read_run(run: Path) -> tuple[Artifact, list[Candidate]]:
    """The baseline, and every variant that the run timed on the CPU, on every runtime that this machine has; of a
    search's run only its answer, on the answer's own target.

    The baseline on ONNX Runtime, which all are compared with, is no candidate.
    """
    record = load_record(run / "samples")
    if record.search is not None:
        return _read_search(run, record)
    timed = {row.variant for row in record.subjects if row.status == "ok" and row.device == "cpu"}
    found: list[Candidate] = []
    baseline: Artifact | None = None
    for variant in record.variants:
        if variant.name not in timed or variant.format not in _RUN_BY:
            continue
        artifact = _artifact(artifact_folder(variant, run))
        baseline = artifact if variant.name == BASELINE else baseline
        seconds = sum(stage.seconds for stage in variant.stages)
        found.extend(
            Candidate(tool=SLIMLINE, name=variant.name, artifact=artifact, target=target, made_s=seconds)
            for target in available(_RUN_BY[artifact.format])
            if (variant.name, target) != (BASELINE, ORT)
        )
    if baseline is None:
        raise UserError(f"{run}: no baseline was timed on the CPU there")
    return baseline, found


def _read_search(run: Path, record: Record) -> tuple[Artifact, list[Candidate]]:
    """The baseline, and what the run recommends.

    Raises UserError where it recommends nothing, or what is not timed here.
    """
    report = analyse(record)
    chosen = report.recommendation
    if chosen is None:
        raise UserError(f"{run}: its search recommends nothing: {report.why_none}")
    variants = {variant.name: variant for variant in record.variants}
    target = _target(run, chosen.target, record.targets[chosen.target])
    variant = variants[chosen.variant]
    answer = Candidate(
        tool=SLIMLINE,
        name=variant.name,
        artifact=_artifact(artifact_folder(variant, run)),
        target=target,
        made_s=record.search.seconds if record.search is not None else None,
    )
    own = (variant.name, target.name) == (BASELINE, ORT.name)
    return _artifact(artifact_folder(variants[BASELINE], run)), [] if own else [answer]


def _target(run: Path, name: str, recorded: TargetRecord) -> Target:
    """A recorded target; raises UserError for one that is not compared here."""
    backend = _BACKENDS.get(recorded.backend)
    if backend is None or recorded.device != "cpu" or recorded.threads != 1:
        where = f"{recorded.backend}, {recorded.device}, threads={recorded.threads}"
        raise UserError(
            f"{run}: its answer runs on {name} ({where}), and only {' and '.join(_BACKENDS)} are compared here, on one "
            "thread of the CPU: search with such targets"
        )
    return Target(name=name, backend=backend, session=dict(recorded.session))


def artifact_folder(variant: VariantRecord, run: Path) -> Path:
    """Where a variant's model lies: as recorded, from here or from where the run was started."""
    if variant.path is None:
        raise UserError(f"{run}: {variant.name} was not built: {variant.reason}")
    places = [Path(variant.path), *(parent / variant.path for parent in run.resolve().parents)]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(f"{run}: {variant.path} of {variant.name} is gone; run it again, and then compare")
    return folder


def read_made(file: Path) -> tuple[list[Candidate], list[Failed]]:
    """What a peer's script wrote: ``made.json``, with the models beside it."""
    try:
        plain = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read: give the made.json of a peer's script ({error})") from error
    found: list[Candidate] = []
    failed: list[Failed] = []
    for model in plain["models"]:
        if model["error"] is not None:
            failed.extend(
                Failed(tool=tool, name=model["name"], reason=model["error"]) for tool in model["runs"].values()
            )
            continue
        artifact = _artifact(file.parent / model["name"])
        found.extend(
            Candidate(tool=tool, name=model["name"], artifact=artifact, target=target, made_s=model["seconds"])
            for runtime, tool in model["runs"].items()
            for target in available((runtime,))
        )
    return found, failed


def available(runtimes: Sequence[str]) -> list[Target]:
    """The targets of some runtimes that this machine has."""
    found = []
    for runtime in runtimes:
        for target in TARGETS[runtime]:
            try:
                target.backend.check(target)
            except BackendUnavailable:
                if target.name == _BF16:
                    continue
                raise
            found.append(target)
    return found


def _artifact(folder: Path) -> Artifact:
    return Artifact(folder, "openvino" if (folder / OPENVINO_FILE).exists() else "onnx", folder_digest(folder))
