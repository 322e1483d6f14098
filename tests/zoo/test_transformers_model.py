"""A folder of transformers becomes a PyTorch model that gives what transformers gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.artifact.torch_module import example_inputs, export_program, load_module, load_spec
from pipeline.data.tokens import encoder_of, tokenizer_in
from pipeline.errors import UserError
from pipeline.zoo import transformers_network
from pipeline.zoo.transformers_model import TransformersModel
from tests.zoo.hub_folders import WORDS, embedding, saved

transformers = pytest.importorskip("transformers")

TOKENS = torch.tensor([[2, 5, 6, 7, 3], [2, 6, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
TYPES = torch.zeros_like(TOKENS)


def written(folder: Path, **fields: Any) -> Path:
    out = folder.parent / "written"
    out.mkdir()
    TransformersModel(path=folder, **fields).write(out)
    return out


def of_module(folder: Path, *inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = load_module(folder)(*inputs)
    return found


@pytest.mark.parametrize(
    ("architecture", "settings", "output"),
    [
        ("BertForSequenceClassification", {"id2label": {0: "no", 1: "yes", 2: "maybe"}}, "logits"),
        ("BertForTokenClassification", {"num_labels": 5}, "logits"),
        ("BertModel", {}, "last_hidden_state"),
    ],
)
def test_a_model_of_texts_gives_what_transformers_gives(
    tmp_path: Path, architecture: str, settings: dict[str, Any], output: str
) -> None:
    network = saved(tmp_path / "m", architecture, **settings)
    out = written(tmp_path / "m")
    assert load_spec(out).outputs == (output,)
    with torch.no_grad():
        expected = network(input_ids=TOKENS, attention_mask=MASK, token_type_ids=TYPES)[output]
    torch.testing.assert_close(of_module(out, TOKENS, MASK, TYPES), expected)


def test_a_model_of_images_gives_what_transformers_gives(tmp_path: Path) -> None:
    network = saved(tmp_path / "m", "ViTForImageClassification", image_size=16, patch_size=8, num_labels=3)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "m")
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(pixel_values=pixels).logits
    torch.testing.assert_close(of_module(written(tmp_path / "m"), pixels), expected)


@pytest.mark.parametrize(
    ("pooling", "kinds"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, ("Transformer", "Pooling", "Normalize")),
        ({"pooling_mode": "cls"}, ("Transformer", "Pooling")),
        ({"pooling_mode": "max"}, ("Transformer", "Pooling")),
    ],
)
def test_an_embedding_is_pooled_as_its_folder_says(
    tmp_path: Path, pooling: dict[str, Any], kinds: tuple[str, ...]
) -> None:
    network = saved(tmp_path / "m", "BertModel")
    embedding(tmp_path / "m", pooling, *kinds)
    with torch.no_grad():
        states = network(input_ids=TOKENS, attention_mask=MASK).last_hidden_state
    texts = [rows[: int(mask.sum())] for rows, mask in zip(states, MASK, strict=True)]
    ways = {"mean": lambda rows: rows.mean(0), "cls": lambda rows: rows[0], "max": lambda rows: rows.amax(0)}
    expected = torch.stack([ways[pooling.get("pooling_mode", "mean")](rows) for rows in texts])
    if "Normalize" in kinds:
        expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(of_module(written(tmp_path / "m"), TOKENS, MASK, TYPES), expected)


def test_a_text_of_any_length_goes_through_the_exported_program(tmp_path: Path) -> None:
    saved(tmp_path / "m", "BertForSequenceClassification")
    out = written(tmp_path / "m")
    spec = load_spec(out)
    program = export_program(load_module(out), example_inputs(spec), spec.inputs).module()
    torch.testing.assert_close(program(TOKENS, MASK, TYPES), of_module(out, TOKENS, MASK, TYPES))


def test_weights_of_torch_save_are_read_and_run_no_code(tmp_path: Path) -> None:
    network = saved(tmp_path / "m", "BertForSequenceClassification")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "m" / "pytorch_model.bin")
    with torch.no_grad():
        expected = network(input_ids=TOKENS, attention_mask=MASK).logits
    torch.testing.assert_close(of_module(written(tmp_path / "m"), TOKENS, MASK, TYPES), expected)


def test_weights_that_are_missing_are_not_drawn(tmp_path: Path) -> None:
    saved(tmp_path / "m", "BertModel")
    with pytest.raises(UserError, match=r"do not fit text-classification: they lack classifier\.bias, classifier\.w"):
        written(tmp_path / "m", task="text-classification")


def test_weights_without_a_use_are_said(tmp_path: Path) -> None:
    saved(tmp_path / "m", "BertForSequenceClassification")
    out = tmp_path / "out"
    out.mkdir()
    notes = TransformersModel(path=tmp_path / "m", task="feature-extraction").write(out)
    assert "classifier.bias, classifier.weight in the folder are left out" in notes["warnings"][0]


def test_an_extra_that_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "m", "BertModel")
    monkeypatch.setattr(transformers_network, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'slimline\[transformers\]'$"):
        written(tmp_path / "m")


def test_a_vocabulary_without_a_tokenizer_file_is_read_by_transformers(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    assert tokenizer_in(tmp_path / "none", tmp_path) == tmp_path
    numbers, mask = encoder_of(tmp_path, 5)(["good", "very bad w1"])
    assert numbers.tolist() == [[2, 5, 3, 0, 0], [2, 7, 6, 9, 3]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
