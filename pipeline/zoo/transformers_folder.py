"""What the files of a folder tell that transformers' ``save_pretrained`` wrote, before any library is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import UserError
from pipeline.zoo.hub_folder import CONFIG, MODULES, model_folder, read_object, read_objects
from pipeline.zoo.pictures import Pictures, of_processor

Task = Literal[
    "text-classification", "token-classification", "image-classification", "feature-extraction", "embedding"
]  # fmt: skip
Pooling = Literal["mean", "cls", "max"]
OUTPUTS: Mapping[Task, str] = {
    "text-classification": "logits",
    "token-classification": "logits",
    "image-classification": "logits",
    "feature-extraction": "last_hidden_state",
    "embedding": "embedding",
}
"""The output of each task."""
_ENDINGS: Mapping[str, Task] = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForImageClassification": "image-classification",
    "Model": "feature-extraction",
}
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_PLACES_FROM_FILLING = ("camembert", "longformer", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""Kinds of models that count a text's places from the number behind their filling token's."""
_UNUSED = (
    "_name_or_path", "architectures", "auto_map", "dtype", "id2label", "label2id", "torch_dtype",
    "transformers_version",
)  # fmt: skip
"""What ``config.json`` says that decides nothing about the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """How sentence-transformers makes one vector of the states of a text's tokens."""

    pooling: Pooling
    normalized: bool
    """Whether the vector has length 1."""


@dataclass(frozen=True, kw_only=True)
class TransformersFolder:
    """A folder, or the name of a hub's model in this machine's cache. Each property raises UserError where the folder
    does not tell it."""

    given: Path

    @cached_property
    def path(self) -> Path:
        """The folder."""
        return model_folder(self.given)

    @cached_property
    def base(self) -> Path:
        """The folder with the network and the tokenizer: sentence-transformers may keep them in one of its own."""
        return self.path if not self._modules else self.path / str(self._modules[0].get("path", ""))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The content of ``config.json``."""
        config = read_object(self.base / CONFIG)
        if "model_type" not in config:
            raise UserError(f"{self.base / CONFIG} has no model_type: give a folder that save_pretrained wrote")
        return config

    @cached_property
    def network(self) -> Mapping[str, Any]:
        """What of ``config.json`` decides about the network, with the number of classes in place of their names."""
        names = self.config.get("id2label")
        classes = {} if names is None else {"num_labels": len(names)}
        return {key: value for key, value in self.config.items() if key not in _UNUSED} | classes

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes' names in their order; none where they have only numbers."""
        names = self.config.get("id2label") or {}
        ordered = tuple(str(names[key]) for key in sorted(names, key=int))
        return () if all(name == f"LABEL_{place}" for place, name in enumerate(ordered)) else ordered

    def task(self, wanted: Task | None) -> Task:
        """The task that is wanted, or the one that the folder is for."""
        if wanted == "embedding" and not self._modules:
            raise UserError(
                f"model.path={self.given} has no {MODULES}, which says how tokens' states become one embedding: "
                "model.task=feature-extraction gives the states"
            )
        if wanted is not None:
            return wanted
        if self._modules:
            return "embedding"
        names = self.config.get("architectures") or ["nothing"]
        found = next((task for ending, task in _ENDINGS.items() if str(names[0]).endswith(ending)), None)
        if found is None or self.config.get("is_encoder_decoder"):
            raise UserError(
                f"model.path={self.given} is a {names[0]}, and the models that are taken are called "
                f"{', '.join(f'…{ending}' for ending in _ENDINGS)}: to take it as one of them, type model.task=TASK "
                f"({', '.join(get_args(Task))})"
            )
        return found

    @cached_property
    def pictures(self) -> Pictures | None:
        """The pictures that the model reads; None: it reads texts."""
        for name in _PROCESSORS:
            if (self.base / name).is_file():
                content = read_object(self.base / name)
                processor = content.get("image_processor", content)
                if "sampling_rate" in processor:
                    raise UserError(f"model.path={self.given} reads audio: export it to ONNX, and give the .onnx file")
                if "size" in processor or "image_mean" in processor:
                    return of_processor(processor, self.config, str(self.base / name))
        if "image_size" in self.config:
            raise UserError(
                f"{self.base} has no {_PROCESSORS[0]}, which says how pictures become numbers: save the model's image "
                "processor into the folder"
            )
        return None

    @cached_property
    def below(self) -> Mapping[str, int | None]:
        """The inputs of a model that reads texts, in its order, and the number that their numbers are below; None: not
        known."""
        parts = self.config.get("type_vocab_size")
        types = {"token_type_ids": parts} if isinstance(parts, int) and parts > 1 else {}
        return {"input_ids": self.config.get("vocab_size"), "attention_mask": None, **types}

    @cached_property
    def longest(self) -> int | None:
        """The most tokens of a text; None: any number."""
        places = self.config.get("max_position_embeddings")
        if not isinstance(places, int) or places < 1:
            return None
        skipped = int(self.config.get("pad_token_id") or 0) + 1
        return places - skipped if self.config["model_type"] in _PLACES_FROM_FILLING else places

    @cached_property
    def embedding(self) -> Embedding:
        """How tokens' states become one vector."""
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in self._modules]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise UserError(
                f"{self.path / MODULES} names {', '.join(kinds)}, and what is taken is Transformer, Pooling and then, "
                "maybe, Normalize: model.task=feature-extraction gives the states of the tokens"
            )
        file = self.path / str(self._modules[1].get("path", "")) / CONFIG
        return Embedding(pooling=_pooling(read_object(file), file), normalized=len(kinds) == 3)

    @cached_property
    def _modules(self) -> list[Mapping[str, Any]]:
        file = self.path / MODULES
        return read_objects(file) if file.is_file() else []


def _pooling(config: Mapping[str, Any], file: Path) -> Pooling:
    """The one way of pooling; older files have a switch for each."""
    prefix = "pooling_mode_"
    switched = [
        key.removeprefix(prefix).removesuffix("_tokens").removesuffix("_token")
        for key, value in config.items()
        if key.startswith(prefix) and value is True
    ]
    told = config.get("pooling_mode", switched)
    modes = [told] if isinstance(told, str) else list(told)
    found = next((way for way in get_args(Pooling) if [way] == modes), None)
    if found is None:
        raise UserError(
            f"{file} pools by {' and '.join(map(str, modes)) or 'nothing'}; available: {', '.join(get_args(Pooling))}"
        )
    pooling: Pooling = found
    return pooling
