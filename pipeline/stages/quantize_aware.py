"""Quantization-aware training: the network learns with the rounding that it will run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Artifact, Format
from pipeline.artifact.plain_weights import load_plain
from pipeline.artifact.run import run
from pipeline.bounds import Count, NotNegative, Positive
from pipeline.data.dataset import SplitName, preprocess
from pipeline.errors import Skipped, StageFailed, first_line
from pipeline.metrics import in_classes, judging_of, merit, told_classes
from pipeline.plan import Context, Metric
from pipeline.plan.roles import Role
from pipeline.stages.quantization.integers import ForIsa, reduces_range
from pipeline.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.artifact.torch_module import ModelSpec
    from pipeline.stages.quantization.fake_quantization import FakeQuantized
    from pipeline.training.class_scores import Scores
    from pipeline.training.examples import Examples

_WHAT = "quantization-aware training"
_FULL, _REDUCED = 127, 64
"""The largest weight in 8 and in 7 bits, as ONNX Runtime has them."""
_TRAINING_SHARE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeAware:
    """Train a classifier with fake quantization (Jacob et al. 2018, arXiv:1712.05877), and write it as ONNX in QDQ
    form: 8-bit weights with a scale per channel, 8-bit activations with one per tensor.

    It is for a model that loses too much by ``quantize_static``, and needs the extra ``qat`` (torchao). Training starts
    from the trained model, on the train split, and its accuracy is followed on the validation split. A stopped training
    goes on after its last whole epoch.
    """

    epochs: Count = 2
    learning_rate: Positive = 0.005
    """The highest rate of a one-cycle schedule."""
    batch_size: Count = 128
    augmentation: tuple[str, ...] = ()
    weight_decay: NotNegative = 5e-4
    max_examples: Count | None = None
    """How many training examples to use, from the first on; null: the whole train split."""
    reduce_range: bool | None = None
    """Whether weights get 7 bits; null asks ``for_isa`` (``reduces_range``)."""
    for_isa: ForIsa = "this"
    """The processor whose kernels the weights have to suit: this machine's, any, or one with this instruction set."""

    role: ClassVar[Role] = "precision"
    accepts: ClassVar[frozenset[Format]] = frozenset({"torch"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[SplitName]] = frozenset({"train", "validation"})
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchao", "onnx", "onnxscript")
    requires: ClassVar[tuple[str, ...]] = ("torchao",)
    needs_labels: ClassVar[bool] = True
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        self._recipe(seed=0)  # knows which augmentations there are

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"reduce_range": reduces_range(self.reduce_range, self.for_isa, "int8", isa)}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the trained and quantized model.

        Raises Skipped without torchao; StageFailed without labels, for a model that is no classifier or has weights of
        another type than float32, and for one that torch.export can't follow.
        """
        if find_spec("torchao") is None:
            raise Skipped(f"{_WHAT} needs torchao, which is not installed: install the extra qat (pip install torchao)")
        from pipeline.artifact.torch_module import example_inputs
        from pipeline.stages.quantization.fake_quantization import convert, remarks_hidden
        from pipeline.stages.quantization.write_qdq import write_qdq
        from pipeline.training.class_scores import scores_of
        from pipeline.training.examples import accuracy, training_examples

        module, spec, _ = load_plain(source.path)
        train, validation = training_examples(
            context,
            spec.inputs,
            what=_WHAT,
            batch_size=self.batch_size,
            max_examples=self.max_examples,
            without_labels="",
        )
        examples = example_inputs(spec)
        _require_logits(module, examples, context.metric)
        _require_float32(module)
        scores = scores_of(module, train, context.metric, labelled=True)
        before = accuracy(module, validation, context.metric)
        reduce_range = reduces_range(self.reduce_range, self.for_isa, "int8", context.isa)
        with remarks_hidden():
            network = _prepare(module, examples, spec, _REDUCED if reduce_range else _FULL)
        history = self._train(network, train, validation, before, context, scores)
        context.progress(_TRAINING_SHARE, "writing the quantized model")
        with remarks_hidden():
            write_qdq(convert(network, examples, spec.inputs), spec, out)
        context.note("validation_accuracy_before", before)
        context.note("validation_accuracy_by_epoch", history)
        context.note("validation_accuracy", _accuracy_of_file(out, validation, context.metric))
        context.note("training_examples", len(train))
        context.note("reduce_range", reduce_range)
        context.note("quantized", f"{network.products} products")

    def _train(
        self,
        network: FakeQuantized,
        train: Examples,
        validation: Examples,
        before: float,
        context: Context,
        scores: Scores,
    ) -> list[float]:
        """Train in place, on a GPU where there is one; returns the validation accuracy after each epoch."""
        from pipeline.training.examples import accuracy, best_device
        from pipeline.training.loop import fit

        network.move(best_device().type)
        history = fit(
            network,
            train,
            lambda model: accuracy(model, validation, context.metric),
            self._recipe(context.seed),
            context.work / "quantize_aware.ckpt",
            lambda done, line: context.progress(_TRAINING_SHARE * done, line),
            before=before,
            scores=scores,
        )
        network.move("cpu")
        return history

    def _recipe(self, seed: int) -> Recipe:
        return Recipe(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            augmentation=tuple(self.augmentation),
            seed=seed,
        )


def _require_logits(module: nn.Module, inputs: tuple[torch.Tensor, ...], metric: Metric) -> None:
    import torch

    with torch.inference_mode():
        output = module(*inputs)
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise StageFailed(f"{_WHAT} takes classifiers with one output, of logits [N, classes]")
    if not in_classes(told_classes(metric, [output.numpy()])):
        raise StageFailed(f"{_WHAT} takes classifiers, and metric {metric.name} is for models without classes")


def _require_float32(module: nn.Module) -> None:
    import torch

    others = {weight.dtype for weight in module.parameters() if weight.is_floating_point()} - {torch.float32}
    if others:
        names = " and ".join(sorted(str(one).removeprefix("torch.") for one in others))
        raise StageFailed(f"{_WHAT} takes models with weights in float32, and this one has {names}")


def _prepare(
    module: nn.Module, examples: tuple[torch.Tensor, ...], spec: ModelSpec, weight_limit: int
) -> FakeQuantized:
    from pipeline.stages.quantization.fake_quantization import prepare

    try:
        network = prepare(module, examples, spec.inputs, weight_limit)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise StageFailed(f"torch.export can't follow the model with a free batch: {first_line(error)}") from error
    if not network.products:
        raise StageFailed("there is nothing to quantize: the model has no convolution or linear layer")
    return network


def _accuracy_of_file(out: Path, validation: Examples, metric: Metric) -> float:
    """The validation accuracy of the model that was written, by ONNX Runtime's integer kernels."""
    feed = preprocess(validation.split.inputs, validation.preprocessing)
    assert validation.labels is not None
    predictions = metric.predictions(run(Artifact(out, "onnx", ""), feed))
    return merit(judging_of(metric, predictions), predictions, validation.labels)
