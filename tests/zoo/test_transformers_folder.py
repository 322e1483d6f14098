"""What a folder of transformers tells before any library is imported, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.plan import InputSignature
from pipeline.zoo.transformers_model import TransformersModel
from tests.zoo.hub_folders import PROCESSOR, bert, described, embedding


def test_a_texts_inputs_are_those_that_the_model_tells_apart(tmp_path: Path) -> None:
    tokens = InputSignature((None, None), "int64", below=48, longest=48)
    mask = InputSignature((None, None), "int64", longest=48)
    model = TransformersModel(path=described(tmp_path / "two", bert()))
    assert model.signature() == {
        "input_ids": tokens,
        "attention_mask": mask,
        "token_type_ids": InputSignature((None, None), "int64", below=2, longest=48),
    }
    one = described(tmp_path / "one", bert(type_vocab_size=1))
    assert TransformersModel(path=one).signature() == {"input_ids": tokens, "attention_mask": mask}


def test_places_that_are_counted_from_the_filling_token_are_fewer(tmp_path: Path) -> None:
    roberta = described(tmp_path, bert(model_type="roberta", type_vocab_size=1, pad_token_id=1))
    assert TransformersModel(path=roberta).signature()["input_ids"].longest == 46


def test_an_image_processor_tells_size_and_preprocessing(tmp_path: Path) -> None:
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 16}
    model = TransformersModel(path=described(tmp_path, config, preprocessor_config=PROCESSOR))
    assert model.signature() == {"pixel_values": InputSignature((None, 3, 16, 16), "float32")}
    assert model.preprocessing["pixel_values"].to_dict() == {
        "scale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.3, 0.4, 0.5],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "files", "said"),
    [
        ({"architectures": ["BertForMaskedLM"]}, {}, r"is a BertForMaskedLM.*type model\.task=TASK \(text-classif"),
        ({"architectures": ["T5Model"], "is_encoder_decoder": True}, {}, "is a T5Model"),
        ({"architectures": None}, {}, "is a nothing"),
        ({"image_size": 16}, {}, r"has no preprocessor_config\.json"),
        ({}, {"preprocessor_config": {"sampling_rate": 16000}}, "reads audio"),
        ({}, {"preprocessor_config": {"image_mean": [0], "image_std": [1]}}, "tells no size of pictures"),
        ({}, {"preprocessor_config": {**PROCESSOR, "resample": 9}}, "scales pictures by 9; available: nearest"),
        ({"model_type": None}, {}, r"transformers \S+ has no text-classification for the model_type"),
    ],
)  # fmt: skip
def test_what_can_not_be_taken_is_said(
    tmp_path: Path, changes: dict[str, Any], files: dict[str, Any], said: str
) -> None:
    if "model_type" in changes:
        pytest.importorskip("transformers")
    model = TransformersModel(path=described(tmp_path / "m", bert(**changes), **files))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match=said):
        model.write(out)


@pytest.mark.parametrize(
    ("pooling", "kinds", "said"),
    [
        ({"pooling_mode": "mean"}, ("Transformer", "Pooling", "Dense"), "names Transformer, Pooling, Dense, and what"),
        ({"pooling_mode": ["mean", "max"]}, ("Transformer", "Pooling"), "pools by mean and max; available: mean, cls"),
        ({"pooling_mode_lasttoken": True}, ("Transformer", "Pooling"), "pools by lasttoken"),
    ],
)
def test_an_embedding_that_can_not_be_made_is_said(
    tmp_path: Path, pooling: dict[str, Any], kinds: tuple[str, ...], said: str
) -> None:
    folder = embedding(described(tmp_path, bert(architectures=["BertModel"])), pooling, *kinds)
    with pytest.raises(UserError, match=said):
        TransformersModel(path=folder).key()


def test_an_embedding_is_not_guessed(tmp_path: Path) -> None:
    model = TransformersModel(path=described(tmp_path, bert()), task="embedding")
    with pytest.raises(UserError, match=r"has no modules\.json.*model\.task=feature-extraction"):
        model.key()


def test_a_folder_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is no such folder.*type hf download some/model"):
        TransformersModel(path=Path("some/model")).key()
    Path("file").touch()
    with pytest.raises(UserError, match="is a file: give the folder"):
        TransformersModel(path=Path("file")).key()
    described(tmp_path / "bare", bert())
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights"):
        TransformersModel(path=tmp_path / "bare").key()
    (tmp_path / "bare" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not JSON"):
        TransformersModel(path=tmp_path / "bare").signature()


def test_a_copy_of_a_hubs_model_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    copy = tmp_path / "models--some--model"
    described(copy / "snapshots" / "0123", bert())
    (copy / "refs").mkdir()
    (copy / "refs" / "main").write_text("0123")
    model = TransformersModel(path=Path("some/model"))
    assert model.name == "model"
    assert model.folder.path == copy / "snapshots" / "0123"


def test_looking_at_a_folder_imports_no_torch(tmp_path: Path) -> None:
    folder = described(tmp_path, bert())
    code = (
        "import sys; from pathlib import Path; from pipeline.zoo.transformers_model import TransformersModel; "
        f"TransformersModel(path=Path({str(folder)!r})).key(); "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
