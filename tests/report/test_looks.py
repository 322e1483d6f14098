"""What flipped examples look like on the page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.dataset import Split
from pipeline.data.showing import show_arrays
from pipeline.report.charts.figures import Drawing
from pipeline.report.formats.html import html_text
from pipeline.report.looks import FILE, Look, Show, keep_looks, looks_in
from tests.report import example

NO_CHARTS = Drawing(figures=[])


def bytes_of(look: Look) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(look.picture.partition("base64,")[2])))


def of_arrays(images: np.ndarray) -> Show:
    def show(places: Sequence[int], folder: Path) -> Mapping[str, Sequence[str]]:
        return show_arrays(Split({"image": images}).chosen(places), [str(place) for place in places], folder)

    return show


def test_a_small_picture_stays_as_it_is(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (9, 1, 28, 28), np.uint8)
    keep_looks(example.flipped(7, 3), tmp_path, of_arrays(images))
    looks = looks_in(tmp_path)
    assert list(looks) == [3, 7]
    assert (np.asarray(bytes_of(looks[7])) == images[7, 0]).all()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_large_picture_becomes_small(tmp_path: Path) -> None:
    keep_looks(example.flipped(0), tmp_path, of_arrays(np.full((1, 3, 300, 500), 200, np.uint8)))
    look = looks_in(tmp_path)[0]
    assert bytes_of(look).size == (64, 38)
    assert len(look.picture) < 4000


def test_a_text_is_shown_and_what_is_neither_is_left_out(tmp_path: Path) -> None:
    keep_looks(example.flipped(0), tmp_path, lambda places, folder: {"text": ["a film " * 100]})
    assert looks_in(tmp_path)[0].text.startswith("a film a film")
    assert len(looks_in(tmp_path)[0].text) < 400
    keep_looks(example.flipped(0), tmp_path, of_arrays(np.zeros((1, 5), np.float32)))
    assert looks_in(tmp_path) == {}


def test_the_page_shows_each_beside_its_answers(tmp_path: Path) -> None:
    keep_looks(example.flipped(0, 1), tmp_path, of_arrays(np.zeros((2, 1, 8, 8), np.uint8)))
    page = html_text(example.flipped(0, 1), NO_CHARTS, looks=looks_in(tmp_path))
    assert page.count('alt="picture of test example ') == 2
    assert "cat (61 %)" in page
    assert 'alt="picture of test example ' not in example.page_of(example.flipped(0, 1))
    texts = html_text(example.flipped(0), NO_CHARTS, looks={0: Look(text="<b>bold</b>")})
    assert '<q class="look">&lt;b&gt;bold&lt;/b&gt;</q>' in texts


@pytest.mark.parametrize(
    "text",
    ["", "[]", "nonsense", '{"a": {}}', '{"1": {"film": "x"}}', json.dumps({"1": {"picture": "http://x/a.png"}})],
)
def test_a_file_of_something_else_shows_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert looks_in(tmp_path) == {}


def test_without_flipped_examples_nothing_is_kept(tmp_path: Path) -> None:
    keep_looks(example.typical(), tmp_path, lambda places, folder: {})
    assert list(tmp_path.iterdir()) == []
