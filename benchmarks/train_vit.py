"""A small vision transformer on Fashion-MNIST, to try pruning on: docs/pruning.md.

python benchmarks/train_vit.py outputs/vit.safetensors

Trains on the shipped train split (28,000 images) and prints what to run then. A few minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pipeline.training.examples import accuracy
from pipeline.training.loop import fit
from pipeline.training.recipe import Recipe
from pipeline.zoo.train_reference import shipped
from pipeline.zoo.vit import VisionTransformer

ARGUMENTS: dict[str, Any] = {
    "image": 28, "patch": 4, "channels": 1, "hidden": 64, "layers": 6, "heads": 4, "inner": 256, "num_classes": 10
}  # fmt: skip
RECIPE = Recipe(
    epochs=3,
    learning_rate=0.002,
    optimizer="adamw",
    schedule="cosine",
    weight_decay=0.05,
    augmentation=("flip", "crop"),
)


def main(out: Path) -> None:
    """Train and write the weights."""
    torch.manual_seed(RECIPE.seed)
    model = VisionTransformer(**ARGUMENTS)
    validation = shipped("validation")
    fit(
        model,
        shipped("train"),
        lambda trained: accuracy(trained, validation),
        RECIPE,
        out.with_suffix(".ckpt"),
        lambda done, line: print(f"{done:6.1%}  {line}", flush=True),
    )
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, out)
    arguments = ", ".join(f"{name}: {value}" for name, value in ARGUMENTS.items())
    print(
        f"python -m pipeline model=torch model.name=vit model.factory=pipeline.zoo.vit.VisionTransformer "
        f"model.weights={out} '+model.arguments={{{arguments}}}' '+model.inputs={{image: {{shape: [1, 28, 28]}}}}' "
        "'+model.preprocessing={image: {scale: 0.00392156862745098, mean: [0.286], std: [0.353]}}' "
        "variant=[baseline,pruned]"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="a .safetensors file")
    main(parser.parse_args().out)
