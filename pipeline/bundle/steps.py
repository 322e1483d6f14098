"""The steps in which a bundle is verified, and the checks of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import OPENVINO_FILE
from pipeline.bundle import derived, keys, ort_format, papers, signature, trial
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.integrity import SIGNATURE_FILE, check_files, kind_of
from pipeline.bundle.process import run_program
from pipeline.bundle.session import refused_options
from pipeline.errors import WorkerFailed
from pipeline.isolated import Limits, run
from pipeline.isolated.run import Starter, fresh
from pipeline.isolated.template import Template

TIMEOUT_S = 60.0
MEMORY_GB = 4.0
_MEMORY_PER_BYTE = 6
_GIGABYTE = 10**9
_REPRODUCED = "golden outputs reproduced"
_IN_ONNX = ("external data", "operators", "ONNX checker", "tolerance", "golden examples")
_IN_OPENVINO = ("graph", "use of files", "tolerance", "golden examples")
_IN_A_SESSION = ("runtime", "inputs and outputs", "golden outputs", "preprocessing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of a verification, and what starts its processes."""

    timeout_s: float = TIMEOUT_S
    """The longest time that each step may take."""
    memory_gb: float = MEMORY_GB
    """The most memory that each step may hold, beside a few times the size of the bundle."""
    run_infer: bool = False
    """Whether to run what the bundle brings: its infer.py, and the model of a PyTorch bundle."""
    run_model: bool = True
    """Whether to run the model; a package's variant for a GPU is not run where there is none."""
    start: Starter = fresh
    """Starts the process of each step that has one of its own."""
    key: Path | None = None
    """The public key that checks the signature; None: it is not checked."""
    require_signature: bool = False
    """Whether a bundle without a signature that was checked is refused."""
    more: tuple[Step, ...] = ()
    """Steps that come last, such as those that judge and time the model on this machine. None relies on another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Checks that are done together; each of the names must come out as passed."""

    names: tuple[str, ...]
    run: Callable[[Path, Mapping[str, Any], Options], list[Check]]


def processes(runtime: str = "onnxruntime") -> Template:
    """Starts the processes in which a bundle's model is read and run; those of another runtime import it themselves."""
    return Template((runtime, "onnx", trial.__name__))


def steps(manifest: Mapping[str, Any], options: Options) -> Iterator[Step]:
    """The steps for a bundle with this manifest, in order: each relies on the ones before it."""
    yield Step(names=("files present", "no other files", "files unchanged"), run=_files)
    yield Step(names=("program", "session"), run=_derived)
    yield Step(names=papers.CHECKS, run=_papers)
    if manifest["runtime"] == "torch":
        yield Step(names=("use of files", "tolerance", "golden examples"), run=_apart(trial.check_program_file))
    elif manifest["model"] == OPENVINO_FILE:
        yield Step(names=_IN_OPENVINO, run=_apart(trial.check_openvino))
    else:
        yield Step(names=_IN_ONNX, run=_apart(trial.check_onnx))
    if "program" in manifest and not options.run_infer:
        yield Step(names=(manifest["program"],), run=_program_unread)
    if manifest["runtime"] == "torch" and not options.run_infer:
        yield Step(names=("runtime",), run=_not_loaded)
    elif options.run_model:
        yield Step(names=_IN_A_SESSION, run=_apart(trial.run_model))
    if "ort_format" in manifest and options.run_model:
        yield Step(names=tuple(ort_format.ENTRY.values()), run=_apart(ort_format.check_ort))
    if options.run_infer:
        yield Step(names=("infer.py",), run=run_infer)


def signature_checks(folder: Path, options: Options) -> list[Check]:
    """The check of the signature, which comes first; none for a bundle without one that need not have one.

    Raises UserError for a key that can't check signatures.
    """
    if options.key is not None:
        keys.require_extra()
        keys.check_public_key(options.key)
        key = options.key
        limits = limits_of({"files": {}}, options)
        step = Step(
            names=(signature.NAME,),
            run=lambda *_: run(signature.check_signature, folder, key, limits=limits, start=options.start),
        )
        return done(step, folder, {}, options)
    if kind_of(folder / SIGNATURE_FILE) == "missing":
        return [Check(signature.NAME, False, signature.UNSIGNED)] if options.require_signature else []
    return [Check(signature.NAME, not options.require_signature, signature.UNCHECKED, done=False)]


def done(step: Step, folder: Path, manifest: Mapping[str, Any], options: Options) -> list[Check]:
    """The step's checks, and a failed one for each check that was not done although none has failed."""
    try:
        checks = step.run(folder, manifest, options)
    except WorkerFailed as error:
        return [Check(step.names[0], False, str(error))]
    if not all(check.passed for check in checks):
        return checks
    done = {check.name for check in checks}
    return [*checks, *(Check(name, False, "this check was not done") for name in step.names if name not in done)]


def _files(folder: Path, manifest: Mapping[str, Any], options: Options) -> list[Check]:
    return check_files(folder, manifest, options.timeout_s)


def _derived(folder: Path, manifest: Mapping[str, Any], _: Options) -> list[Check]:
    """What this version writes by itself, beside what lies there."""
    program = derived.program(manifest["runtime"])
    others = [
        name
        for name, content in program.items()
        if name not in manifest["files"] or (folder / name).read_bytes() != content
    ]
    changed = derived.other_program(manifest, others)
    refused = [
        f"{option} may name a file, a library or an address"
        for option in refused_options(manifest["runtime"], manifest["session"])
    ]
    if manifest["sha256"] != manifest["files"].get(manifest["model"], {}).get("sha256"):
        changed.append(f"the manifest's sha256 is not that of {manifest['model']}")
    return [
        from_problems("program", changed, f"infer.py, serve.py and {derived.PARTS} are what this slimline writes"),
        from_problems("session", refused, "its options name no file and no library"),
    ]


def _papers(folder: Path, manifest: Mapping[str, Any], _: Options) -> list[Check]:
    return papers.check_papers(folder, manifest)


def _apart(
    function: Callable[[Path, Mapping[str, Any]], list[Check]],
) -> Callable[[Path, Mapping[str, Any], Options], list[Check]]:
    """The function, in a process of its own with limits."""

    def called(folder: Path, manifest: Mapping[str, Any], options: Options) -> list[Check]:
        return run(function, folder, manifest, limits=limits_of(manifest, options), start=options.start)

    return called


def limits_of(manifest: Mapping[str, Any], options: Options) -> Limits:
    """The limits of a process that reads or runs the bundle's model."""
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    return Limits(
        seconds=options.timeout_s,
        memory_bytes=int(options.memory_gb * _GIGABYTE) + _MEMORY_PER_BYTE * size,
        seconds_advice="--timeout SECONDS allows more",
        memory_advice="--memory-gb GIGABYTES allows more",
    )


def _program_unread(_: Path, manifest: Mapping[str, Any], __: Options) -> list[Check]:
    name = manifest["program"]
    return [Check(name, True, "it has the manifest's sha256; it is not loaded, which would run what it holds")]


def _not_loaded(folder: Path, manifest: Mapping[str, Any], _: Options) -> list[Check]:
    return [
        Check(
            "runtime",
            False,
            f"{manifest['model']} was not loaded and its golden outputs not compared, since loading it runs what it "
            f"holds: if you trust where it comes from, type: python -m pipeline verify {folder} --run-infer",
        )
    ]


def run_infer(folder: Path, manifest: Mapping[str, Any], options: Options) -> list[Check]:
    """Check that ``python infer.py`` runs by itself, in another working directory, and reproduces the golden
    outputs."""
    program = folder.resolve() / "infer.py"
    # It writes no compilations (-B), and finds none: the first step refuses those in the folder.
    command = [sys.executable, "-I", "-B", str(program)]
    ended = run_program(command, Path(program.anchor), limits_of(manifest, options))
    if ended.succeeded and ended.last_words.startswith(_REPRODUCED):
        return [Check("infer.py", True, f"runs alone: {ended.last_words}")]
    return [Check("infer.py", False, f"python infer.py {ended.how}: {ended.last_words}")]
