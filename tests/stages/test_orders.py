"""Chains in the orders that make sense: each stage takes what the one before it made, and the end still computes it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import get_args

import pytest

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.torch_module import example_inputs
from pipeline.plan import Stage
from pipeline.stages.export import Exporter, ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.fuse import Fuse
from pipeline.stages.low_rank import LowRank
from pipeline.stages.prune import Prune
from pipeline.stages.quantize_aware import QuantizeAware
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.recalibrate import Recalibrate
from tests.stages.models import TextDataset, Workplace, encoder, encoder_spec, op_types, resnet, resnet_spec, sentences
from tests.stages.pruning.pruned_models import SPECS, varied

PRUNE = Prune(pruning_ratio=0.25, round_to=4)
TRAIN = Finetune(epochs=1, batch_size=16, learning_rate=0.02)
QAT = QuantizeAware(epochs=1, batch_size=16)
EXPORT = ExportOnnx(exporter="torchscript")


def built(workplace: Workplace, source: Artifact, chain: Sequence[Stage]) -> list[Artifact]:
    """What each stage made; a stage that loses nothing is checked against its source."""
    made = [source]
    for number, stage in enumerate(chain):
        made.append(workplace.build(stage, made[-1], str(number)))
        feed = workplace.context().feed("calibration", 8)
        check_output(made[-2], made[-1], stage.tolerance, feed)
    return made


@pytest.mark.parametrize(
    "chain",
    [
        [PRUNE, TRAIN, EXPORT, QuantizeStatic()],
        [TRAIN, PRUNE, TRAIN, EXPORT],
        [PRUNE, Recalibrate(), EXPORT, QuantizeStatic()],
        [PRUNE, TRAIN, QAT],
        [LowRank(energy=None, rank_ratio=0.5, min_features=16), PRUNE, TRAIN, EXPORT],
        [PRUNE, LowRank(energy=None, rank_ratio=0.5, min_features=16), TRAIN, EXPORT, QuantizeStatic()],
    ],
    ids=lambda chain: "-".join(type(stage).__name__ for stage in chain),
)
def test_a_convolution_network_goes_through_every_chain(workplace: Workplace, chain: Sequence[Stage]) -> None:
    workplace.original = source = workplace.torch(resnet(spec := resnet_spec((16, 32))), spec)
    made = built(workplace, source, chain)
    assert made[-1].format == "onnx"
    if any(isinstance(stage, QuantizeStatic | QuantizeAware) for stage in chain):
        assert op_types(made[-1])["QuantizeLinear"]


def test_a_pruned_encoder_is_fused_and_quantized(workplace: Workplace) -> None:
    workplace.data = TextDataset()
    spec = encoder_spec(layers=2, heads=4, feed_forward=64)
    source = workplace.torch(encoder(spec), spec)
    fused, quantized = built(workplace, source, [PRUNE, EXPORT, Fuse(), QuantizeDynamic()])[-2:]
    assert op_types(fused)["SkipLayerNormalization"]
    assert op_types(quantized)["DynamicQuantizeLinear"]


@pytest.mark.parametrize(
    ("name", "exporter"),
    [*product(("vit", "encoder"), get_args(Exporter)), ("mobile", "torchscript"), ("dense", "torchscript")],
)
def test_what_was_pruned_is_exported_and_agrees(workplace: Workplace, name: str, exporter: Exporter) -> None:
    spec = SPECS[name]()
    source = workplace.torch(varied(spec), spec)
    pruned = workplace.build(Prune(round_to=4), source, "pruned")
    export = ExportOnnx(exporter=exporter)
    exported = workplace.build(export, pruned, "exported")
    feed = {entry.name: value.numpy() for entry, value in zip(spec.inputs, example_inputs(spec, batch=5), strict=True)}
    if name == "encoder":
        feed = sentences(5)
    drift = check_output(pruned, exported, export.tolerance, feed)
    assert drift["cosine_min"] > 0.9999
