"""What is installed, and what it lacks; the libraries here are made up."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.backends.onnxruntime.libraries import CUDA
from pipeline.doctor import runtimes
from pipeline.doctor.runtimes import (
    onnxruntime_findings,
    openvino_finding,
    other_runtimes,
    provider_finding,
    session_finding,
    torch_finding,
)
from tests.measure.fakes import FEEDS, artifact, target

MISSING = "libcudnn.so.9: cannot open shared object file: No such file or directory"


def library(folder: Path, name: str) -> Path:
    (folder / f"libonnxruntime_providers_{name}.so").write_bytes(b"")
    return folder


def installed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *providers: str, cuda: str | None = None, usable: bool = False
) -> None:
    (folder / "capi").mkdir()
    fake = SimpleNamespace(
        __version__="9.9", __file__=str(folder / "__init__.py"), get_available_providers=lambda: list(providers)
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    fake_torch = SimpleNamespace(
        __version__="8.8",
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(is_available=lambda: usable),
    )
    monkeypatch.setitem(sys.modules, "torch", fake_torch)


def refuse(path: str) -> object:
    raise OSError(MISSING)


def test_a_provider_whose_libraries_are_missing_names_them(tmp_path: Path) -> None:
    found = provider_finding(CUDA, library(tmp_path, "cuda"), load=refuse)
    assert found.level == "warning"
    assert MISSING in found.text
    assert "onnxruntime-gpu[cuda,cudnn]" in (found.advice or "")


def test_a_library_that_is_no_library_is_told_by_the_system(tmp_path: Path) -> None:
    found = provider_finding("TensorrtExecutionProvider", library(tmp_path, "tensorrt"))
    assert found.level == "warning"
    assert "tensorrt.so" in found.text


def test_a_provider_whose_libraries_are_there_is_fine(tmp_path: Path) -> None:
    loaded: list[str] = []
    assert provider_finding(CUDA, library(tmp_path, "cuda"), load=loaded.append).level == "ok"
    assert loaded == [str(tmp_path / "libonnxruntime_providers_cuda.so")]


@pytest.mark.skipif(sys.platform != "linux", reason="libraries have other names there")
def test_a_provider_that_always_has_a_library_misses_it(tmp_path: Path) -> None:
    found = provider_finding("TensorrtExecutionProvider", tmp_path)
    assert found.level == "warning"
    assert "libonnxruntime_providers_tensorrt.so" in found.text


def test_a_provider_inside_the_runtime_needs_no_library(tmp_path: Path) -> None:
    assert provider_finding("XnnpackExecutionProvider", tmp_path, load=refuse).level == "ok"


def test_only_providers_that_are_not_always_there_get_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path, "CPUExecutionProvider", "AzureExecutionProvider", "XnnpackExecutionProvider")
    assert [found.topic for found in onnxruntime_findings([])] == ["onnxruntime", "XnnpackExecutionProvider"]


def test_a_gpu_that_the_build_can_not_use_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tmp_path, "CPUExecutionProvider")
    [_, found] = onnxruntime_findings(["H200"])
    assert (found.topic, found.level) == (CUDA, "warning")
    assert "EXTRAS=gpu" in (found.advice or "")


def test_without_onnxruntime_there_is_a_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    [found] = onnxruntime_findings([])
    assert found.level == "warning"
    assert "onnxruntime" in found.text


@pytest.mark.parametrize(
    ("cuda", "usable", "gpus", "level"),
    [
        (None, False, [], "ok"),
        (None, False, ["H200"], "warning"),
        ("13.0", True, ["H200"], "ok"),
        ("13.0", False, [], "note"),
        ("13.0", False, ["H200"], "warning"),
    ],
)
def test_torch_is_judged_by_what_it_can_use(
    cuda: str | None, usable: bool, gpus: list[str], level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, cuda=cuda, usable=usable)
    assert torch_finding(gpus).level == level


def test_other_runtimes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "version", lambda name: "2026.1" if name == "ncnn" else None)
    assert other_runtimes().text == "ncnn 2026.1"
    monkeypatch.setattr(runtimes, "version", lambda name: None)
    assert other_runtimes().text == "none installed"


@pytest.mark.parametrize(
    ("installed", "level", "text"),
    [
        ({"openvino": "2026.4", "nncf": "3.4"}, "ok", "2026.4, with NNCF 3.4"),
        ({"openvino": "2026.4"}, "note", "2026.4, without NNCF: the stage quantize_nncf is skipped"),
        ({}, "note", "not installed: its rows are skipped"),
    ],
)
def test_openvino_is_told_with_its_quantizer(
    installed: dict[str, str], level: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "version", installed.get)
    found = openvino_finding()
    assert (found.level, found.text, found.advice is None) == (level, text, level == "ok")


def test_a_session_is_tried_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert session_finding(artifact(tmp_path, "fine"), target(), FEEDS[1]).level == "ok"
    broken = session_finding(artifact(tmp_path, "broken", refuse="no kernel image"), target(), FEEDS[1])
    assert broken.level == "warning"
    assert "no kernel image" in broken.text
