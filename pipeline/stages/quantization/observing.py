"""Looks at values inside a graph while examples run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.run import session_at, typed
from pipeline.data.batches import Feed
from pipeline.stages.quantization.examples import Examples

if TYPE_CHECKING:
    import onnx
    import onnxruntime

Values = list[NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observing:
    """The examples that run, and a folder for the models that are looked into."""

    examples: Examples
    size: int
    """How many examples run in one call."""
    filled: int | None
    """The only number of examples that the model takes, if there is one."""
    folder: Path
    """It has the weights of a large model."""
    large: bool

    @property
    def batches(self) -> int:
        """How many calls all examples take."""
        return -(-len(self.examples) // self.size)

    def session(self, model: onnx.ModelProto, name: str) -> onnxruntime.InferenceSession:
        """The model as a session; raises StageFailed where ONNX Runtime can't load it."""
        import onnx

        path = self.folder / f"{name}.onnx"
        location = f"{path.name}.data"
        (self.folder / location).unlink(missing_ok=True)  # or it would be appended to
        onnx.save(model, path, save_as_external_data=self.large, location=location)
        # ONNX Runtime would give integers of its own to float weights between two quantized values.
        return session_at(path, integers=False)

    def values(
        self, session: onnxruntime.InferenceSession, names: Sequence[str], more: Feed | None = None
    ) -> Iterator[tuple[Values, NDArray[Any] | None]]:
        """The values of some outputs, batch by batch, with the input that says by 1 and 0 which places of a sequence
        count; only what these outputs need is run. ``more`` has the inputs that are no examples."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        for start in range(0, len(self.examples), self.size):
            feed = self._batch(session, start, more or {})
            mask = next((array for name, array in feed.items() if name.endswith("mask")), None)
            yield session.run(list(names), feed, options), mask

    def _batch(self, session: onnxruntime.InferenceSession, start: int, more: Feed) -> dict[str, NDArray[Any]]:
        wanted = {value.name for value in session.get_inputs()}
        given = {**self.examples.batch(start, self.size, self.filled), **more}
        return typed({name: array for name, array in given.items() if name in wanted}, session)


def by_channel(value: NDArray[Any], behind: int, mask: NDArray[Any] | None) -> NDArray[Any]:
    """A value as [P, C], a row for each place; it has ``behind`` axes behind the channels. Without the places of a
    sequence that ``mask`` [N, T] leaves out."""
    last = np.moveaxis(value, -1 - behind, -1)
    if mask is not None and mask.shape == last.shape[:-1]:
        counted: NDArray[Any] = last[mask != 0]
        return counted
    return last.reshape(-1, last.shape[-1])


def expose(model: onnx.ModelProto, kinds: dict[str, int]) -> None:
    """Make outputs of values, each with its type as ONNX numbers types."""
    from onnx import helper

    there = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items() if name not in there
    )
