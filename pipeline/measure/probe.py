"""A small model made on the spot, for measuring the machine and the measuring itself, and a backend that is slower by
a known share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format, folder_digest
from pipeline.data.dataset import Feed
from pipeline.plan import Backend, Session, Target

CHANNELS = 32
SIZE = 28
CONVOLUTIONS = 3
_PAUSE = 1.2
"""A call that began longer after the one before than this share of its own time is the first of a visit."""


def write_probe(out: Path) -> Artifact:
    """Write a CNN of three 3x3 convolutions of 32 channels on 28x28 images as ONNX: about 0.4 ms a call on one core."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, source, channels = [], [], "image", 1
    for number in range(CONVOLUTIONS):
        kernel = rng.standard_normal((CHANNELS, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"kernel_{number}"))
        nodes.append(helper.make_node("Conv", [source, f"kernel_{number}"], [f"conv_{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"conv_{number}"], [f"relu_{number}"]))
        source, channels = f"relu_{number}", CHANNELS
    nodes.append(helper.make_node("GlobalAveragePool", [source], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CHANNELS, 1, 1])],
        weights,
    )
    out.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, out / "model.onnx")
    return Artifact(path=out, format="onnx", digest=folder_digest(out))


def probe_feed() -> Feed:
    """One image [1, 1, 28, 28] of noise."""
    return {"image": np.random.default_rng(0).standard_normal((1, 1, SIZE, SIZE)).astype(np.float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowed:
    """Another backend whose every call takes longer by a known share: it spins for that share of the call.

    Wrapping costs some microseconds by itself (after a call the interpreter's own code has left the processor's
    caches), so compare it with a wrapped backend of share 0.
    """

    inner: Backend
    share: float
    """The share of a call that is added: 0.03 makes every call take 3 % longer."""
    name: ClassVar[str] = "slowed"
    runs: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None:
        """Check the target as the inner backend does."""
        self.inner.check(target)

    def preload(self, target: Target) -> None:
        """Import what the inner backend imports."""
        self.inner.preload(target)

    def load(self, artifact: Artifact, target: Target) -> Session:
        """The inner backend's session, slowed."""
        session = self.inner.load(artifact, target)
        share = self.share

        clock = time.perf_counter_ns
        last = clock()

        def call(feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
            nonlocal last
            start = clock()
            outputs = session(feed)
            clock()  # the first use after a call is slow; what follows is not
            begin = clock()
            # One call after the other, it is the whole way round that counts: the caller's part and this one's too.
            whole = begin - last
            if whole > _PAUSE * (begin - start):
                whole = begin - start
            until = begin + share * whole
            while (last := clock()) < until:
                pass
            return outputs

        return call
