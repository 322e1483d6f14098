"""Whether two artifacts hold the same model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.artifact import ONNX_FILE, Artifact
from pipeline.artifact.sameness import require_difference
from pipeline.errors import Unchanged
from tests.artifact.test_onnx_rewriting import branching


def written(folder: Path, model: onnx.ModelProto) -> Artifact:
    folder.mkdir()
    onnx.save(model, folder / ONNX_FILE)
    return Artifact(folder, "onnx", "")


def other_names(model: onnx.ModelProto) -> None:
    model.graph.node[3].name = "another"
    model.graph.node[2].output[0] = model.graph.node[3].input[0] = "another_value"
    model.graph.initializer.reverse()
    model.producer_name = "another"


def other_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full(1, 2, np.float32), "one"))


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"


def other_branch(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute[0].g.node[0].op_type = "Sub"


def test_names_order_and_producer_do_not_matter(tmp_path: Path) -> None:
    changed = branching()
    other_names(changed)
    with pytest.raises(Unchanged, match="as it was"):
        require_difference(written(tmp_path / "a", branching()), written(tmp_path / "b", changed))


@pytest.mark.parametrize("change", [other_weights, other_input, other_branch])
def test_what_is_computed_matters(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    changed = branching()
    change(changed)
    require_difference(written(tmp_path / "a", branching()), written(tmp_path / "b", changed))
