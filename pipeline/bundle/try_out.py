"""A first run of a bundle's model: its golden outputs, and the inputs and outputs that the runtime reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import manifest as manifests
from pipeline.data.batches import Feed, axes_of
from pipeline.errors import Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The results of running the bundle's model."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    batch_size: int
    golden: dict[str, NDArray[Any]]
    """The golden outputs [N, ...] by name."""


def try_out(
    folder: Path, told: Mapping[str, Any], raw: Feed, preprocessing: Mapping[str, Mapping[str, Any] | None]
) -> Tried:
    """Load the model as ``infer.py`` does, and run the raw golden inputs through it.

    ``told`` holds the manifest's runtime, model, session and batch_size, and the inputs and outputs where the runtime
    can't report them. Raises Skipped where the model's inputs or outputs are none that ``infer.py`` can serve. Makes a
    session: call it in a process of its own.
    """
    from pipeline.bundle.slimline_infer import InputError
    from pipeline.bundle.slimline_infer.model import Model, fixed_batch, open_session
    from pipeline.bundle.slimline_infer.values import by_example

    path = folder / manifests.MANIFEST_FILE
    try:
        _, session = open_session(folder, told)
        inputs = [_with_raw(entry, raw, preprocessing) for entry in session.inputs or told["inputs"]]
        axes = told.get("output_axes", {})
        outputs = [
            by_example(entry, axes.get(entry["name"]) or 0) if "shape" in entry else dict(entry)
            for entry in session.outputs or told["outputs"]
        ]
        batch = fixed_batch(inputs) or told["batch_size"]
        # All that Model reads; the whole manifest needs the outputs first.
        provisional = {"schema_version": manifests.SCHEMA_VERSION, "labels": None, "scores": None, "batch_size": batch}
        path.write_text(manifests.render({**told, **provisional, "inputs": inputs, "outputs": outputs}))
        with np.errstate(all="ignore"):
            found = Model(folder)(raw)
    except InputError as error:
        raise Skipped(f"a deploy bundle can't serve this model: {error}") from error
    finally:
        path.unlink(missing_ok=True)
    _check_arrays([*inputs, *outputs])
    _check_finite(found)
    return Tried(
        inputs=inputs,
        outputs=[{**_told_by(found[entry["name"]]), **entry} for entry in outputs],
        batch_size=batch,
        golden=found,
    )


def _with_raw(
    entry: Mapping[str, Any], raw: Feed, preprocessing: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, Any]:
    from pipeline.bundle.slimline_infer.values import by_example

    name = entry["name"]
    _check_arrays([entry])
    if name not in raw:
        raise Skipped(f"a deploy bundle has golden inputs, and the data has none for the model's '{name}'")
    placed = by_example(entry, axes_of(raw).get(name, 0))
    return {**placed, "raw_dtype": str(raw[name].dtype), "preprocessing": preprocessing.get(name)}


def _told_by(output: NDArray[Any]) -> dict[str, Any]:
    """What an output itself tells, where nothing else does."""
    return {"dtype": str(output.dtype), "shape": [None, *output.shape[1:]]}


def _check_arrays(entries: Iterable[Mapping[str, Any]]) -> None:
    """Raise Skipped for a value that is no array (a sequence, say), or of a type that NumPy doesn't have."""
    known = manifests.schema()["$defs"]["dtype"]["enum"]
    for entry in entries:
        if "dtype" in entry and entry["dtype"] not in known:
            raise Skipped(f"a deploy bundle holds arrays, and the model's '{entry['name']}' is {entry['dtype']}")


def _check_finite(outputs: Feed) -> None:
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Skipped(f"the model's output '{name}' is not finite (NaN or infinite) for the golden inputs")
