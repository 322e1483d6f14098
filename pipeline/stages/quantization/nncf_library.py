"""Around calls of NNCF: quiet, without PyTorch, and with the calibration examples in the form that it reads."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_graph import fed_inputs
from pipeline.errors import StageFailed
from pipeline.libraries.hidden import hidden
from pipeline.libraries.telemetry import without_telemetry
from pipeline.stages.graphs.library import library_call
from pipeline.stages.quantization.examples import Examples

if TYPE_CHECKING:
    import onnx

_LOGGER = "nncf"
_WITHOUT_BIAS = "/WithoutBiases"
"""The end of the name that OpenVINO gives to a product whose bias it adds in an operator of its own."""
_NUMBERED = re.compile(r"[A-Za-z]\w*_[0-9]+")
_RECURRENT = ("GRU", "LSTM", "RNN")
_IF = "If"
_SHARE = 0.9
"""The share of the work that passes over the examples are taken for."""


@contextmanager
def nncf_call(work: Path) -> Iterator[Any]:
    """Call NNCF, which this gives, within the block.

    Its progress bars go nowhere, its warnings to our log, its temporary files to ``work``. It would import PyTorch
    where that is installed, though ONNX and OpenVINO models don't need it: that takes a second and 250 MB.
    """
    kind = logging.getLoggerClass()
    with hidden("torch"), library_call(work), warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            nncf = without_telemetry("nncf")
        finally:
            logging.setLoggerClass(kind)  # it makes all loggers to come its own
        logger = logging.getLogger(_LOGGER)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
        yield nncf


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """Calibration examples as a model reads them, one call's at a time; each of NNCF's passes begins anew."""

    examples: Examples
    size: int
    """How many examples a call takes: one, or the batch that the model fixes."""
    kinds: dict[str, np.dtype[Any]]
    """The type of each input, by its name."""
    progress: Callable[[float, str], None]

    def __len__(self) -> int:
        return -(-len(self.examples) // self.size)

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        for place in range(len(self)):
            self.progress(_SHARE * place / len(self), "calibrating")
            feed = self.examples.batch(place * self.size, self.size, self.size)
            yield {name: feed[name].astype(kind, copy=False) for name, kind in self.kinds.items()}


@contextmanager
def reaching_branches(nncf: Any, model: onnx.ModelProto) -> Iterator[None]:
    """Raise StageFailed, with the names of the If nodes, where NNCF has no example for one of their branches: it
    calibrates each on the examples that take it."""
    try:
        yield
    except nncf.ValidationError as error:
        names = ", ".join(f"'{node.name}'" for node in model.graph.node if node.op_type == _IF)
        if not names:
            raise
        raise StageFailed(f"no calibration example takes one of the branches of {names}") from error


def kinds_of(model: onnx.ModelProto, examples: Examples) -> dict[str, np.dtype[Any]]:
    """NumPy's type of each input; raises StageFailed where the data lacks one."""
    from onnx import helper

    values = fed_inputs(model.graph)
    missing = [value.name for value in values if value.name not in examples.raw.inputs]
    if missing:
        raise StageFailed(f"the data has no input '{missing[0]}': it has {', '.join(examples.raw.inputs)}")
    return {value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in values}


def openvino_names(model: Any, nodes: Iterable[onnx.NodeProto]) -> list[str]:
    """The names of the operators that OpenVINO makes of nodes of the ONNX file, those within an If among them.
    Recurrent layers keep no name, so one of a type stands for all."""
    nodes = list(nodes)
    kinds = {f"{node.op_type}{end}" for node in nodes if node.op_type in _RECURRENT for end in ("Sequence", "Cell")}
    names, values = {node.name for node in nodes}, {name for node in nodes for name in node.output}
    operators = [
        operator
        for operator in model.get_ops()
        if operator.get_friendly_name().removesuffix(_WITHOUT_BIAS) in names
        or operator.get_type_name() in kinds
        or any(values & set(port.get_names()) for port in operator.outputs())
    ]
    return [name for operator in operators for name in _with_branches(operator)]


def _with_branches(operator: Any) -> Iterator[str]:
    """The name of an operator, and of those in the branches of an If."""
    yield operator.get_friendly_name()
    if operator.get_type_name() == _IF:
        for branch in range(2):
            for inner in operator.get_function(branch).get_ops():
                yield from _with_branches(inner)


def number_anew(model: Any, source: onnx.ModelProto) -> None:
    """Number the operators that the ONNX file does not name: OpenVINO numbers them by how many this process has made,
    and the same model would never be the same file."""
    known = {name for node in source.graph.node for name in (node.name, *node.output)}
    for place, operator in enumerate(model.get_ordered_ops()):
        name = operator.get_friendly_name()
        if name not in known and _NUMBERED.fullmatch(name):
            operator.set_friendly_name(f"{operator.get_type_name()}_{place}")
