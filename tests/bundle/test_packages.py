"""The packages that a bundle runs on, what is known of them, and the licences of model and data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import PACKAGE
from pipeline.bundle import packages as found
from pipeline.bundle.licences import Licence, licences_of
from pipeline.bundle.packages import packages, requires_python
from pipeline.data.files import SplitFolder
from pipeline.data.noise import Noise
from pipeline.errors import UserError
from pipeline.libraries import distributions
from pipeline.libraries.distributions import Distribution
from pipeline.zoo.source import OnnxModel

SHIPPED = PACKAGE / "data" / "fashion_mnist"


def installed_as(monkeypatch: pytest.MonkeyPatch, *there: tuple[str, str, dict[str, tuple[str, ...]]]) -> None:
    """Let these distributions be installed, each with its version and what it needs by extra ('' for none)."""
    known = {name: (version, needs) for name, version, needs in there}

    def look(name: str, extras: Any = ()) -> Distribution | None:
        if name not in known:
            return None
        version, needs = known[name]
        requires = [(other, frozenset[str]()) for extra in ("", *extras) for other in needs.get(extra, ())]
        return Distribution(
            name=name,
            version=version,
            licence="MIT",
            requires_python=">=3.9",
            requires=tuple(requires),
            licence_files={"LICENSE": Path("LICENSE")},
        )

    monkeypatch.setattr(distributions, "installed", look)
    monkeypatch.setattr(found, "installed", look)


def manifest(provider: str = "CPUExecutionProvider", **libraries: str) -> dict[str, Any]:
    versions = {name.replace("_", "-"): version for name, version in libraries.items()}
    return {
        "runtime": "onnxruntime",
        "session": {"providers": [{"name": provider, "options": {}}]},
        "measured": {"machine": {"libraries": versions}},
    }


def test_a_runtime_that_was_measured_in_a_larger_build_is_named_by_the_smallest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed_as(
        monkeypatch, ("numpy", "2", {}), ("onnxruntime-gpu", "1.30", {"": ("protobuf",)}), ("protobuf", "7", {})
    )
    listed = packages(manifest(numpy="2", onnxruntime_gpu="1.30"))
    assert [(one.name, one.version) for one in listed] == [("numpy", "2"), ("onnxruntime", "1.30"), ("protobuf", "7")]
    assert listed[1].entry["licence_files"] == ["licenses/packages/onnxruntime/LICENSE"]


def test_an_extra_brings_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"": ("flatbuffers",), "cuda": ("nvidia-cublas", "missing")}
    installed_as(
        monkeypatch,
        ("onnxruntime-gpu", "1.30", needs),
        ("flatbuffers", "25", {}),
        ("nvidia-cublas", "13", {}),
        ("numpy", "2", {}),
    )
    listed = packages(manifest("CUDAExecutionProvider", numpy="2", onnxruntime_gpu="1.30"))
    assert [one.name for one in listed] == ["flatbuffers", "numpy", "nvidia-cublas", "onnxruntime-gpu"]
    assert listed[-1].entry["requires"] == ["flatbuffers", "missing", "nvidia-cublas"]


def test_of_another_version_than_the_measured_one_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    installed_as(monkeypatch, ("numpy", "2", {}), ("onnxruntime", "1.31", {"": ("protobuf",)}))
    entry = packages(manifest(numpy="2", onnxruntime="1.30"))[1].entry
    assert (entry["version"], entry["requires"], entry["licence"]) == ("1.30", None, None)


def test_the_strictest_floor_of_python_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    installed_as(monkeypatch, ("numpy", "2", {}), ("onnxruntime", "1.30", {}))
    numpy, runtime = packages(manifest(numpy="2", onnxruntime="1.30"))
    assert runtime.distribution
    newer = replace(runtime, distribution=replace(runtime.distribution, requires_python="!=3.14.1,>=3.11"))
    assert requires_python([numpy, newer]) == "!=3.14.1,>=3.11"
    odd = replace(runtime, distribution=replace(runtime.distribution, requires_python="what?"))
    assert requires_python([odd]) is None


def test_wheels_give_digests_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed_as(monkeypatch, ("numpy", "2.4.6", {}), ("onnxruntime", "1.30.0", {}))
    asked = manifest(numpy="2.4.6", onnxruntime="1.30.0")
    with pytest.raises(UserError, match=r"holds no wheels \(\.whl\): write the bundle without --hashes first"):
        packages(asked, tmp_path)
    (tmp_path / "numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"one")
    (tmp_path / "no wheel.whl").write_bytes(b"")
    with pytest.raises(UserError, match=r"has no wheel of onnxruntime 1\.30\.0: .* pip download -r"):
        packages(asked, tmp_path)
    (tmp_path / "onnxruntime-1.30.0-cp311-cp311-linux_aarch64.whl").write_bytes(b"two")
    (tmp_path / "onnxruntime-1.30.0-cp311-cp311-linux_x86_64.whl").write_bytes(b"three")
    assert [len(one.sha256) for one in packages(asked, tmp_path)] == [1, 2]


def test_an_installed_distribution_tells_its_licence_and_what_it_needs_here() -> None:
    needed = distributions.with_requirements({"onnxruntime": (), "No_Such.Package": ()})
    runtime = needed["onnxruntime"]
    assert runtime
    assert needed["no-such-package"] is None
    assert needed["numpy"]
    assert {"numpy", "protobuf"} <= {name for name, _ in runtime.requires}
    assert "sympy" not in {name for name, _ in runtime.requires}  # only its extra needs it
    assert runtime.licence == "MIT License"
    assert "MIT License" in runtime.licence_files["LICENSE"].read_text()


def test_what_ships_is_under_the_licence_that_its_card_names() -> None:
    model = OnnxModel(path=SHIPPED / "test.npz")
    known = licences_of(model, SplitFolder(name="fashion_mnist", path=SHIPPED), {})
    assert (known["data"].name, [text.name for text in known["data"].texts]) == ("MIT", ["LICENSE"])
    assert known["model"].name == "MIT"
    assert licences_of(model, Noise(examples={"test": 1}), {"model": "CC0-1.0"}) == {
        "model": replace(known["model"], name="CC0-1.0"),
        "data": Licence(),
    }


def test_what_lies_beside_a_file_of_the_users_own_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("of the program that made it")
    (tmp_path / "card.json").write_text(json.dumps({"license": "MIT"}))
    (tmp_path / "model.onnx").write_bytes(b"")
    known = licences_of(OnnxModel(path=tmp_path / "model.onnx"), SplitFolder(name="mine", path=tmp_path), {})
    assert known["model"] == Licence()
    assert known["data"] == Licence("MIT", (tmp_path / "LICENSE",))


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"license": 1}', '{"license": ""}'])
def test_a_card_that_names_no_licence_says_nothing(tmp_path: Path, card: str) -> None:
    (tmp_path / "card.json").write_text(card)
    assert licences_of(None, SplitFolder(name="mine", path=tmp_path), {})["data"].name is None
