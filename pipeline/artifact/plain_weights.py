"""Makes weights plain that are computed anew at each call (weight and spectral normalization, masks).

Pruning cuts weights, so a layer must own them. The layer computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_module import ModelSpec, load_module, load_spec

if TYPE_CHECKING:
    from torch import nn


def load_plain(folder: Path) -> tuple[nn.Module, ModelSpec, list[str]]:
    """An artifact's module with plain weights, its spec, and the names of the layers that had other weights."""
    module, spec = load_module(folder), load_spec(folder)
    names = make_plain(module)
    return module, replace(spec, rewrites=(*spec.rewrites, {"_target_": _REWRITE})) if names else spec, names


def make_plain(module: nn.Module) -> list[str]:
    """Give each layer the weights that it would compute, in place; returns the layers' names. Loading a model uses this
    function.

    It removes parametrizations, and the older hooks of weight_norm, spectral_norm and torch.nn.utils.prune.
    """
    import torch
    from torch.nn.utils import parametrize

    found: list[str] = []
    with torch.no_grad():
        for name, layer in list(module.named_modules()):
            before = len(found)
            if parametrize.is_parametrized(layer):
                parametrizations: Any = layer.parametrizations
                for weight in list(parametrizations):
                    # Without gradients, a weight that is made of several tensors would become no parameter.
                    with torch.enable_grad():
                        parametrize.remove_parametrizations(layer, weight, leave_parametrized=True)
                found.append(name)
            for remove, weight in list(_hooked(layer)):
                remove(layer, weight)
                found[before:] = [name]
            _forget_loading_hooks(layer)
    return found


_REWRITE = f"{__name__}.{make_plain.__name__}"


def _forget_loading_hooks(layer: nn.Module) -> None:
    """What ``remove_spectral_norm`` leaves behind: it does not know the hook again in the form that torch keeps."""
    from torch.nn.utils.spectral_norm import SpectralNormLoadStateDictPreHook

    hooks = layer._load_state_dict_pre_hooks
    for key, hook in list(hooks.items()):
        if isinstance(getattr(hook, "hook", hook), SpectralNormLoadStateDictPreHook):
            del hooks[key]


def _hooked(layer: nn.Module) -> Iterator[tuple[Any, str]]:
    """What takes a hook away, and the weight that the hook computes."""
    from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            yield remove_weight_norm, hook.name
        elif isinstance(hook, SpectralNorm):
            yield remove_spectral_norm, hook.name
        elif isinstance(hook, prune.BasePruningMethod):
            yield prune.remove, hook._tensor_name
