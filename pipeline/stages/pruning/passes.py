"""Forward passes that are watched, and end when nobody needs the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class Enough(Exception):
    """Ends a forward pass whose rest nobody needs."""


def captured(
    module: nn.Module, names: Collection[str], arguments: Sequence[Tensor], *, outputs: bool
) -> dict[str, Tensor]:
    """What layers make, or what they read; the rest of the pass is left out."""
    found: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> None:
        last = len(found) + 1 == len(names)
        found[name] = value if last else value.clone()  # what follows in this pass may write into it
        if last:
            raise Enough

    def reader(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, given: keep(name, given[0])

    def maker(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda _, __, made: keep(name, made)

    layers = {name: module.get_submodule(name) for name in names}
    if outputs:
        handles = [layer.register_forward_hook(maker(name)) for name, layer in layers.items()]
    else:
        handles = [layer.register_forward_pre_hook(reader(name)) for name, layer in layers.items()]
    with hooked(handles):
        try:
            module(*arguments)
        except Enough:
            return found
    return found


@contextmanager
def hooked(handles: Sequence[Any]) -> Iterator[None]:
    """Remove hooks in the end."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
