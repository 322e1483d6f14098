"""OpenVINO's own format as a runtime of slimline's: what NNCF writes is timed by the same code as everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.backends.openvino import OpenVino
from pipeline.backends.openvino.backend import OpenVinoSession, properties
from pipeline.plan import Session, Target

IR_FILE = "model.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoIr:
    """Runs ``model.xml`` (and ``model.bin``) of an artifact's folder, with the properties that ONNX files run with.

    Slimline's stages make no such artifact, so ``runs`` says ONNX: the folder is all that is read of it.
    """

    name: ClassVar[str] = "openvino"
    runs: ClassVar[Format] = "onnx"
    forkable: ClassVar[bool] = False

    def check(self, target: Target) -> None:
        """As for ONNX files."""
        OpenVino().check(target)

    def preload(self, target: Target) -> None:
        """Import openvino."""
        OpenVino().preload(target)

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Compile the model for the CPU."""
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(core.read_model(str(artifact.path / IR_FILE)), "CPU", properties(target))
        return OpenVinoSession(compiled.create_infer_request(), list(compiled.outputs))
