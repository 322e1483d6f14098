"""Imports an ONNX model: makes its graph clean, and shows that it computes what the file computes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.artifact.agreement import unlike
from pipeline.artifact.onnx_file import read_onnx, tolerance
from pipeline.artifact.onnx_graph import Shape, fixed_batch_of, opset, shape_of
from pipeline.artifact.onnx_rewriting import copied, repair
from pipeline.artifact.onnx_sizes import set_batch, set_free, set_ranks
from pipeline.artifact.proof import invalid
from pipeline.artifact.run import Outputs, run, session_of
from pipeline.data.batches import Feed, axes_of, batch_of
from pipeline.errors import StageFailed, UserError
from pipeline.importing.batch import Batches, only_batch
from pipeline.importing.clean import MENDS, OPSET, clean, lower_ir, raised
from pipeline.importing.declared import drop_shapes
from pipeline.importing.interface import adapt
from pipeline.importing.widen import widen_bfloat16

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

VERSION = 3
"""The version of the import: raise it when the same file gives another result."""
LIBRARIES = ("onnx", "onnxruntime", "onnxruntime-gpu")
"""The libraries that an import depends on."""
EXAMPLES = 16
Mend = Callable[["onnx.ModelProto"], str | None]


def import_onnx(folder: Path, feed: Feed) -> dict[str, list[str]]:
    """Make the model in ``folder`` clean, in place; returns the changes (``import``) and the oddities (``warnings``).

    Types that NumPy can't hold are changed first (``pipeline.importing.interface``). The graph is then mended
    (``pipeline.importing.clean``), and its opset raised where it is too old for the stages. Each result is run on the
    examples of ``feed`` and must give what the file gives, up to rounding; a change that does not is taken back. A
    batch that is written somewhere inside the graph is found by trying, and declared. Raises UserError, with the
    library's reason, where ONNX Runtime can't run the model.
    """
    import onnx

    importing = _Import(folder, feed)
    importing.carry_out(onnx.load(folder / ONNX_FILE, load_external_data=False))
    for warning in importing.warnings:
        logger.warning("the model: %s", warning)
    found = {"import": importing.done, "warnings": importing.warnings}
    return {name: notes for name, notes in found.items() if notes}


@dataclass(slots=True)
class _Import:
    """The folder of a model and what was said of it so far. Whatever is tried is written there and run from there."""

    folder: Path
    feed: Feed
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    original: str = "the file"
    """What the result is held against."""

    def carry_out(self, model: onnx.ModelProto) -> None:
        self._prepare(model)
        batches = self._find_batch(model)
        expected = self._outputs(model)
        if isinstance(expected, str):
            raise UserError(f"it does not run: {expected}")
        model = self._best(model, expected)
        self._declare_outputs(model, batches)
        self._check(model, batches)
        if self.done:
            self.done.append(f"it gives what {self.original} gives, up to rounding: compared on {self._count} examples")

    def _prepare(self, model: onnx.ModelProto) -> None:
        """Give the model an interface of arrays, and change what else ONNX Runtime needs changed to load it."""
        self.done += adapt(model)
        self.done += [
            f"input '{name}' has no declared shape: it has {self.feed[name].ndim} axes in the data"
            for name in set_ranks(model, {name: array.ndim for name, array in batch_of(self.feed, 1).items()})
        ]
        reason = self._unloadable(model)
        if reason is None:
            return
        for change in (lower_ir, widen_bfloat16, _repaired, lambda model: "; ".join(clean(model)) or None):
            note = change(model)
            if note is not None and self._unloadable(model) is None:
                self.warnings.append(f"the file can't be run as it is ({reason}), and so it can: {note}")
                self.original = "the file so changed"
                return
        raise UserError(f"it does not load: {reason}")

    def _find_batch(self, model: onnx.ModelProto) -> Batches:
        """Declare the only batch that the model takes, where it declares a free one."""
        declared = fixed_batch_of(self._artifact, axes_of(self.feed))
        found = only_batch(session_of(self._artifact), self.feed, model, declared, self._relative)
        self.warnings += found.remarks
        if found.size not in (None, declared):
            set_batch(model, found.size or 1, axes_of(self.feed))
            self.warnings.append(
                f"its batch is declared as free, and it takes {found.size} only: it is declared so now ({found.reason})"
            )
        return found

    def _best(self, model: onnx.ModelProto, expected: Outputs) -> onnx.ModelProto:
        """The model mended, and at an opset that the stages can use, as far as that gives the same."""
        mended = copied(model)
        notes = clean(mended)
        before = opset(mended)
        newer = self._raised(mended, expected) if 0 < before < OPSET else None
        if newer is not None:
            self.done += [*notes, f"its opset is {OPSET} now, it was {before}"]
            return newer
        if not notes or self._unlike(mended, expected) is None:
            self.done += notes
            return mended
        return self._mended_in_steps(model, expected)

    def _raised(self, model: onnx.ModelProto, expected: Outputs) -> onnx.ModelProto | None:
        from onnx.shape_inference import InferenceError

        try:
            newer = raised(model)
            reason = self._unlike(newer, expected)
        except (RuntimeError, ValueError, InferenceError) as error:  # what ONNX's converter raises
            reason = " ".join(str(error).split())
        if reason is None:
            return newer
        self.warnings.append(
            f"its opset stays {opset(model)}, and stages that need {OPSET} do without: raised, {reason}"
        )
        return None

    def _mended_in_steps(self, model: onnx.ModelProto, expected: Outputs) -> onnx.ModelProto:
        """The model with those mends that give the same."""
        for mend in MENDS:
            mended = copied(model)
            note = mend(mended)
            reason = self._unlike(mended, expected) if note else None
            if note and reason:
                self.warnings.append(f"{note}: left as the file has it, since otherwise {reason}")
            elif note:
                self.done.append(note)
                model = mended
        return model

    def _declare_outputs(self, model: onnx.ModelProto, found: Batches) -> None:
        """Declare the outputs' shapes, in place, as free where they are not those of what comes out."""
        for value, actual in zip(model.graph.output, found.shapes, strict=False):
            declared = shape_of(value)
            if declared is None or _contradicts(declared, actual):
                set_free(value, len(actual))
            if declared is not None and _contradicts(declared, actual):
                self.done.append(f"the file declares a wrong shape of '{value.name}'")
        self._write(model)

    def _check(self, model: onnx.ModelProto, found: Batches) -> None:
        """Hold the model against ONNX's own rules; without declared shapes where they are what breaks them."""
        reason = invalid(self._artifact)
        if reason is None:
            return
        bare = copied(model)
        drop_shapes(bare)
        for value, actual in zip(bare.graph.output, found.shapes, strict=False):
            set_free(value, len(actual))
        self._write(bare)
        if invalid(self._artifact) is None:
            self.done.append(f"declared shapes are left out: with them, {reason}")
            return
        self._write(model)
        self.warnings.append(f"ONNX Runtime runs the model, and ONNX's checker refuses it: {reason}")

    def _unloadable(self, model: onnx.ModelProto) -> str | None:
        self._write(model)
        try:
            session_of(self._artifact)
        except StageFailed as error:
            return str(error)
        return None

    def _outputs(self, model: onnx.ModelProto) -> Outputs | str:
        self._write(model)
        try:
            return run(self._artifact, self.feed)
        except StageFailed as error:
            return str(error)

    def _unlike(self, model: onnx.ModelProto, expected: Outputs) -> str | None:
        found = self._outputs(model)
        return found if isinstance(found, str) else unlike(expected, found, self._relative)

    def _write(self, model: onnx.ModelProto) -> None:
        self._path.write_bytes(model.SerializeToString())

    @property
    def _path(self) -> Path:
        return self.folder / ONNX_FILE

    @property
    def _artifact(self) -> Artifact:
        return Artifact(self.folder, "onnx", "")

    @property
    def _relative(self) -> float:
        """What rounding explains, by the types of the model."""
        return tolerance(read_onnx(self._path)).relative

    @property
    def _count(self) -> int:
        return len(next(iter(self.feed.values())))


def _repaired(model: onnx.ModelProto) -> str | None:
    try:
        return "; ".join(repair(model)) or None
    except StageFailed as error:  # what can't be repaired is the reason that the runtime gives already
        logger.info("%s", error)
        return None


def _contradicts(declared: Shape, actual: tuple[int, ...]) -> bool:
    """Whether a declared size is another than that of what came out."""
    if len(declared) != len(actual):
        return True
    return any(said not in (None, size) for said, size in zip(declared, actual, strict=True))
