"""Fake quantization: a network that trains in float, and rounds where integer kernels will round.

By torchao's PT2E flow: torch.export gives the graph, ``prepare_qat_pt2e`` puts fake quantization where ``Placement``
says, and ``convert_pt2e`` makes pairs of quantize and dequantize of it, which the ONNX exporter writes as QDQ.

The graph is taken in evaluation mode, with batch normalization folded into the convolutions before the training, so
what is trained is what will run, layer for layer; dropout is off. torchao can also keep batch normalization through
the training and fold it afterwards, but then it scales the weights' ranges by an epsilon of its own (1e-5, whatever the
layer's), and swaps layers in the graph at each change between training and evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from pipeline.artifact.torch_module import ModelInput, export_program
from pipeline.libraries.muted import errors_only

aten = torch.ops.aten
_CONVOLUTIONS = {
    aten.conv1d.default, aten.conv1d.padding, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default,
    aten.conv3d.padding,
}  # fmt: skip
_PRODUCTS = {*_CONVOLUTIONS, aten.linear.default}
_CLIPS = {
    aten.relu.default, aten.relu_.default, aten.relu6.default, aten.relu6_.default, aten.hardtanh.default,
    aten.hardtanh_.default,
}  # fmt: skip
"""What ONNX Runtime takes into the quantization of the value before it."""
_JOINS = {aten.add.Tensor, aten.add_.Tensor, aten.mul.Tensor, aten.mul_.Tensor, aten.cat.default}
_ALONE = {aten.avg_pool2d.default, aten.leaky_relu.default, aten.leaky_relu_.default, aten.sigmoid.default} | _CLIPS
_SAME_VALUES = {
    aten.max_pool2d.default, aten.flatten.using_ints, aten.view.default, aten.reshape.default, aten.permute.default,
    aten.transpose.int,
}  # fmt: skip
"""What gives back values that it got: the same scale holds before and after."""
_AVERAGING = 0.01
"""How much of a batch's range goes into the moving average."""
_NOISY_LOGGERS = ("torchao", "torch.utils._pytree", "torch.onnx._internal.exporter._registration")


class FakeQuantized(nn.Module):
    """A graph with fake quantization.

    The activations' ranges follow the batches in training, and stay in evaluation; the weights' ranges are always the
    weights' own.
    """

    def __init__(self, graph: GraphModule, products: int) -> None:
        super().__init__()
        self.graph = graph
        self.products = products
        """How many products with weights are quantized."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute as the model does, with rounding."""
        result: Tensor = self.graph(*inputs)
        return result

    def train(self, mode: bool = True) -> FakeQuantized:
        """Let the activations' ranges follow the batches, or stay. The graph has no other modes."""
        from torchao.quantization.pt2e import FakeQuantizeBase

        self.training = mode
        for layer in self.graph.modules():
            if isinstance(layer, FakeQuantizeBase) and not layer.is_per_channel:
                layer.enable_observer(mode)
        return self

    def move(self, device: str) -> None:
        """Move the parameters, and the constants that the graph itself makes; ``to`` moves only the parameters."""
        for node in self.graph.graph.nodes:
            if "device" in node.kwargs:
                node.update_kwarg("device", torch.device(device))
        self.graph.recompile()
        self.to(device)


def prepare(
    module: nn.Module, examples: tuple[Tensor, ...], inputs: Sequence[ModelInput], weight_limit: int
) -> FakeQuantized:
    """The module's graph with its inputs' axes free and fake quantization; weights are rounded to ±``weight_limit``.

    Raises RuntimeError, ValueError, TypeError or NotImplementedError where torch.export can't follow the module.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    graph = export_program(module.eval(), examples, inputs).module(check_guards=False)
    _drop_dropout(graph)
    _fold_batch_normalization(graph)
    placement = Placement(weight_limit)
    return FakeQuantized(prepare_qat_pt2e(graph, placement), placement.products)


def convert(
    trained: FakeQuantized, examples: tuple[Tensor, ...], inputs: Sequence[ModelInput]
) -> torch.export.ExportedProgram:
    """The trained graph with 8-bit weights, and pairs of quantize and dequantize in place of fake quantization."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    return export_program(convert_pt2e(trained.graph), examples, inputs)


@contextmanager
def remarks_hidden() -> Iterator[None]:
    """Keep the remarks of torchao and the exporters about themselves away from the user."""
    with errors_only(*_NOISY_LOGGERS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Placement:
    """Where fake quantization goes: where ONNX Runtime has integer kernels, and nowhere else (a PT2E quantizer).

    A convolution or linear layer reads 8-bit activations and weights, and a convolution writes 8 bits, after the ReLU
    that follows it. Sums, products and concatenations of quantized values are quantized, too. So the residual sums of a
    convolution network are, and a transformer's are not. The result of a linear layer is quantized if a reader wants
    it, so logits are not.
    """

    def __init__(self, weight_limit: int) -> None:
        from torchao.quantization.pt2e import (
            FakeQuantize,
            FusedMovingAvgObsFakeQuantize,
            MovingAverageMinMaxObserver,
            MovingAveragePerChannelMinMaxObserver,
        )
        from torchao.quantization.pt2e.quantizer import QuantizationSpec

        self.products = 0
        self._quantized: set[Node] = set()
        self._activation = QuantizationSpec(
            dtype=torch.uint8,
            quant_min=0,
            quant_max=255,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(
                observer=MovingAverageMinMaxObserver, averaging_constant=_AVERAGING
            ),
        )
        self._weight = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-weight_limit,
            quant_max=weight_limit,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=FakeQuantize.with_args(
                observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0
            ),
        )

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Leave the graph as it is: nothing has to be done before."""
        return model

    def annotate(self, model: GraphModule) -> GraphModule:
        """Say of each node which of its inputs and outputs are quantized."""
        for node in model.graph.nodes:
            if node.op == "call_function" and node not in self._quantized:
                self._place(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Do nothing: nothing has to be checked afterwards."""

    def prepare_obs_or_fq_callback(self, model: GraphModule, placed: Any) -> None:
        """Do nothing: nothing has to be changed."""

    def _place(self, node: Node) -> None:
        sources = node.all_input_nodes
        if node.target in _PRODUCTS and _has_own_weights(node):
            self.products += 1
            weight = {node.args[1]: self._weight}
            self._annotate(node, sources[:1], weight, writes=node.target in _CONVOLUTIONS)
        elif node.target in _JOINS:
            if len(sources) > 1 and self._quantized.issuperset(sources) and not node.kwargs:
                self._annotate(node, sources, {})
        elif node.target in _ALONE and sources[0] in self._quantized:
            self._annotate(node, sources, {})
        elif node.target in _SAME_VALUES and sources[0] in self._quantized:
            self._annotate_same(node, sources[0])

    def _annotate(self, node: Node, reads: list[Node], weight: dict[Any, Any], writes: bool = True) -> None:
        """What the node reads is quantized, and what it writes: behind the ReLU, where one alone follows."""
        from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

        inputs = {**dict.fromkeys(reads, self._activation), **weight}
        self._quantized.update(reads)
        users = list(node.users)
        if node.target not in _CLIPS and len(users) == 1 and users[0].target in _CLIPS:
            self._set(node, QuantizationAnnotation(input_qspec_map=inputs, _annotated=True))
            node, inputs, writes = users[0], {}, True
        if writes:
            self._quantized.add(node)
        output = self._activation if writes else None
        self._set(node, QuantizationAnnotation(input_qspec_map=inputs, output_qspec=output, _annotated=True))

    def _annotate_same(self, node: Node, source: Node) -> None:
        from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, SharedQuantizationSpec

        self._quantized.add(node)
        same = SharedQuantizationSpec((source, node))
        self._set(
            node,
            QuantizationAnnotation(input_qspec_map={source: self._activation}, output_qspec=same, _annotated=True),
        )

    @staticmethod
    def _set(node: Node, annotation: Any) -> None:
        node.meta["quantization_annotation"] = annotation


def _has_own_weights(product: Node) -> bool:
    weight = product.args[1]
    return isinstance(weight, Node) and weight.op == "get_attr"


def _drop_dropout(model: GraphModule) -> None:
    """Take dropout out: in evaluation mode it hands its input on."""
    for node in list(model.graph.nodes):
        if node.target in (aten.dropout.default, aten.dropout_.default):
            node.replace_all_uses_with(node.args[0])
            model.graph.erase_node(node)
    model.recompile()


def _fold_batch_normalization(model: GraphModule) -> None:
    """Fold each batch normalization that follows a convolution, and nothing else follows it, into its weights."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    graph = model.graph
    for number, node in enumerate(list(graph.nodes)):
        if node.target is not aten.batch_norm.default:
            continue
        convolution = node.args[0]
        if convolution.target not in _CONVOLUTIONS or len(convolution.users) > 1:
            continue
        values = [_value(model, argument) for argument in (*convolution.args[1:3], *node.args[1:5])]
        if len(convolution.args) < 3:
            values.insert(1, None)
        weight, bias, scale, shift, mean, variance = values
        folded = fuse_conv_bn_weights(weight, bias, mean, variance, node.args[7], scale, shift)
        with graph.inserting_before(convolution):
            for position, (kind, parameter) in enumerate(zip(("weight", "bias"), folded, strict=True), start=1):
                name = f"folded_{number}_{kind}"
                model.register_parameter(name, nn.Parameter(parameter.detach().clone()))
                rest = convolution.args[position + 1 :]
                convolution.args = (*convolution.args[:position], graph.get_attr(name), *rest)
        node.replace_all_uses_with(convolution)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    model.delete_all_unused_submodules()
    model.recompile()


def _value(model: GraphModule, argument: Any) -> Any:
    """The parameter or buffer that an argument names, or None."""
    return None if argument is None else attrgetter(argument.target)(model)
