"""Train the reference model and write its weights and card.

    python -m pipeline.zoo.train_reference [--source DIR]

Reads the official Fashion-MNIST files (Debian package ``dataset-fashion-mnist``), trains on the official training set
less the validation and calibration splits, and writes ``models/fashion_resnet/`` (weights as safetensors, card.json).
Takes about an hour on two cores; a stopped training goes on after its last whole epoch. A run of the pipeline never
trains this model.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pipeline.artifact.torch_module import ModelInput
from pipeline.data.dataset import Split
from pipeline.data.fashion_mnist import prepare
from pipeline.data.preprocessing import Preprocessing
from pipeline.training.examples import Examples, accuracy
from pipeline.training.loop import fit
from pipeline.training.recipe import Recipe
from pipeline.zoo.resnet import SmallResNet

ARGUMENTS: dict[str, Any] = {"widths": [32, 64, 128], "blocks": [1, 2, 2]}
PREPROCESSING = Preprocessing(scale=1 / 255, mean=(0.286,), std=(0.353,))
RECIPE = Recipe(epochs=12, learning_rate=0.1, batch_size=128, augmentation=("flip", "crop"), channels_last=True)
FOLDER = Path("models/fashion_resnet")


def examples(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Examples:
    """Images [N, 1, 28, 28] and their classes, as the model reads them."""
    inputs = (ModelInput(name="image", shape=(1, 28, 28)),)
    return Examples(Split({"image": images}, labels), inputs, {"image": PREPROCESSING})


def shipped(split: str) -> Examples:
    """One of the splits that ship with the package."""
    with np.load(Path(prepare.__file__).parent / f"{split}.npz") as arrays:
        return examples(arrays["image"], arrays["labels"])


def train(source: Path, folder: Path) -> None:
    """Train, evaluate once on the test set, and write weights and card."""
    torch.manual_seed(RECIPE.seed)
    model = SmallResNet(**ARGUMENTS)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = time.monotonic()

    def progress(done: float, line: str) -> None:
        print(f"{done:6.1%}  {time.monotonic() - started:6.0f} s  {line}", flush=True)

    validation = shipped("validation")
    history = fit(
        model,
        examples(*prepare.training_arrays(source)),
        lambda trained: accuracy(trained, validation),
        RECIPE,
        Path("models/store/reference.ckpt"),
        progress,
    )
    test_accuracy = accuracy(model, shipped("test"))
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)  # safetensors lets nobody else read it
    card = {
        "name": folder.name,
        "architecture": {"_target_": "pipeline.zoo.resnet.SmallResNet", **ARGUMENTS},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "preprocessing": PREPROCESSING.to_dict(),
        "data": "Fashion-MNIST (Zalando SE, MIT), official training set less the validation and calibration splits",
        "recipe": asdict(RECIPE),
        "validation_accuracy_by_epoch": history,
        "test_accuracy": test_accuracy,
        "test_examples": 10_000,
        "command": "python -m pipeline.zoo.train_reference",
        "torch": torch.__version__,
        "license": "Apache-2.0",
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"test accuracy {test_accuracy:.2%}: written to {folder}")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the reference model.")
    parser.add_argument("--source", type=Path, default=prepare.SOURCE, help="folder with the official gzip files")
    train(parser.parse_args().source, FOLDER)


if __name__ == "__main__":
    main()
