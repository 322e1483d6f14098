"""What NNCF makes of an ONNX file, for OpenVINO. Runs in an environment with requirements-nncf.txt.

PYTHON benchmarks/peers/nncf_openvino.py --onnx MODEL.onnx --calibration CALIBRATION.npz --out FOLDER [--transformer]

In OpenVINO's own format: fp32, post-training int8 with both presets and with the slower, more accurate bias correction
(with ``--transformer``, instead: as NNCF has it for that type of model, whose preset is its own), int8 weights alone;
each with free shapes, and the same model with its input shapes fixed to one example. And post-training int8 of the ONNX
file itself, which stays ONNX. Calibrated on all examples given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nncf
import onnx
import openvino
from making import Example, Maker, command_line, examples, prefix

IR = {"openvino_ir": "NNCF + OpenVINO"}
ONNX = {"openvino": "NNCF + OpenVINO", "onnxruntime": "NNCF + ONNX Runtime"}


def main(files: Sequence[Path], data: Sequence[Example], out: Path, transformer: bool) -> None:
    """Make every model, and say in ``out``/made.json what came of it."""
    make = Maker(out, ("nncf", "openvino", "onnx", "numpy"))
    for file in files:
        make_from(file, data, transformer, make)


def make_from(file: Path, data: Sequence[Example], transformer: bool, make: Maker) -> None:
    """Every model of one ONNX file."""
    dataset = nncf.Dataset(data)
    for name, compress in _compressions(dataset, len(data), transformer).items():
        made: list[Any] = []

        def write(folder: Path, compress: Callable[[Any], Any] = compress, made: list[Any] = made) -> None:
            made.append(compress(openvino.convert_model(str(file))))
            _save(made[0], folder)

        def write_fixed(folder: Path, made: list[Any] = made) -> None:
            model = made[0]
            model.reshape(_shapes(model, data[0]))
            _save(model, folder)

        make(f"{prefix(file)}{name}", IR, write)
        if made:
            make(f"{prefix(file)}{name}_fixed_shape", IR, write_fixed)
    for name, settings in _settings(transformer).items():

        def write_onnx(folder: Path, settings: Mapping[str, Any] = settings) -> None:
            quantized = nncf.quantize(onnx.load(str(file)), dataset, subset_size=len(data), **settings)
            onnx.save(quantized, str(folder / "model.onnx"))

        make(f"{prefix(file)}{name}_onnx", ONNX, write_onnx)


def _save(model: Any, folder: Path) -> None:
    openvino.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)


def _compressions(dataset: Any, count: int, transformer: bool) -> dict[str, Callable[[Any], Any]]:
    found: dict[str, Callable[[Any], Any]] = {"fp32": lambda model: model}
    for name, settings in _settings(transformer).items():

        def quantize(model: Any, settings: Mapping[str, Any] = settings) -> Any:
            return nncf.quantize(model, dataset, subset_size=count, **settings)

        found[name] = quantize
    found["int8_weights"] = lambda model: nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    return found


def _settings(transformer: bool) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"int8": {}}
    if transformer:
        return {**found, "int8_transformer": {"model_type": nncf.ModelType.TRANSFORMER}}
    mixed = {"preset": nncf.QuantizationPreset.MIXED}
    return {**found, "int8_mixed": mixed, "int8_accurate_bias": {**mixed, "fast_bias_correction": False}}


def _shapes(model: Any, example: Example) -> dict[str, list[int]]:
    """Every input's shape for one example, by the input's name."""
    return {port.get_any_name(): list(example[port.get_any_name()].shape) for port in model.inputs}


if __name__ == "__main__":
    arguments = command_line(__doc__)
    data = examples(arguments.calibration)[: arguments.examples]
    main(arguments.onnx, data, arguments.out, arguments.transformer)
