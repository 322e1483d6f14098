"""``golden.npz``: a few raw inputs, the outputs that the model gave for them, and their true classes.

The file that is read may be anybody's: it has to say how large it gets before it is unpacked.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_file import Tolerance
from pipeline.bundle import manifest as manifests
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.slimline_infer.values import Arrays, InputError, checked, printable, value_range
from pipeline.data.dataset import IGNORED, Split
from pipeline.metrics import in_classes, place_read, told_classes
from pipeline.plan import Metric

MOST_BYTES = 2**31
"""The most bytes of all arrays together, unpacked."""
MOST_INPUT_BYTES = 2**27
"""The most bytes of golden inputs, unless a single example takes more."""
EXAMPLES, MOST_EXAMPLES = 16, 32
"""The fewest and the most golden examples; between them there are as many as the batch size."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def choose(examples: Split, batch_size: int) -> Split:
    """The first few examples; fewer where examples are large."""
    wanted = min(max(EXAMPLES, batch_size), MOST_EXAMPLES)
    bytes_each = sum(array.nbytes for array in examples.take(0, 1).inputs.values())
    return examples.take(0, max(1, min(wanted, MOST_INPUT_BYTES // max(1, bytes_each))))


def write(path: Path, golden: Split, outputs: Arrays) -> None:
    """Write all arrays into one file. Labels that are no class numbers are left out."""
    arrays: dict[str, NDArray[Any]] = {f"input.{name}": array for name, array in golden.arrays.items()}
    arrays.update({f"output.{name}": array for name, array in outputs.items()})
    if golden.labels is not None and golden.labels.dtype.kind in "iu":
        arrays["labels"] = golden.labels
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def read(folder: Path, manifest: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """The raw golden inputs and the outputs, by name; the file must have been checked."""
    with np.load(folder / manifest["golden"]["file"], allow_pickle=False) as arrays:
        inputs = {entry["name"]: arrays[f"input.{entry['name']}"] for entry in manifest["inputs"]}
        return inputs, {entry["name"]: arrays[f"output.{entry['name']}"] for entry in manifest["outputs"]}


def scores(metric: Metric | None, outputs: Arrays) -> dict[str, Any] | None:
    """The manifest's entry ``scores``: the output that the metric takes classes from; None where it judges no classes.

    The metric has been fitted to the model, so it knows its output by the place. Without a place it is the first.
    """
    names = list(outputs)
    if metric is None:
        return {"output": names[0], "threshold": None}
    if not in_classes(told_classes(metric, list(outputs.values()))):
        return None
    return {"output": names[place_read(metric, len(names))], "threshold": getattr(metric, "threshold", None)}


def labels(class_names: Sequence[str], told: Mapping[str, Any] | None, outputs: Arrays) -> list[str] | None:
    """The class names, where there is a score for each."""
    return list(class_names) if class_names and classes_in(told, outputs) == len(class_names) else None


def classes_in(told: Mapping[str, Any] | None, outputs: Arrays) -> int | None:
    """How many classes an example's scores tell apart; None where the output holds no scores of an example."""
    array = None if told is None else outputs.get(told["output"])
    if told is None or array is None:
        return None
    if array.dtype.kind == "f" and array.size == len(array) and told["threshold"] is not None:
        return 2
    return int(array.shape[1]) if array.ndim == 2 and array.shape[1] > 1 else None


def entry(examples: int, allowed: Tolerance) -> dict[str, Any]:
    """The manifest's entry ``golden``."""
    return {
        "file": manifests.GOLDEN_FILE,
        "examples": examples,
        "relative_tolerance": allowed.relative,
        "agreement": allowed.agreement,
        "rule": allowed.rule,
    }


def check_golden_file(folder: Path, manifest: Mapping[str, Any]) -> Check:
    """Check that the arrays are the ones that the manifest declares: names, number of examples, shapes, types, range,
    classes."""
    path = folder / manifest["golden"]["file"]
    try:
        problems = _size_problems(path, manifest) or _array_problems(path, manifest)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, SyntaxError) as error:
        problems = [f"{path.name} can't be read: {printable(error)}"]
    count = manifest["golden"]["examples"]
    return from_problems("golden examples", problems, f"{count}, with the names, shapes and types of the manifest")


def check_tolerance(manifest: Mapping[str, Any], ceiling: Tolerance) -> Check:
    """Check that the manifest allows no larger difference than the model's arithmetic calls for."""
    golden = manifest["golden"]
    problems = []
    if golden["relative_tolerance"] > ceiling.relative or golden["agreement"] < ceiling.agreement:
        problems.append(
            f"the manifest allows a difference of {golden['relative_tolerance']:g} and an agreement of "
            f"{golden['agreement']:g}, and the model's arithmetic calls for {ceiling.relative:g} and "
            f"{ceiling.agreement:g} ({ceiling.rule})"
        )
    elif golden["rule"] != ceiling.rule:
        problems.append(f"the manifest's rule is not the one for this model, which is: {ceiling.rule}")
    return from_problems("tolerance", problems, f"no more than the model's arithmetic calls for ({ceiling.relative:g})")


def _size_problems(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The problems of the sizes that the file declares; nothing is unpacked but each array's header."""
    wanted = {f"input.{entry['name']}.npy" for entry in manifest["inputs"]}
    wanted |= {f"output.{entry['name']}.npy" for entry in manifest["outputs"]}
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
        names = [member.filename for member in members]
        if len(set(names)) < len(names) or set(names) - {"labels.npy"} != wanted:
            shown = ", ".join(printable(name) for name in sorted(set(names) ^ wanted)[:5] or names[:5])
            return [f"{path.name} does not hold the arrays of the manifest's inputs and outputs, each once ({shown})"]
        if any(member.compress_type not in _METHODS for member in members):
            return [f"{path.name} is packed in an unknown way"]
        total = sum(member.file_size for member in members)
        if total > MOST_BYTES:
            return [f"{path.name} unpacks to {total} bytes (at most {MOST_BYTES})"]
        return [problem for member in members for problem in _header_problems(file, member)]


def _header_problems(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[str]:
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject:
            yield f"{printable(member.filename)} holds Python objects"
        elif stream.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            yield f"{printable(member.filename)} promises {list(shape)} {dtype}, which is not what it holds"


def _array_problems(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    with np.load(path, allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    count = manifest["golden"]["examples"]
    problems = [
        f"{path.name} holds '{printable(name)}' {list(array.shape)}, not one row for each of {count} examples"
        for name, array in arrays.items()
        if array.ndim == 0 or len(array) != count
    ]
    if problems:
        return problems
    problems = [
        text for entry in manifest["inputs"] for text in _input_problems(arrays[f"input.{entry['name']}"], entry)
    ]
    problems += [
        text for entry in manifest["outputs"] for text in _output_problems(arrays[f"output.{entry['name']}"], entry)
    ]
    outputs = {entry["name"]: arrays[f"output.{entry['name']}"] for entry in manifest["outputs"]}
    if manifest["scores"] and manifest["scores"]["output"] not in outputs:
        problems.append(f"the manifest's scores are in '{printable(manifest['scores']['output'])}', which is no output")
    classes = classes_in(manifest["scores"], outputs)
    return problems + _label_problems(classes, arrays.get("labels"), manifest["labels"])


def _input_problems(array: NDArray[Any], entry: Mapping[str, Any]) -> Iterator[str]:
    name = f"input '{printable(entry['name'])}'"
    if array.dtype != np.dtype(entry["raw_dtype"]):
        yield f"the golden {name} holds {array.dtype}, and the manifest says {entry['raw_dtype']}"
    try:
        checked(array, entry)
    except InputError as error:
        yield f"the golden {error}"
        return
    if value_range(array) != entry["range"]:
        yield f"the golden {name} runs over {value_range(array)}, and the manifest says {entry['range']}"
    recipe = entry["image"]
    if recipe and _image_shape(recipe) != list(array.shape[1:]):
        yield f"{name} [{', '.join(map(str, array.shape[1:]))}] is not what the manifest makes of an image"
    channels = array.shape[1] if array.ndim > 1 else 1
    if entry["preprocessing"] and not {len(entry["preprocessing"][key]) for key in ("mean", "std")} <= {1, channels}:
        yield f"{name} has {channels} channels, and the manifest's mean or std holds another number of them"


def _image_shape(recipe: Mapping[str, Any]) -> list[int]:
    channels = 3 if recipe["mode"] == "RGB" else 1
    size = [recipe["height"], recipe["width"]]
    return [channels, *size] if recipe["layout"] == "chw" else [*size, channels]


def _output_problems(array: NDArray[Any], entry: Mapping[str, Any]) -> Iterator[str]:
    name = f"output '{printable(entry['name'])}'"
    if array.dtype != np.dtype(entry["dtype"]):
        yield f"the golden {name} holds {array.dtype}, and the manifest says {entry['dtype']}"
    sizes = entry["shape"]
    if sizes and (
        len(sizes) != array.ndim
        or any(isinstance(size, int) and size != found for size, found in zip(sizes[1:], array.shape[1:], strict=True))
    ):
        yield f"the golden {name} has shape {list(array.shape)}, and the manifest says {sizes}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        yield f"the golden {name} holds values that are not finite"


def _label_problems(classes: int | None, truth: NDArray[Any] | None, names: Sequence[str] | None) -> list[str]:
    """Names of classes need a score each; true classes are whole numbers among them."""
    problems = []
    if names is not None and len(names) != classes:
        problems.append(f"the manifest names {len(names)} classes, and the scores are of {classes or 'none'}")
    if truth is None:
        return problems
    judged = truth[truth != IGNORED] if truth.dtype.kind in "iu" else truth
    if truth.dtype.kind not in "iu":
        problems.append(f"the golden labels are {truth.dtype}, not whole numbers")
    elif classes and judged.size and not (judged.min() >= 0 and judged.max() < classes):
        problems.append(f"the golden labels run from {judged.min()} to {judged.max()}, and there are {classes} classes")
    return problems
