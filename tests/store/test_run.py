"""A run on a shared store: what one machine has built the next one does not build."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.artifact.store import Store
from pipeline.command_line.composing import composed
from pipeline.config import build, register
from pipeline.errors import UserError
from pipeline.folders.locks import InUse
from pipeline.plan import Plan
from pipeline.run import loop
from pipeline.run.build import builder
from pipeline.run.outlook import outlook
from pipeline.run.progress import ProgressDisplay
from pipeline.run.stored import show_store
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.store import StorePlace, open_store
from tests.example import plan
from tests.store.serving import opened


def chosen(folder: Path, place: StorePlace) -> Plan:
    """A baseline and an int8 variant on the store of a place, in a folder of their own."""
    return plan(folder, {"baseline": {}, "dynamic_int8": {"quantize": QuantizeDynamic()}}, store=place)


def built(plan: Plan, place: StorePlace) -> str:
    """Do what a run does up to its measuring, and what it does with the store at its end; returns what it says."""
    plan = replace(plan, store=place)
    console = Console(file=(text := io.StringIO()), width=200)
    open_store(plan.store).check()
    with InUse() as in_use, ProgressDisplay(console) as display, builder(plan, display.step, in_use) as making:
        open_store(plan.store).sweep()
        display.say(str(outlook(plan, making.keys)))
        loop.build(making, display)
    loop.collect(plan)
    return text.getvalue()


@pytest.mark.slow
def test_a_second_machine_builds_nothing(place: StorePlace, tmp_path: Path) -> None:
    asked = chosen(tmp_path, place)
    said = built(asked, place)
    assert "2 models to build" in said
    assert f"2 models built and kept in {place.address}" in said
    said = built(asked, replace(place, folder=tmp_path / "another"))
    assert "nothing to build; then" in said
    assert f"nothing to build: all 2 models came from {place.address}" in said
    console = Console(file=(text := io.StringIO()), width=200)
    assert show_store(place, None, console) == 0
    assert "dynamic_int8: quantize" in text.getvalue()
    assert text.getvalue().splitlines()[-1].startswith("2 entries, ")
    assert show_store(place, 0, console) == 0
    assert "removed 0 of 2 entries" in text.getvalue(), "they were used just now"


@pytest.mark.slow
def test_a_damaged_entry_at_the_address_is_built_again(
    memory: StorePlace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = chosen(tmp_path, memory)
    alone = replace(asked, variants={"baseline": asked.variants["baseline"]})
    with builder(alone, lambda *_: None) as making:
        [entry] = [making.source()]
    store = opened(memory)
    store.copies.objects.write(f"{entry.key}/{entry.artifact.digest}/model.onnx", b"damaged")
    elsewhere = replace(alone, store=replace(memory, folder=tmp_path / "another"))
    with builder(elsewhere, lambda *_: None) as making:
        assert making.source().artifact.digest == entry.artifact.digest
        assert making.built_count == 1
    assert "it is built again" in caplog.text
    third = opened(replace(memory, folder=tmp_path / "third"))
    assert third.get(entry.key) is not None, "the good entry took its place"


def test_the_store_is_chosen_by_its_keys(tmp_path: Path) -> None:
    register(make_folders=False)
    words = [
        *("variant=[baseline]", "target=[ort_cpu]", "store.path=s3://bucket/models", f"store.cache={tmp_path}"),
        *("store.shared=false", "store.options.endpoint_url=http://127.0.0.1:9000"),
    ]
    place = build(composed(words, ()).cfg, tmp_path, "python -m pipeline").store
    assert place == StorePlace(
        folder=tmp_path, address="s3://bucket/models", options={"endpoint_url": "http://127.0.0.1:9000"}
    )


def test_a_secret_is_refused_with_all_other_problems(tmp_path: Path) -> None:
    register(make_folders=False)
    words = ["variant=[baseline]", "target=[ort_cpu]", "store.path=s3://me:hush@bucket/models", "batch_sizes=[x]"]
    with pytest.raises(UserError) as caught:
        build(composed(words, ()).cfg, tmp_path, "python -m pipeline")
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == ["store.path=s3://…", "batch_sizes.0:"]
    assert "hush" not in str(caught.value)


def test_a_folder_that_is_none_is_still_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder, so it can't be a store"):
        show_store(StorePlace(folder=tmp_path / "file"), None, Console(file=io.StringIO()))
    assert Store(tmp_path).entries() == []
