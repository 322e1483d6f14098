"""Passes through a module for what its layers read and make, without repeating what can't have changed.

Layers that are solved one after the other need what comes before them again and again. A pass from the beginning for
each of them would make the work grow with the square of the depth. So, as soon as nothing in a part of the module
changes any more, what the part makes is kept in a file, and the part does not run again.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.artifact.torch_module import as_tensors
from pipeline.stages.pruning.cut import FAILURES
from pipeline.stages.pruning.passes import Enough, captured, hooked

logger = logging.getLogger(__name__)
Batches = Callable[[], Iterator[Sequence[Tensor]]]
"""The examples as arguments of a module, batch by batch, the same at every call."""
Made = Tensor | tuple[Tensor, ...]
"""What a part of a module makes, where it can be kept."""
Shape = tuple[torch.dtype, tuple[int, ...]]
Shapes = Shape | list[Shape]
"""The shapes of what a part makes: of a tensor, or of those of a tuple."""
_NARROW = 1.1
"""A place is narrow where at most this many times as much is to be kept as at the narrowest so far."""
_PATIENCE = 4
"""After so many times ``every`` steps, a place that is not narrow will do."""
_FEW = 2
"""So many examples show which parts of a module need each other."""
_OF_DISK = 0.5
"""Of the free disk, at most this share is filled."""
_SAME = 1e-5
"""The largest difference between a whole pass and a shortened one, as a share of the largest value."""


@dataclass(slots=True)
class Replay:
    """A module that runs for the same batches many times."""

    module: nn.Module
    batches: Batches
    folder: Path
    """An empty one, for what its parts have made."""
    every: int = 1
    """So many steps are taken at least before what was settled meanwhile is kept."""
    _needed: frozenset[str] = frozenset()
    """The parts whose outputs are kept."""
    _over: list[dict[str, Shapes]] = field(default_factory=list)
    """For each batch, of the parts that only these need, the shapes of what they made. No tensors: small ones that stay
    would lie between the large ones that go, and the memory of these could not be used again."""
    _times: int = 0
    _works: bool = True
    _waited: int = 0
    _narrowest: float = math.inf
    """The fewest bytes for each example."""
    _examples: int | None = None

    def captured(
        self, number: int, arguments: Sequence[Tensor], names: Collection[str], *, outputs: bool = False
    ) -> dict[str, Tensor]:
        """What layers make of batch ``number``, or what they read."""
        with self._shortened(number):
            return captured(self.module, names, arguments, outputs=outputs)

    def settle(self, changing: Collection[str]) -> None:
        """Take a step: what comes before the first of ``changing``, the names of all layers that may still change or be
        asked for, need not run any more. Where a module can't be shortened, passes stay whole."""
        self._waited += 1
        if not self._works or self._waited < self.every:
            return
        try:
            self._settle(changing)
        except (*FAILURES, OSError, SafetensorError):
            logger.info("passes stay whole", exc_info=True)
            self._works = False

    def _settle(self, changing: Collection[str]) -> None:
        few = [value[:_FEW] for value in next(self.batches())]
        made = _made_before(self.module, few, changing)
        needed = _needed(self.module, few, made)
        if needed == self._needed or not self._is_worth_it(few, [made[name] for name in needed]):
            return
        over: list[dict[str, Shapes]] = []
        for number, arguments in enumerate(self.batches()):
            with self._shortened(number):
                kept, others = _run_for(self.module, arguments, needed, made.keys() - needed)
            save_file(_flat(kept), self._file(self._times + 1, number))
            over.append(others)
        for number in range(len(self._over)):
            self._file(self._times, number).unlink()
        self._needed, self._over, self._times, self._waited = needed, over, self._times + 1, 0
        self._prove()

    def _prove(self) -> None:
        """Raise ValueError where a shortened pass does not come to what a whole one comes to."""
        arguments = next(self.batches())
        whole = as_tensors(self.module(*arguments))
        with self._shortened(0):
            short = as_tensors(self.module(*arguments))
        for one, other in zip(whole, short, strict=True):
            if not torch.allclose(one, other, rtol=0, atol=_SAME * float(one.abs().max()), equal_nan=True):
                raise ValueError("a shortened pass comes to something else")

    def _is_worth_it(self, few: Sequence[Tensor], made: Sequence[Made]) -> bool:
        """Whether the place is narrow, or none has come for long, and the disk has room for what is to be kept."""
        each = sum(value.nbytes for one in made for value in _values(one)) / len(few[0])
        self._narrowest = min(self._narrowest, each)
        if each > _NARROW * self._narrowest and self._waited < _PATIENCE * self.every:
            return False
        if self._examples is None:
            self._examples = sum(len(arguments[0]) for arguments in self.batches())
        return self._examples * each <= _OF_DISK * shutil.disk_usage(self.folder).free

    def _file(self, times: int, number: int) -> Path:
        return self.folder / f"{times}_{number}.safetensors"

    @contextmanager
    def _shortened(self, number: int) -> Iterator[None]:
        """Within, the parts that are kept give what they made of a batch, and those before them give zeros."""
        if not self._works or not self._needed:
            yield
            return
        device = next((value.device for value in self.module.parameters()), torch.device("cpu"))
        kept = _nested(load_file(self._file(self._times, number), str(device)))
        over = {name: _zeros(shapes, device) for name, shapes in self._over[number].items()}
        with _replaced(self.module, over | kept):
            yield


def _values(made: Made) -> tuple[Tensor, ...]:
    return (made,) if isinstance(made, Tensor) else made


def _changed(made: Made, change: Callable[[Tensor], Tensor]) -> Made:
    return change(made) if isinstance(made, Tensor) else tuple(map(change, made))


def _shapes(made: Made) -> Shapes:
    if isinstance(made, Tensor):
        return made.dtype, tuple(made.shape)
    return [(one.dtype, tuple(one.shape)) for one in made]


def _zeros(shapes: Shapes, device: torch.device) -> Made:
    """Zeros that take no memory."""
    if isinstance(shapes, tuple):
        dtype, shape = shapes
        return torch.zeros((), dtype=dtype, device=device).expand(shape)
    return tuple(torch.zeros((), dtype=dtype, device=device).expand(shape) for dtype, shape in shapes)


def _flat(made: Mapping[str, Made]) -> dict[str, Tensor]:
    """Tensors by name, and those of a tuple by its name and a number."""
    flat: dict[str, Tensor] = {}
    for name, value in made.items():
        if isinstance(value, Tensor):
            flat[name] = value.contiguous()
        else:
            flat |= {f"{name}/{place}": one.contiguous() for place, one in enumerate(value)}
    return flat


def _nested(flat: Mapping[str, Tensor]) -> dict[str, Made]:
    """What ``_flat`` was made of."""
    made: dict[str, Made] = {}
    places: dict[str, dict[int, Tensor]] = {}
    for key, value in flat.items():
        name, slash, place = key.rpartition("/")
        if slash:
            places.setdefault(name, {})[int(place)] = value
        else:
            made[key] = value
    return made | {name: tuple(found[place] for place in range(len(found))) for name, found in places.items()}


@contextmanager
def _replaced(module: nn.Module, made: Mapping[str, Made]) -> Iterator[None]:
    """Within, parts give a copy of what they made before: what follows may write into it."""
    parts = [module.get_submodule(name) for name in made]
    before = [part.__dict__.get("forward") for part in parts]
    for part, value in zip(parts, made.values(), strict=True):
        part.__dict__["forward"] = lambda *_, _value=value, **__: _changed(_value, Tensor.clone)
    try:
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            del part.__dict__["forward"]
            if own is not None:
                part.__dict__["forward"] = own


def _made_before(module: nn.Module, arguments: Sequence[Tensor], changing: Collection[str]) -> dict[str, Made]:
    """What the parts make that end before the first layer of ``changing`` begins: the largest such parts, of those that
    run once and make tensors."""
    runs: dict[str, int] = {}
    made: dict[str, Made] = {}
    begun = False

    def begin(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, __: tuple[Any, ...]) -> None:
            nonlocal begun
            runs[name] = runs.get(name, 0) + 1
            begun = begun or name in changing

        return hook

    def end(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_: nn.Module, __: tuple[Any, ...], value: Any) -> None:
            tensors = value if type(value) is tuple else (value,)
            if not begun and all(isinstance(one, Tensor) for one in tensors):
                made[name] = _changed(value, Tensor.clone)

        return hook

    parts = {name: part for name, part in module.named_modules() if name}
    handles = [part.register_forward_pre_hook(begin(name)) for name, part in parts.items()]
    handles += [part.register_forward_hook(end(name)) for name, part in parts.items()]
    with hooked(handles):
        module(*arguments)
    once = {name: value for name, value in made.items() if runs[name] == 1} if begun else {}
    return {name: value for name, value in once.items() if not any(name.startswith(f"{other}.") for other in once)}


def _needed(module: nn.Module, arguments: Sequence[Tensor], made: Mapping[str, Made]) -> frozenset[str]:
    """The parts that something else needs than parts of ``made``: those that a gradient reaches."""
    with torch.enable_grad():
        learned = {name: _changed(value, _as_learned) for name, value in made.items()}
        with _replaced(module, learned):
            sums = [value.sum() for value in as_tensors(module(*arguments)) if value.requires_grad]
    found = {name for name, value in learned.items() if not all(one.requires_grad for one in _values(value))}
    leaves = [(name, one) for name, value in learned.items() for one in _values(value) if one.requires_grad]
    if sums and leaves:
        gradients = torch.autograd.grad(sums, [one for _, one in leaves], allow_unused=True)
        found |= {name for (name, _), value in zip(leaves, gradients, strict=True) if value is not None}
    return frozenset(found)


def _as_learned(value: Tensor) -> Tensor:
    return value.detach().requires_grad_(value.is_floating_point())


def _run_for(
    module: nn.Module, arguments: Sequence[Tensor], needed: Collection[str], others: Collection[str]
) -> tuple[dict[str, Made], dict[str, Shapes]]:
    """What some parts make, and of others the shapes; the rest of the pass is left out."""
    kept: dict[str, Made] = {}
    shapes: dict[str, Shapes] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_: nn.Module, __: tuple[Any, ...], value: Any) -> None:
            if name in needed:
                kept[name] = _changed(value, Tensor.clone)
            else:
                shapes[name] = _shapes(value)
            if len(kept) + len(shapes) == len(needed) + len(others):
                raise Enough

        return hook

    with hooked([module.get_submodule(name).register_forward_hook(keep(name)) for name in (*needed, *others)]):
        try:
            module(*arguments)
        except Enough:
            return kept, shapes
    return kept, shapes
