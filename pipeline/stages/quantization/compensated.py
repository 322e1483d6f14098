"""Writes a statically quantized model whose layers make up for what rounding takes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.artifact.proof import drift
from pipeline.artifact.run import run
from pipeline.errors import first_line
from pipeline.plan import Context
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.biases import biased, shift
from pipeline.stages.quantization.calibrated import Calibrated
from pipeline.stages.quantization.observing import Observing

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

QuantizedFormat = Literal["qdq", "qoperator"]
Writing = Callable[[Path, QuantizedFormat, Path], "onnx.ModelProto"]
"""Quantizes the prepared model of a file in a format, writes it into a folder and returns it."""
_FOR_BIASES = 32
_FOR_WEIGHTS = 64
"""How many calibration examples the layers are solved on, from the first on."""
_JUDGING = 64
"""How many calibration examples, the last ones, tell whether the outputs have come nearer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for."""

    format: QuantizedFormat
    solves_weights: bool
    limits: tuple[int, int]
    """The integers that a weight may become."""


def compensated(
    calibrated: Calibrated, plain: onnx.ModelProto, out: Path, write: Writing, settings: Settings, context: Context
) -> onnx.ModelProto:
    """Write the model with other biases, and other integers for weights, over the ``plain`` one in ``out``, and return
    it; returns the plain one, and leaves it there, where the outputs come no nearer to the source's, or where it can't
    be done."""
    if is_large(calibrated.source):
        context.note("compensation", "none: the model is too large to be looked into layer by layer")
        return plain
    work = context.work / "compensated"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        made = _made(calibrated, plain, work, write, settings, context)
        feed = calibrated.examples.last(_JUDGING)
        expected = run(calibrated.source, feed)
        before, after = (drift(expected, run(Artifact(folder, "onnx", ""), feed))["sqnr_db"] for folder in (out, work))
    except Exception as error:  # the libraries raise what they like, and the plain model is there
        logger.info("no compensation", exc_info=True)
        context.note("compensation", f"none: {first_line(error)}")
        return plain
    context.note("sqnr_db", {"without_compensation": before, "with_it": after})
    if before is None or (after is not None and after <= before):
        return plain
    shutil.copytree(work, out, dirs_exist_ok=True)
    return made


def _made(
    calibrated: Calibrated, plain: onnx.ModelProto, work: Path, write: Writing, settings: Settings, context: Context
) -> onnx.ModelProto:
    import onnx

    from pipeline.stages.quantization.compensation import Compensation

    quantized = onnx.ModelProto()
    # What there is to make up for does not depend on how the quantized model is written.
    quantized.CopyFrom(plain if settings.format == "qdq" else write(calibrated.path, "qdq", work))
    places, alone = biased(calibrated.model)
    observing = Observing(
        examples=calibrated.examples.first(_FOR_WEIGHTS if settings.solves_weights else _FOR_BIASES),
        size=calibrated.ranges.size,
        filled=calibrated.ranges.filled,
        folder=context.work,
        large=False,
    )
    found = Compensation(
        model=onnx.load(calibrated.path),
        quantized=quantized,
        observing=observing,
        limits=settings.limits,
        weights=settings.solves_weights,
    ).run(places, context.progress)
    model = onnx.load(calibrated.path)
    shift(model, found.shifts)
    shifted = calibrated.path.with_name("shifted.onnx")
    onnx.save(model, shifted)
    made = write(shifted, settings.format, work)
    for tensor in made.graph.initializer:
        if tensor.name in found.integers:
            tensor.CopyFrom(onnx.numpy_helper.from_array(found.integers[tensor.name], tensor.name))
    onnx.save(made, work / ONNX_FILE)
    context.note("corrected_biases", len(found.shifts))
    context.note("solved_weights", len(found.integers))
    if alone:
        context.note("left_alone", alone)
    return made
