"""A model in OpenVINO's own format whose values can be looked at while OpenVINO runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pipeline.artifact import OPENVINO_FILE, Artifact
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.openvino_model import Compiled, read_model, ready
from pipeline.artifact.run import THREADS
from pipeline.data.batches import Axes
from pipeline.libraries.telemetry import without_telemetry
from pipeline.measure.map.cutting import GIVEN
from pipeline.measure.map.graph import Graph, Rounding
from pipeline.measure.map.openvino_graph import Port
from pipeline.measure.map.watching import Kinds, Session, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoModel:
    """A model in OpenVINO, on the CPU in float32. Its plugin may run rounded layers in integers."""

    artifact: Artifact
    graph: Graph
    ports: Mapping[str, Port]

    def watched(self, names: Iterable[str]) -> Session:
        """The model with these values as its only outputs."""
        model, made = read_model(self.artifact), list(dict.fromkeys(names))
        outputs = self._outputs(model)
        return self._loaded(model, made, [outputs[name] for name in made], ())

    def cut(self, kinds: Kinds) -> Session:
        """The model in which each place reads what is given to it."""
        model = read_model(self.artifact)
        outputs = self._outputs(model)
        made = [read for name in kinds if (read := self.graph.as_read(name)) not in self.graph.fed]
        given = [self._give(name, outputs) for name in kinds]
        return self._loaded(model, made, [outputs[name] for name in made], given)

    def _outputs(self, model: Any) -> dict[str, Any]:
        """OpenVINO's own objects for the values."""
        layers = {layer.get_friendly_name(): layer for layer in model.get_ops()}
        return {name: layers[layer].output(number) for name, (layer, number) in self.ports.items() if layer in layers}

    def _give(self, name: str, outputs: Mapping[str, Any]) -> Any:
        """A new input that is read in place of a value; only what rounds it reads it as before."""
        opset = without_telemetry("openvino").opset13
        output, rounding = outputs[name], self.graph.rounding(name)
        given = opset.parameter(output.get_partial_shape(), output.get_element_type(), name=GIVEN + name)
        given.output(0).get_tensor().set_names({GIVEN + name})
        for reader in list(_readers(output, self._rounder(rounding))):
            reader.replace_source_output(given.output(0))
        for restored in () if rounding is None else rounding.restored:
            for reader in list(_readers(outputs[restored], None)):
                reader.replace_source_output(given.output(0))
        return given

    def _rounder(self, rounding: Rounding | None) -> str | None:
        return None if rounding is None else self.graph.nodes[rounding.quantize].name

    def _loaded(self, model: Any, made: Sequence[str], outputs: Sequence[Any], given: Sequence[Any]) -> Session:
        openvino = without_telemetry("openvino")
        results = [openvino.opset13.result(output) for output in outputs]
        whole = openvino.Model(results, [*model.get_parameters(), *given], "watched")
        return _OpenVinoSession(self.artifact, made, ready(whole, OPENVINO_FILE, THREADS))


def _readers(output: Any, but: str | None) -> Iterator[Any]:
    """The inputs that read a value, but for those of one layer."""
    return (reader for reader in output.get_target_inputs() if reader.get_node().get_friendly_name() != but)


@dataclass(frozen=True, slots=True)
class _OpenVinoSession:
    artifact: Artifact
    made: Sequence[str]
    compiled: Compiled

    def fed(self, part: Values) -> dict[str, NDArray[Any]]:
        return {name: part[name] for name in self.compiled.inputs if name in part}

    def fixed_batch(self, axes: Axes) -> int | None:
        return fixed_batch_of(self.artifact, axes)

    def __call__(self, fed: Values) -> dict[str, NDArray[Any]]:
        return dict(zip(self.made, self.compiled(fed), strict=True))
