"""A model in OpenVINO's own format is run and counted as the ONNX file that it was made of."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.count import count
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import ran
from pipeline.artifact.store import Store
from pipeline.artifact.work import work
from pipeline.errors import CorruptEntry, StageFailed
from tests.artifact.openvino_models import converted
from tests.stages.models import sentences

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs the extra openvino")
Feed = dict[str, NDArray[Any]]


def test_it_agrees_with_its_source(onnx_model: Artifact, feed: Feed, tmp_path: Path) -> None:
    model = converted(onnx_model, tmp_path / "made")
    assert check_output(onnx_model, model, 1e-3, feed)["cosine_min"] == pytest.approx(1)
    assert ran(model, feed).names == ran(onnx_model, feed).names


def test_inputs_are_read_in_the_models_types(onnx_encoder: Artifact, tmp_path: Path) -> None:
    model = converted(onnx_encoder, tmp_path / "made")
    tokens = {name: array.astype(np.int32) for name, array in sentences(3).items()}
    found, expected = ran(model, tokens).outputs, ran(onnx_encoder, tokens).outputs
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-4)


def test_it_counts_as_the_onnx_file_does(onnx_model: Artifact, onnx_encoder: Artifact, tmp_path: Path) -> None:
    model = converted(onnx_model, tmp_path / "made")
    assert count(model) == count(onnx_model)
    assert work(model).macs_by_type == work(onnx_model).macs_by_type
    assert work(model).weight_bytes == pytest.approx(work(onnx_model).weight_bytes, rel=0.02)
    encoder = converted(onnx_encoder, tmp_path / "encoder")
    assert count(encoder)[0] == pytest.approx(count(onnx_encoder)[0], rel=0.02)


def test_a_broken_file_is_a_reason(onnx_model: Artifact, feed: Feed, tmp_path: Path) -> None:
    model = converted(onnx_model, tmp_path / "made")
    (model.path / "model.bin").write_bytes(b"short")
    with pytest.raises(StageFailed, match=r"OpenVINO can't read model\.xml: "):
        ran(model, feed)


def test_the_store_keeps_both_files(onnx_model: Artifact, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.writing("a" * 64) as out:
        made = converted(onnx_model, tmp_path / "made")
        for path in made.path.iterdir():
            path.rename(out / path.name)
        store.put("a" * 64, out, "openvino", "label", {})
    found = store.get("a" * 64)
    assert found is not None
    assert (found.artifact.format, found.artifact.digest) == ("openvino", made.digest)
    assert found.artifact.openvino_path.is_file()
    (found.artifact.path / "model.bin").write_bytes(b"other")
    with pytest.raises(CorruptEntry, match="has changed"):
        store.get("a" * 64)
