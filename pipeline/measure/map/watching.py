"""Models whose values can be looked at while they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import run
from pipeline.data.batches import Axes
from pipeline.measure.map.cutting import cut, watched
from pipeline.measure.map.graph import Graph

if TYPE_CHECKING:
    import onnx

Values = Mapping[str, NDArray[Any]]
Kinds = Mapping[str, np.dtype[Any]]


class Session(Protocol):
    """A loaded model, some of whose values are its outputs."""

    def fed(self, part: Values) -> dict[str, NDArray[Any]]:
        """What the model reads of ``part``, in the types that it reads."""

    def fixed_batch(self, axes: Axes) -> int | None:
        """The only batch size that it takes; None where any will do."""

    def __call__(self, fed: Values) -> dict[str, NDArray[Any]]:
        """The values of a call, by name."""


class Watchable(Protocol):
    """A model that can be loaded in two ways. Both raise StageFailed where the runtime can't load it."""

    @property
    def graph(self) -> Graph:
        """Its graph."""

    def watched(self, names: Iterable[str]) -> Session:
        """The model with these values as its only outputs; an input that is fed can't be one."""

    def cut(self, kinds: Kinds) -> Session:
        """The model in which each place reads what is given to it, as ``pipeline.measure.map.cutting`` tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """An ONNX model in ONNX Runtime, which runs it as it is written: its integer kernels may round elsewhere."""

    graph: Graph

    def watched(self, names: Iterable[str]) -> Session:
        """The model with these values as its only outputs."""
        return _OnnxSession(watched(self.graph, names))

    def cut(self, kinds: Kinds) -> Session:
        """The model in which each place reads what is given to it."""
        return _OnnxSession(cut(self.graph, kinds))


class _OnnxSession:
    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        self._made = [value.name for value in model.graph.output]
        with TemporaryDirectory(prefix="slimline-map-") as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(model, path)
            self._session = run.session_at(path, integers=False, optimized=False)

    def fed(self, part: Values) -> dict[str, NDArray[Any]]:
        names = [value.name for value in self._session.get_inputs()]
        return run.typed({name: part[name] for name in names if name in part}, self._session)

    def fixed_batch(self, axes: Axes) -> int | None:
        return run.fixed_batch(self._session, axes)

    def __call__(self, fed: Values) -> dict[str, NDArray[Any]]:
        return dict(zip(self._made, self._session.run(self._made, fed), strict=True))
