"""``program.pt2``: a PyTorch model as a program of torch.export.

A pruned or fine-tuned module is no longer what its class makes. As a torch.export program it loads without that class,
and without slimline: ``torch.export.load("program.pt2").module()``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact
from pipeline.errors import Skipped, first_line

PROGRAM_FILE = "program.pt2"
AGREEMENT = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""The largest difference between program and model, relative to the model's largest output, by the type that both
compute in."""
_OTHER_BATCHES = (1, 3)


def write_program(source: Artifact, out: Path, dtype: str | None = None) -> None:
    """Write the program of a PyTorch artifact, load it again, and compare it with the model at other batches than it
    was exported with; raises Skipped, with the reason, where that does not work out.

    ``dtype`` is the type that the program computes in; None: the model's own types.

    Imports torch: call it in a process of its own.
    """
    import torch

    from pipeline.artifact.torch_module import (
        as_tensors,
        example_inputs,
        export_program,
        load_module,
        load_spec,
    )

    kind = getattr(torch, dtype) if dtype else None

    def inputs(batch: int = 2) -> tuple[torch.Tensor, ...]:
        return tuple(
            tensor.to(kind) if kind and tensor.is_floating_point() else tensor for tensor in example_inputs(spec, batch)
        )

    spec, module = load_spec(source.path), load_module(source.path)
    module = module.to(kind) if kind else module
    try:
        program = export_program(module, inputs(), spec.inputs)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
        torch.export.save(program, out)
        loaded, worst = torch.export.load(out).module(), 0.0
        with torch.no_grad():
            for batch in _OTHER_BATCHES:
                pairs = zip(as_tensors(module(*inputs(batch))), as_tensors(loaded(*inputs(batch))), strict=True)
                worst = max(worst, *(_difference(mine, theirs) for mine, theirs in pairs))
    except Exception as error:  # whatever torch raises for a model that it can't follow
        out.unlink(missing_ok=True)
        raise Skipped(f"torch.export can't follow it: {first_line(error)}") from error
    if not worst <= AGREEMENT[dtype or "float32"]:
        out.unlink()
        raise Skipped(f"its torch.export program differs from it by {worst:.2g} of its largest output")


def signature(source: Artifact) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """The inputs of a PyTorch artifact as a manifest describes them, and its outputs' names."""
    from pipeline.artifact.torch_module import load_spec

    spec = load_spec(source.path)
    inputs = tuple({"name": entry.name, "dtype": entry.dtype, "shape": [*entry.sizes]} for entry in spec.inputs)
    return inputs, tuple({"name": name} for name in spec.outputs)


def _difference(mine: Any, theirs: Any) -> float:
    mine, theirs = mine.float(), theirs.float()
    return float((mine - theirs).abs().max() / mine.abs().max().clamp_min(1e-12))
