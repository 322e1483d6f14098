"""``program.pt2``: the PyTorch model that an ONNX file was made from, once stages have changed it.

A pruned or fine-tuned module is no longer what its class makes. As a torch.export program it loads without that class,
and without slimline: ``torch.export.load("program.pt2").module()``.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.artifact import Artifact
from pipeline.errors import Skipped, first_line

PROGRAM_FILE = "program.pt2"
AGREEMENT = 1e-4
"""Largest difference between program and model, relative to the model's largest output; both compute in fp32."""
_OTHER_BATCH = 3


def write_program(source: Artifact, out: Path) -> None:
    """Write the program of a PyTorch artifact to the file ``out``, load it again, and compare it with the model at
    another batch than it was exported with; raises Skipped, with the reason, where that does not work out.

    Imports torch: call it in a process of its own.
    """
    import torch

    from pipeline.torch_artifact import as_tensors, example_inputs, export_program, load_module, load_spec

    spec, module = load_spec(source.path), load_module(source.path)
    try:
        program = export_program(module, example_inputs(spec))
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # paths of this machine
        torch.export.save(program, out)
        inputs = example_inputs(spec, _OTHER_BATCH)
        with torch.no_grad():
            pairs = zip(as_tensors(module(*inputs)), as_tensors(torch.export.load(out).module()(*inputs)), strict=True)
            worst = max(
                float((mine - theirs).abs().max() / mine.abs().max().clamp_min(1e-12)) for mine, theirs in pairs
            )
    except Exception as error:  # whatever torch raises for a model that it can't follow
        out.unlink(missing_ok=True)
        raise Skipped(f"torch.export can't follow it: {first_line(error)}") from error
    if not worst <= AGREEMENT:
        out.unlink()
        raise Skipped(f"its torch.export program differs from it by {worst:.2g} of its largest output")
