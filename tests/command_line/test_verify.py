from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.command_line.bundle_words import accuracy_words
from pipeline.command_line.sign import sign_words
from pipeline.command_line.verify import verify_words
from pipeline.errors import UserError

PICTURE: dict[str, Any] = {"name": "pixels", "dtype": "float32", "shape": [None, 3, 32, 32], "image": None}
RECIPE = {"known": True, "central": None, "interpolation": "bilinear"}


def manifest(metric: str | None = "accuracy", image: dict[str, Any] | None = None) -> dict[str, Any]:
    told = None if metric is None else {"metric": metric}
    return {"inputs": [{**PICTURE, "image": image}], "labels": None, "measured": {"accuracy": told}}


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "mine.npz"
    np.savez(path, pixels=np.zeros((4, 3, 32, 32), np.uint8), labels=np.zeros(4, np.int64))
    return str(path)


def test_settings_go_to_the_data_or_to_the_timing() -> None:
    words = verify_words(
        ["deploy", "--accuracy", "mine.npz", "--speed", "--key", "public.pem", "metric=f1", "measure=quick"]
    )
    assert (words.folder, words.accuracy, words.speed) == (Path("deploy"), "mine.npz", True)
    assert (words.settings, words.measure) == (["metric=f1"], ["measure=quick"])
    assert words.options.key == Path("public.pem")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["deploy", "other"], "'other' is one too many behind the bundle: a setting is typed KEY=VALUE"),
        (["deploy", "metric=f1"], "metric=f1 sets what the accuracy is measured on: type --accuracy DATA, too"),
        (["deploy", "measure=quick"], "measure=quick sets how the speed is measured: type --speed, too"),
        (["deploy", "--timeout", "0"], "--timeout must be a number of seconds above 0"),
        (["deploy", "--memory-gb", "-1"], "--memory-gb must be above 0"),
    ],
)
def test_what_was_not_asked_for_can_not_be_set(argv: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        verify_words(argv)
    assert message in str(caught.value)


def test_data_is_read_as_the_bundle_reads_it_and_judged_by_its_metric(data: str) -> None:
    assert accuracy_words(manifest("F1"), data, [], [])[:3] == ["data=npz", f"data.path={data}", "metric=f1"]
    assert accuracy_words(manifest(), data, ["metric=top_k", "data.label_offset=1"], [])[2:4] == [
        "metric=top_k",
        "data.label_offset=1",
    ]
    assert "metric=" not in " ".join(accuracy_words(manifest(None), data, [], []))


def test_pictures_are_cut_and_scaled_as_the_manifest_says(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "a.png")
    words = accuracy_words(manifest(image=RECIPE), str(tmp_path), ["data.labelled=true"], [])
    assert {"data=images", "data.size=32", "data.input=pixels", "data.central=null"} <= set(words)
    assert "data.interpolation=bilinear" in words


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", pixels=np.zeros((4, 3, 32, 32), np.uint8))
    with pytest.raises(UserError, match=r"--accuracy needs labels, and .*mine\.npz has none"):
        accuracy_words(manifest(), str(tmp_path / "mine.npz"), [], [])


def test_the_password_of_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "open sesame")
    assert sign_words(["deploy", "--key", "private.pem", "--password-env", "SECRET"]).password == b"open sesame"
    assert sign_words(["deploy", "--key", "private.pem"]).password is None
    with pytest.raises(UserError, match="there is no environment variable OTHER, or it is empty"):
        sign_words(["deploy", "--key", "private.pem", "--password-env", "OTHER"])
