"""Small folders in the format of the Hugging Face hub, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "very", *(f"w{number}" for number in range(40))]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 48,
}
PICTURE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 16, "width": 16},
    "resample": 2,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.3, 0.4, 0.5],
}


def described(folder: Path, config: dict[str, Any], **files: Any) -> Path:
    """A folder with JSON files and weights that hold nothing: enough for what is told before a network is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "model.safetensors").touch()
    return folder


def bert(**changes: Any) -> dict[str, Any]:
    """The ``config.json`` of a small BERT that classifies texts."""
    own = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "type_vocab_size": 2}
    return {**own, **SIZES, **changes}


def saved(folder: Path, architecture: str, **settings: Any) -> Any:
    """Save a network of transformers, with random weights; returns it."""
    import torch
    import transformers

    torch.manual_seed(0)
    kind: Any = getattr(transformers, architecture)
    sizes = PICTURE if architecture.startswith("ViT") else SIZES
    network = kind(kind.config_class(**{**sizes, **settings})).eval()
    network.save_pretrained(folder)
    return network


def embedding(folder: Path, pooling: dict[str, Any], *kinds: str) -> Path:
    """Make a folder one of sentence-transformers."""
    paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds) if place)]
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in zip(paths, kinds, strict=True)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder
