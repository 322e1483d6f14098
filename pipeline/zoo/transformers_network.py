"""Networks of transformers: made from a description, and filled with the weights of a folder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import UserError, first_line
from pipeline.libraries.installed import version
from pipeline.libraries.muted import errors_only
from pipeline.zoo.transformers_folder import Pooling, Task

PACKAGE = "transformers"
_CLASSES: Mapping[Task, str] = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "image-classification": "AutoModelForImageClassification",
    "feature-extraction": "AutoModel",
    "embedding": "AutoModel",
}
_FEWEST_TOKENS = 1e-9
_SHOWN = 5
"""Names listed in a message."""
_WRITTEN_OUT = "eager"
"""Attention in operators of its own, which exporters, fusions and pruning see."""


class TextEmbedding(nn.Module):
    """One vector for a text, from the states that an encoder gives its tokens.

    ``pooling`` takes the tokens' mean, the first token, or the largest value of each channel; then the vector may be
    scaled to length 1. Source: Reimers & Gurevych 2019, arXiv:1908.10084, as sentence-transformers has it.
    """

    def __init__(self, encoder: nn.Module, pooling: Pooling, normalized: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.normalized = normalized

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **others: Tensor) -> dict[str, Tensor]:
        """Token numbers [N, L] and a mask [N, L] (1: token, 0: filling) to ``embedding`` [N, H]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **others).last_hidden_state
        vector = self._pooled(states, attention_mask[:, :, None])
        return {"embedding": nn.functional.normalize(vector, dim=1) if self.normalized else vector}

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "max":
            return states.masked_fill(mask == 0, torch.finfo(states.dtype).min).amax(1)
        weights = mask.to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=_FEWEST_TOKENS)


def network(
    config: Mapping[str, Any], task: Task, pooling: Pooling | None = None, normalized: bool = False
) -> nn.Module:
    """The network of a ``config.json`` with random weights, in float32.

    Raises UserError where transformers is not installed, or does not know such a model.
    """
    library = _library()
    kind = str(config["model_type"])
    try:
        described = library.AutoConfig.for_model(**config)
        model = _kind(task).from_config(described, attn_implementation=_WRITTEN_OUT, dtype=torch.float32)
    except ValueError as error:
        raise UserError(f"transformers {version(PACKAGE)} has no {task} for the model_type '{kind}'") from error
    if task in ("feature-extraction", "embedding") and _has_spare_pooler(model):
        model.pooler = None
    made: nn.Module = model if pooling is None else TextEmbedding(model, pooling, normalized)
    return made


def load_pretrained(module: nn.Module, folder: Path, task: Task) -> list[str]:
    """Fill a network of ``network``'s, in place, with a folder's weights, as transformers reads them. No code in the
    folder is run.

    Returns what was left out, a sentence each. Raises UserError where a weight is missing or of another shape.
    """
    library = _library()
    library.utils.logging.disable_progress_bar()
    with errors_only(PACKAGE):
        try:
            read, report = _kind(task).from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"model.path={folder} can't be read: {first_line(error)}") from error
    encoder = module.encoder if isinstance(module, TextEmbedding) else module
    own = encoder.state_dict().keys()
    missing = sorted(own & {*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if missing:
        raise UserError(
            f"the weights in {folder} do not fit {task}: they lack {_some(missing)}, or have another shape for it"
        )
    encoder.load_state_dict({name: value for name, value in read.state_dict().items() if name in own})
    unread = sorted(report["unexpected_keys"])
    return [f"the weights {_some(unread)} in the folder are left out: {task} has no use for them"] if unread else []


def _library() -> Any:
    """transformers; raises UserError where it can't be imported."""
    if find_spec(PACKAGE) is None:
        raise UserError("folders of transformers need the extra 'transformers': pip install 'slimline[transformers]'")
    try:
        import transformers
        from transformers import PreTrainedModel as PreTrainedModel
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"transformers can't be imported ({first_line(error.__cause__ or error)}): where torchvision is installed, "
            f"it has to be the build that belongs to torch {version('torch')}"
        ) from error
    return transformers


def _kind(task: Task) -> Any:
    return getattr(_library(), _CLASSES[task])


def _has_spare_pooler(model: nn.Module) -> bool:
    """Whether a network has a layer behind its states that it can do without."""
    return "add_pooling_layer" in inspect.signature(type(model).__init__).parameters


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
