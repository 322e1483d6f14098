"""Cross-layer equalization: the channels between two layers get ranges that 8 bits can bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_rewriting import name_nodes, write
from pipeline.bounds import Count, Share
from pipeline.data.dataset import SplitName
from pipeline.errors import Unchanged
from pipeline.plan import Context
from pipeline.plan.roles import Role
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.absorption import absorb, absorbable
from pipeline.stages.quantization.channel_ranges import Floats, Ranges, Reader, channel_ranges
from pipeline.stages.quantization.examples import Examples
from pipeline.stages.quantization.links import Link, links, reader_of, scale
from pipeline.stages.quantization.preparation import require_float

if TYPE_CHECKING:
    import onnx

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What is tried for each pair of layers."""
_LEAST = 2**-6
"""The least factor: a channel that is smaller than the largest by more would be multiplied by more than is known of
it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalize:
    """Divide each channel that a layer makes by a factor, and multiply the weights that read it; the model computes the
    same, and no channel is left with a few of the 256 levels that a tensor has.

    Put it before ``quantize_static`` (Nagel et al. 2019, arXiv:1906.04721; the ranges that are made alike are those of
    the activations, Meller et al. 2019, arXiv:1902.01917, as each channel's weights have a step of their own). The
    factor is (max|x| / max)^strength, with max|x| of the channel on the calibration split, and max of all channels. A
    ReLU6 between the layers stays as it is: what it cuts are channels that keep their scale.
    """

    strength: Share | None = None
    """From 0 (as it is) to 1 (all channels alike); null: for each pair of layers the one with the least error of the
    second layer's output, as the ranges and the weights tell it."""
    absorb_biases: bool = False
    """Whether what a channel never falls below moves into the next layers' biases first (section 4.1.3 there), so that
    its range begins at 0. That is exact where nothing but a ReLU lies between and the next layers don't pad, for
    examples that don't fall below it either; other layers keep their biases."""
    max_examples: Count | None = 512
    """How many calibration examples to use, from the first on; null: all of the split."""

    role: ClassVar[Role] = "precision"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset({"calibration"})
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = 1e-3

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the equalized model; raises Unchanged where no channels can be scaled, StageFailed without examples."""
        import onnx

        model = onnx.load(source.onnx_path)
        require_float(model)
        name_nodes(model)
        found = links(model)
        if not found:
            raise Unchanged("no layer's channels are read by layers alone, through a ReLU or nothing")
        examples = Examples.of(context, "equalization", self.max_examples)
        context.work.mkdir(parents=True, exist_ok=True)
        if self.absorb_biases:
            _absorb(model, source, absorbable(model, found), examples, context.part(0.0, 0.5))
        ranges = _ranges(model, source, found, examples, context.part(0.5 if self.absorb_biases else 0.0, 1.0))
        nodes = {node.name: node for node in model.graph.node}
        arrays = {tensor.name: tensor for tensor in model.graph.initializer}
        strengths, factors = {}, {}
        for link in found:
            layers = [nodes[name] for name in link.readers]
            readers = [reader_of(node, onnx.numpy_helper.to_array(arrays[node.input[1]])) for node in layers]
            strengths[link.maker], factors[link] = self._chosen(ranges[link.name], readers)
        scale(model, factors)
        write(model, out, is_large(source))
        context.note("strengths", strengths)
        context.note("calibration_examples", len(examples))

    def _chosen(self, seen: Ranges, readers: Sequence[Reader]) -> tuple[float, Floats]:
        tried = STRENGTHS if self.strength is None else (self.strength,)
        share = seen.largest / max(float(seen.largest.max()), np.finfo(float).tiny)
        share[share == 0] = 1.0  # nothing is known of such a channel
        choices = [(strength, np.clip(share**strength, _LEAST, 1.0)) for strength in tried]
        return min(choices, key=lambda choice: sum(reader.error(seen, choice[1]) for reader in readers))


def _ranges(
    model: onnx.ModelProto, source: Artifact, found: Sequence[Link], examples: Examples, context: Context
) -> dict[str, Ranges]:
    return channel_ranges(model, source, {link.name: link.value for link in found}, examples, context)


def _absorb(
    model: onnx.ModelProto, source: Artifact, able: Sequence[Link], examples: Examples, context: Context
) -> None:
    seen = _ranges(model, source, able, examples, context) if able else {}
    least = {link: np.maximum(seen[link.name].least, 0) for link in able}
    shifts = {link: shift for link, shift in least.items() if shift.any() and np.isfinite(shift).all()}
    absorb(model, shifts)
    context.note("absorbed_channels", {link.maker: int(np.count_nonzero(shift)) for link, shift in shifts.items()})
