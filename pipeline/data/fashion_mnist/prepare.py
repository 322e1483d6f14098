"""Make the shipped splits from the official Fashion-MNIST files.

    python -m pipeline.data.fashion_mnist.prepare [--source DIR]

The source is the folder that Debian's package ``dataset-fashion-mnist`` installs (idx files, gzip). The whole
official test set becomes ``test.npz``. Of the official training set, images whose bytes also occur in the test set are
left out, duplicates are dropped, and the rest is put in the order of the sha256 of its bytes: the first 1,000 are the
calibration split, the next 3,000 the validation split, the next 28,000 the shipped training split. The reference model
is trained on everything after the first 4,000 (``training_arrays``), so it has seen neither calibration nor validation
images.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCE = Path("/usr/share/datasets/fashion-mnist")
SIZES = {"calibration": 1_000, "validation": 3_000, "train": 28_000}

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one gzip-compressed IDX file of unsigned bytes (format: http://yann.lecun.com/exdb/mnist/)."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_official(source: Path, name: str) -> Split:
    """Read ``train`` or ``t10k``: images [N, 1, 28, 28] uint8 and labels [N] int64."""
    images = read_idx(source / f"{name}-images-idx3-ubyte.gz")[:, None]
    return images, read_idx(source / f"{name}-labels-idx1-ubyte.gz").astype(np.int64)


def ordered_training_set(source: Path) -> Split:
    """The official training set without duplicates and test images, ordered by the sha256 of each image."""
    images, labels = read_official(source, "train")
    test_images, _ = read_official(source, "t10k")
    excluded = {hashlib.sha256(image.tobytes()).digest() for image in test_images}
    first_index: dict[bytes, int] = {}
    for index, image in enumerate(images):
        digest = hashlib.sha256(image.tobytes()).digest()
        if digest not in excluded:
            first_index.setdefault(digest, index)
    order = [first_index[digest] for digest in sorted(first_index)]
    return images[order], labels[order]


def training_arrays(source: Path = SOURCE) -> Split:
    """The images that the reference model is trained on: the official training set less calibration and validation."""
    images, labels = ordered_training_set(source)
    start = SIZES["calibration"] + SIZES["validation"]
    return images[start:], labels[start:]


def prepare(source: Path, destination: Path) -> None:
    """Write the four shipped files into ``destination``."""
    images, labels = ordered_training_set(source)
    start = 0
    for split, size in SIZES.items():
        np.savez_compressed(
            destination / f"{split}.npz",
            image=images[start : start + size],
            labels=labels[start : start + size],
        )
        start += size
    test_images, test_labels = read_official(source, "t10k")
    np.savez_compressed(destination / "test.npz", image=test_images, labels=test_labels)


def main() -> None:
    """Parse the command line and write the splits beside this file."""
    parser = argparse.ArgumentParser(description="Make the shipped Fashion-MNIST splits.")
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder with the official gzip files")
    arguments = parser.parse_args()
    prepare(arguments.source, Path(__file__).parent)


if __name__ == "__main__":
    main()
