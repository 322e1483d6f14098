"""Runs the deprecated package onnxruntime-tools in a process of its own: SOURCE OUT MODEL_TYPE NUM_HEADS
HIDDEN_SIZE."""

from __future__ import annotations

import sys
import warnings


def main(source: str, out: str, model_type: str, num_heads: str, hidden_size: str) -> None:
    """Fuse the graph in ``source`` and write it to ``out``."""
    warnings.simplefilter("ignore")
    from onnxruntime_tools import optimizer

    model = optimizer.optimize_model(
        source, model_type=model_type, num_heads=int(num_heads), hidden_size=int(hidden_size)
    )
    model.save_model_to_file(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
