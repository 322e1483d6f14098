"""What Olive makes of an ONNX file, for ONNX Runtime. Runs in an environment with requirements-olive.txt.

PYTHON benchmarks/peers/olive_onnx.py --onnx MODEL.onnx --calibration CALIBRATION.npz --out FOLDER [--transformer]

Each model is an Olive workflow: one pass, or a chain of them, on the CPU. Its ranges are those of all examples given,
but for the methods that keep every activation in memory: those get the first ``HISTOGRAM_EXAMPLES``. The last ones are
what ``olive quantize`` and ``olive optimize`` choose by themselves.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from making import Example, Maker, command_line, examples, prefix
from olive.data.registry import Registry  # type: ignore[import-not-found]
from olive.workflows import run  # type: ignore[import-not-found]

RUNS = {"onnxruntime": "Olive"}
DATA = "calibration"
HISTOGRAM_EXAMPLES = 64
Passes = Mapping[str, Mapping[str, Any]]

STATIC: Mapping[str, Mapping[str, Any]] = {
    "static_int8": {},
    "static_uint8": {"activation_type": "uint8"},
    "static_uint8_per_channel": {"activation_type": "uint8", "per_channel": True},
    "static_few_ops_uint8": {"activation_type": "uint8", "prepare_qdq_config": False},
    "static_few_ops_uint8_per_channel": {"activation_type": "uint8", "per_channel": True, "prepare_qdq_config": False},
    "static_reduced_range": {
        "activation_type": "uint8", "per_channel": True, "prepare_qdq_config": False, "reduce_range": True,
    },
}  # fmt: skip
"""Fields of OnnxStaticQuantization; the first is as Olive's own defaults have it."""
HISTOGRAMS: Mapping[str, Mapping[str, Any]] = {
    f"static_{method.lower()}": {**STATIC["static_few_ops_uint8_per_channel"], "calibrate_method": method}
    for method in ("Percentile", "Entropy")
}
"""The same with ranges from histograms; not for a transformer."""
PRODUCTS: Mapping[str, Mapping[str, Any]] = {
    "static_products": {
        **STATIC["static_few_ops_uint8_per_channel"],
        "op_types_to_quantize": ["MatMul", "Gemm"],
        "extra_options": {"MatMulConstBOnly": True},
    }
}
"""For a transformer: its products with weights alone, which keeps attention and embeddings in float."""
DYNAMIC: Mapping[str, Mapping[str, Any]] = {
    "dynamic_int8": {},
    "dynamic_int8_per_channel": {"per_channel": True},
    "dynamic_int8_reduced_range": {"per_channel": True, "reduce_range": True},
    "dynamic_int8_matmul": {"op_types_to_quantize": ["MatMul", "Gemm"]},
    "dynamic_int8_matmul_per_channel": {"op_types_to_quantize": ["MatMul", "Gemm"], "per_channel": True},
    "dynamic_uint8": {"precision": "uint8"},
}
"""Fields of OnnxDynamicQuantization."""
PEEPHOLE = {"peephole": {"type": "OnnxPeepholeOptimizer"}}
FUSIONS: Mapping[str, Passes] = {
    "fused": {
        "fuse": {"type": "OrtTransformersOptimization", "model_type": "bert", "opt_level": 0},
        # It leaves the domain of its operators undeclared, at which quantizing stops; Olive has the cure elsewhere.
        "declare": {
            "type": "OnnxPeepholeOptimizer", "onnxscript_optimize": False, "onnxoptimizer_optimize": False,
            "fuse_reshape_operations": False, "fix_com_microsoft_opset": True,
        },
    },
    "fused_onnxscript": {"fuse": {"type": "OnnxScriptFusion"}},
}  # fmt: skip
"""For transformers: each suits the graphs of another exporter."""


class Examples:
    """Pairs of a batch of one and nothing: Olive reads inputs and labels."""

    def __init__(self, data: Sequence[Example]) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[Example, int]:
        return {name: array[0] for name, array in self._data[index].items()}, 0


@Registry.register_dataset()  # type: ignore[untyped-decorator]
def calibration_examples(file: str, count: int | None = None, **_: Any) -> Examples:
    """Olive finds the data by this function's name."""
    return Examples(examples(Path(file))[:count])


def main(files: Sequence[Path], calibration: Path, out: Path, transformer: bool, limit: int | None) -> None:
    """Make every model, and say in ``out``/made.json what came of it."""
    make = Maker(out, ("olive-ai", "onnxruntime", "onnx", "torch", "numpy"))
    for file in files:
        make_from(file, calibration, limit, transformer, make)


def make_from(file: Path, calibration: Path, limit: int | None, transformer: bool, make: Maker) -> None:
    """Every model of one ONNX file."""
    for name, passes in chains(transformer, examples(calibration)[0]).items():

        def write(folder: Path, passes: Passes = passes) -> None:
            with tempfile.TemporaryDirectory() as work:
                run_olive(workflow(file, calibration, limit, passes, Path(work)))
                collect(Path(work) / "out", folder)

        make(f"{prefix(file)}{name}", RUNS, write)
    for name, command in commands(file).items():

        def call(folder: Path, command: Sequence[str] = command) -> None:
            with tempfile.TemporaryDirectory() as work:
                call_olive([*command, "-o", f"{work}/out"], Path(work))
                collect(Path(work) / "out", folder)

        make(f"{prefix(file)}{name}", RUNS, call)


def chains(transformer: bool, example: Example) -> dict[str, Passes]:
    """The passes of each workflow, by its name."""
    static = {
        name: {"type": "OnnxStaticQuantization", "data_config": _data(fields), **fields}
        for name, fields in {**STATIC, **(PRODUCTS if transformer else HISTOGRAMS)}.items()
    }
    dynamic = {name: {"type": "OnnxDynamicQuantization", **fields} for name, fields in DYNAMIC.items()}
    fix = {
        "type": "DynamicToFixedShape",
        "input_name": list(example),
        "input_shape": [list(array.shape) for array in example.values()],
    }
    found: dict[str, Passes] = {"peephole": PEEPHOLE, "fixed_shape": {"fix": fix}}
    found |= {name: {"quantize": fields} for name, fields in {**static, **dynamic}.items()}
    if not transformer:
        found["peephole_static_few_ops_uint8"] = {**PEEPHOLE, "quantize": static["static_few_ops_uint8"]}
    for fusion, passes in (FUSIONS if transformer else {}).items():
        found[fusion] = passes
        for name in ("dynamic_int8", "dynamic_int8_per_channel", "dynamic_int8_reduced_range", "static_products"):
            found[f"{fusion}_{name}"] = {**passes, "quantize": _for_fused({**static, **dynamic}[name])}
    return found


def _for_fused(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fused operators hide from shape inference what type they give: take it for float."""
    return {**fields, "extra_options": {**fields.get("extra_options", {}), "DefaultTensorType": 1}}


def _data(fields: Mapping[str, Any]) -> str:
    return f"{DATA}_few" if fields.get("calibrate_method", "MinMax") != "MinMax" else DATA


def workflow(file: Path, calibration: Path, limit: int | None, passes: Passes, work: Path) -> dict[str, Any]:
    """Olive's configuration of a workflow that writes to ``work``/out."""
    data = [
        {
            "name": name,
            "load_dataset_config": {
                "type": "calibration_examples",
                "params": {"file": str(calibration), "count": count},
            },
            "dataloader_config": {"batch_size": 1},
        }
        for name, count in ((DATA, limit), (f"{DATA}_few", min(limit or HISTOGRAM_EXAMPLES, HISTOGRAM_EXAMPLES)))
    ]
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(file)},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
            }
        },
        "host": "here",
        "target": "here",
        "data_configs": data,
        "passes": {name: dict(fields) for name, fields in passes.items()},
        "cache_dir": str(work / "cache"),
        "output_dir": str(work / "out"),
        "log_severity_level": 3,
    }


def commands(file: Path) -> dict[str, Sequence[str]]:
    """Olive's own choice of passes."""
    return {
        "olive_quantize": ["quantize", "-m", str(file), "--algorithm", "rtn", "--precision", "int8",
                           "--implementation", "ort"],
    }  # fmt: skip


def run_olive(configuration: Mapping[str, Any]) -> None:
    """Run a workflow. Olive logs a pass that failed and ends as if all were well: here that is the error it was."""
    errors: list[BaseException] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1] is not None:
                errors.append(record.exc_info[1])

    handler = Keep(logging.ERROR)
    logging.getLogger("olive").addHandler(handler)
    try:
        run(configuration)
    finally:
        logging.getLogger("olive").removeHandler(handler)
    if errors:
        raise errors[0]


def call_olive(arguments: Sequence[str], work: Path) -> None:
    """Run Olive's command line; raises RuntimeError with the last line that it printed."""
    called = subprocess.run([sys.executable, "-m", "olive", *arguments], cwd=work, capture_output=True, text=True)
    if called.returncode:
        raise RuntimeError((called.stderr.strip() or called.stdout.strip() or "no reason given").splitlines()[-1])


def collect(out: Path, folder: Path) -> None:
    """Take over the one ONNX file that Olive left, as ``model.onnx``, with its external data."""
    found = sorted(out.rglob("*.onnx"))
    if len(found) != 1:
        raise RuntimeError(f"Olive wrote {len(found)} ONNX files: {', '.join(file.name for file in found) or 'none'}")
    for file in found[0].parent.iterdir():
        if file == found[0] or file.suffix == ".data":
            shutil.copyfile(file, folder / ("model.onnx" if file == found[0] else file.name))


if __name__ == "__main__":
    # Olive reports its use to its makers otherwise, and the hub of data sets is not to be asked for anything.
    os.environ |= {"OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    arguments = command_line(__doc__)
    main(
        [file.resolve() for file in arguments.onnx],
        arguments.calibration.resolve(),
        arguments.out.resolve(),
        arguments.transformer,
        arguments.examples,
    )
