"""What static quantization starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.stages.graphs.gentler import Way
from pipeline.stages.quantization.calibration import Ranges
from pipeline.stages.quantization.choice import Choice
from pipeline.stages.quantization.examples import Examples

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A model that is ready to be quantized, as a whole or in parts."""

    source: Artifact
    """The model that is to be quantized."""
    path: Path
    """The same in the form that quantizers want."""
    model: onnx.ModelProto
    """What ``path`` has, read."""
    ranges: Ranges
    examples: Examples
    choice: Choice
    way: Way = field(default_factory=Way)
    """The way in which the library is called."""
