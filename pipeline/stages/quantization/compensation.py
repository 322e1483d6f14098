"""Makes a quantized model's layers make up for what quantization takes from those before them, and from themselves.

Layers are taken in the order in which they run. Each reads what the quantized model gives it, and is to make what the
model in float makes there, on calibration examples. Its bias takes over the mean of the difference (Nagel et al. 2019,
arXiv:1906.04721, section 4.2); its weights, by least squares, the part of it that depends on what it reads, and then
they are rounded one after the other (``learned_rounding``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.stages.linear.moments import Moments
from pipeline.stages.quantization.biases import Biased, steps
from pipeline.stages.quantization.learned_rounding import rounded
from pipeline.stages.quantization.observing import Observing, Values, by_channel, expose
from pipeline.stages.quantization.simulated import Simulated
from pipeline.stages.quantization.solvable import Solvable, solvable

if TYPE_CHECKING:
    import onnx

Floats = NDArray[np.float64]
_UNSURE = 1e-5
"""What sums in single precision leave of the inputs' mean square where it is all mean."""
_RIDGES = (1e-2, 1e-1)
"""What pulls the weights towards those before, as a share of the mean square of what a layer reads."""
_JUDGED_BY = 4
"""One batch in so many has no part in a layer's weights, and tells which of several are best."""
_KEPT_BYTES = 2**28
"""The memory for what layers make of all examples."""


@dataclass(slots=True)
class Compensated:
    """What a quantized model gets."""

    shifts: dict[Biased, Floats] = field(default_factory=dict)
    """What is added to the biases [C]."""
    integers: dict[str, NDArray[Any]] = field(default_factory=dict)
    """New integers of weights, by the name of the constant that holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """Compares a quantized model (format QDQ) with the model in float, layer by layer; both are changed."""

    model: onnx.ModelProto
    quantized: onnx.ModelProto
    observing: Observing
    limits: tuple[int, int]
    """The integers that a weight may become."""
    weights: bool
    """Whether weights change, too."""

    def run(self, places: Sequence[Biased], progress: Callable[[float, str], None]) -> Compensated:
        """Solve the layers with biases at ``places``."""
        simulated = Simulated(self.quantized)
        places = [place for place in places if place.node in simulated.nodes]
        whole = _Whole(self.model, places, self.observing)
        found = Compensated()
        groups = steps(self.model, places)
        for number, group in enumerate(groups):
            progress(number / len(groups), f"making up for errors, step {number + 1} of {len(groups)}")
            layers = self._layers(group, simulated) if self.weights else {}
            if layers:
                self._solve(layers, simulated, whole, found)
            rest = [place for place in group if place not in layers]
            if rest:
                self._shift(rest, simulated, whole, found)
        return found

    def _shift(self, group: Sequence[Biased], simulated: Simulated, whole: _Whole, found: Compensated) -> None:
        """Let the biases take over the means of the errors."""
        made = [simulated.nodes[place.node].output[0] for place in group]
        errors = {place: np.zeros(place.channels) for place in group}
        counts = dict.fromkeys(group, 0)
        for own, wanted, mask in self._pairs(made, group, simulated, whole):
            for place, here, there in zip(group, own, wanted, strict=True):
                rows = by_channel(there, place.behind, mask) - by_channel(here, place.behind, mask)
                errors[place] += rows.sum(0, dtype=np.float64)
                counts[place] += len(rows)
        for place in group:
            _move(place, errors[place] / max(1, counts[place]), simulated, found)

    def _layers(self, group: Sequence[Biased], simulated: Simulated) -> dict[Biased, Solvable]:
        """The layers of a step whose weights are in integers and can be solved."""
        found = {}
        for place in group:
            name = simulated.nodes[place.product].input[1]
            if name not in simulated.steps or sum(name in node.input for node in simulated.nodes.values()) > 1:
                continue
            product = solvable(simulated.nodes[place.product], simulated.get(name).shape)
            if product is not None:
                found[place] = product
        return found

    def _solve(
        self, layers: Mapping[Biased, Solvable], simulated: Simulated, whole: _Whole, found: Compensated
    ) -> None:
        """Let weights and biases make what is wanted of what the layers read."""
        read = [simulated.nodes[place.product].input[0] for place in layers]
        moments: tuple[dict[Biased, Moments], dict[Biased, Moments]] = {}, {}
        for number, (own, wanted, mask) in enumerate(self._pairs(read, list(layers), simulated, whole)):
            for (place, layer), here, there in zip(layers.items(), own, wanted, strict=True):
                if mask is not None and mask.shape == here.shape[:-1] == there.shape[:-1]:
                    here, there = here[mask != 0], there[mask != 0]
                for rows, targets in layer.solver.places(layer.read(here), torch.from_numpy(there).float()):
                    sizes = rows.shape[0], rows.shape[2], targets.shape[2]
                    moments[number % _JUDGED_BY == _JUDGED_BY - 1].setdefault(place, Moments.none(*sizes)).add(
                        rows, targets
                    )
        constants = {tensor.name: tensor for tensor in self.model.graph.initializer}
        nodes = {node.name: node for node in self.model.graph.node}
        for place, layer in layers.items():
            original = _array(constants[nodes[place.product].input[1]])
            seen = moments[0][place]
            self._fit(place, layer, original, seen, moments[1].get(place, seen), simulated, found)

    def _fit(
        self,
        place: Biased,
        layer: Solvable,
        original: NDArray[Any],
        moments: Moments,
        others: Moments,
        simulated: Simulated,
        found: Compensated,
    ) -> None:
        name = simulated.nodes[place.product].input[1]
        step, zero = (np.broadcast_to(each, original.shape) for each in simulated.steps[name])
        step_map, zero_map = layer.as_map(step), layer.as_map(zero)
        bias = torch.from_numpy(_bias(place, simulated).reshape(-1).astype(np.float64))
        bias = bias.reshape(step_map.shape[0], 1, -1)

        def with_bias(weights: torch.Tensor) -> torch.Tensor:
            """With the bias that leaves no mean error."""
            sums, count = moments.inputs[:, -1:, :-1], moments.inputs[:, -1:, -1:]
            return torch.cat([weights, (moments.both[:, -1:] - sums @ weights) / count], 1)

        original_map = layer.as_map(original)
        nearest = with_bias(layer.as_map(simulated.get(name)))
        choices: list[tuple[torch.Tensor, torch.Tensor | None]] = [(nearest, None)]
        targets = [original_map]
        targets += [moments.solved(torch.cat([original_map, bias], 1), ridge)[:, :-1] for ridge in _RIDGES]
        limits = self.limits[0] - zero_map, self.limits[1] - zero_map
        for target in targets:
            integers = rounded(target, _centred(moments), step_map, limits)
            choices.append((with_bias(integers * step_map), integers))
        weights, chosen = min(choices, key=lambda choice: float(others.error(choice[0]).sum()))
        if chosen is not None:
            values = layer.as_array(chosen + zero_map)
            kind = simulated.steps[name][1].dtype
            found.integers[simulated.integers[name]] = np.rint(values).astype(kind)
            simulated.set(name, layer.as_array(weights[:, :-1]).astype(simulated.get(name).dtype))
        _move(place, (weights[:, -1:] - bias).reshape(-1).numpy(), simulated, found)

    def _pairs(
        self, names: Sequence[str], group: Sequence[Biased], simulated: Simulated, whole: _Whole
    ) -> Iterator[tuple[Values, Values, NDArray[Any] | None]]:
        """Values of the quantized model beside the results of the model in float, batch by batch, with the mask."""
        once = list(dict.fromkeys(names))
        session = self.observing.session(simulated.part(once, group[0].kind), "simulated")
        for (own, mask), wanted in zip(self.observing.values(session, once), whole.results(group), strict=True):
            by_name = dict(zip(once, own, strict=True))
            yield [by_name[name] for name in names], wanted, mask


def _centred(moments: Moments) -> torch.Tensor:
    """The moments of the inputs [G, F, F] about their means, without the input that is 1 everywhere."""
    inputs = moments.inputs[:, :-1, :-1]
    sums, count = moments.inputs[:, :-1, -1:], moments.inputs[:, -1:, -1:]
    unsure = _UNSURE * inputs.diagonal(dim1=-2, dim2=-1).mean(-1)
    return inputs - sums @ sums.mT / count + unsure[:, None, None] * torch.eye(inputs.shape[-1]).double()


class _Whole:
    """The model in float, and what its layers make of all examples: of a few steps at a time, within a bounded
    memory."""

    def __init__(self, model: onnx.ModelProto, places: Sequence[Biased], observing: Observing) -> None:
        nodes = {node.name: node for node in model.graph.node}
        self._places = list(places)
        self._names = [nodes[place.node].output[0] for place in places]
        self._observing = observing
        expose(model, {name: place.kind for name, place in zip(self._names, places, strict=True)})
        self._session = observing.session(model, "observed")
        self._made: list[Values] = []
        self._kept = range(0)

    def results(self, group: Sequence[Biased]) -> Iterator[Values]:
        """The results of layers of one step, batch by batch."""
        numbers = [self._places.index(place) for place in group]
        if not all(number in self._kept for number in numbers):
            self._keep(numbers[0], numbers[-1])
        for made in self._made:
            yield [made[number - self._kept.start] for number in numbers]

    def _keep(self, first: int, last: int) -> None:
        sample, _ = next(self._observing.values(self._session, self._names[first:]))
        sizes = np.cumsum([value.nbytes for value in sample]) * self._observing.batches
        end = max(last + 1, first + int(np.searchsorted(sizes, _KEPT_BYTES)))
        names = self._names[first:end]
        self._kept = range(first, first + len(names))
        self._made = [made for made, _ in self._observing.values(self._session, names)]


def _bias(place: Biased, simulated: Simulated) -> NDArray[Any]:
    """The bias that a node adds; it gets one where it has none."""
    return simulated.get(_bias_name(place, simulated))


def _bias_name(place: Biased, simulated: Simulated) -> str:
    node = simulated.nodes[place.node]
    if place.node != place.product:
        made = simulated.nodes[place.product].output[0]
        return next(name for name in node.input if simulated.has(name) and name != made)
    if len(node.input) < 3:
        node.input.append(f"{place.node}_bias")
        simulated.set(node.input[2], np.zeros(place.channels, simulated.get(node.input[1]).dtype))
    return str(node.input[2])


def _move(place: Biased, shift: Floats, simulated: Simulated, found: Compensated) -> None:
    """Change a bias."""
    name = _bias_name(place, simulated)
    before = simulated.get(name)
    simulated.set(name, (before + shift.reshape(before.shape)).astype(before.dtype))
    found.shifts[place] = shift


def _array(tensor: onnx.TensorProto) -> NDArray[Any]:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)
