"""The PyTorch backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import load_module, make_module, save_module
from pipeline.backends.torch import Torch
from pipeline.backends.torch.backend import _allow_tf32, session_settings
from pipeline.backends.torch.graph import Graphed
from pipeline.errors import BackendUnavailable, UserError
from pipeline.plan import Device, Enqueuing, Target
from tests.stages.models import SixteenBits, resnet, resnet_spec, spec_of


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    spec = resnet_spec()
    folder = tmp_path_factory.mktemp("model")
    save_module(resnet(spec), spec, folder)
    return Artifact(folder, "torch", "")


IMAGES = np.random.default_rng(0).normal(size=(3, 1, 12, 12)).astype(np.float32)


def target(device: Device = "cpu", **session: Any) -> Target:
    return Target(name="torch_cpu", backend=Torch(), device=device, threads=1, session=session)


def test_a_model_of_16_bits_runs_as_it_is(tmp_path: Path) -> None:
    spec = spec_of(SixteenBits, {"x": (4,)}, ["y"], dtype="float16")
    save_module(make_module(spec), spec, tmp_path)
    (found,) = Torch().load(Artifact(tmp_path, "torch", ""), target())({"x": np.ones((2, 4), np.float32)})
    assert found.shape == (2, 4)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("session", "tolerance"),
    [({}, 1e-6), ({"channels_last": True}, 1e-5), ({"dtype": "bfloat16"}, 0.05)],
)
def test_a_session_gives_the_models_outputs_as_float32(
    artifact: Artifact, session: dict[str, Any], tolerance: float
) -> None:
    (found,) = Torch().load(artifact, target(**session))({"image": IMAGES})
    with torch.inference_mode():
        expected = load_module(artifact.path)(torch.from_numpy(IMAGES)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_keys_of_nvidias_cards_are_refused_elsewhere() -> None:
    for key in ("tf32", "cuda_graph"):
        with pytest.raises(UserError, match=rf"target.torch_cpu.session.{key}=true is for NVIDIA's cards"):
            session_settings(target("cpu", **{key: True}))
    assert session_settings(target("cuda", tf32=True)).tf32


def test_two_ways_of_capturing_are_refused() -> None:
    with pytest.raises(UserError, match="compile=max-autotune captures CUDA graphs by itself"):
        session_settings(target("cuda", compile="max-autotune", cuda_graph=True))


def test_fp32_on_cuda_is_fp32_unless_tf32_is_asked_for() -> None:
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        for allowed in (True, False):
            _allow_tf32(allowed)
            assert torch.backends.cuda.matmul.allow_tf32 is allowed
            assert torch.backends.cudnn.allow_tf32 is allowed
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products, convolutions


def test_every_shape_is_captured_once_and_launched_with_new_inputs() -> None:
    """A call that is made again stands in for a graph that is launched."""
    captured = []

    def record(call: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        outputs = call()
        captured.append(tuple(outputs.shape))

        def launch() -> None:
            outputs.copy_(call())

        return launch, outputs

    run = Graphed(lambda tensor: tensor * 2, record)
    for count, value in ((1, 1.0), (2, 2.0), (1, 3.0), (2, 4.0)):
        found = run(torch.full((count, 3), value))
        assert found.tolist() == [[2 * value] * 3] * count
    assert captured == [(1, 3), (2, 3)]


def test_a_batch_that_lies_on_the_device_is_run_without_handing_over(artifact: Artifact) -> None:
    session = Torch().load(artifact, target())
    assert isinstance(session, Enqueuing)
    batch = session.resident({"image": IMAGES})
    batch.enqueue()
    batch.wait()


def test_a_session_uses_the_targets_threads(artifact: Artifact) -> None:
    before = torch.get_num_threads()
    try:
        Torch().load(artifact, Target(name="t", backend=Torch(), threads=3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def _compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Skips where nothing can be compiled; what is compiled goes to a folder of the test's own."""
    try:
        Torch().check(target(compile=True))
    except BackendUnavailable as missing:
        pytest.skip(str(missing))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "vec_isa_ok", True)  # else a program is compiled for each instruction set
    limits = torch._dynamo.config.recompile_limit, torch._dynamo.config.fail_on_recompile_limit_hit
    yield
    torch._dynamo.config.recompile_limit, torch._dynamo.config.fail_on_recompile_limit_hit = limits
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("_compiler")
def test_a_compiled_model_gives_the_models_outputs_and_never_falls_back_to_eager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.backends.torch.backend.RECOMPILE_LIMIT", 1)
    spec = spec_of(SixteenBits, {"x": (4,)}, ["y"], dtype="float32")
    module = make_module(spec).float()
    save_module(module, spec, tmp_path)
    torch._dynamo.utils.counters.clear()
    session = Torch().load(Artifact(tmp_path, "torch", ""), target(compile="max-autotune"))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(session({"x": x})[0], expected, atol=1e-6)
    assert torch._dynamo.utils.counters["inductor"], "nothing was compiled"
    assert session.run.get_compiler_config()["max_autotune"] is True  # type: ignore[attr-defined]
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        session({"x": x[:1]})


def test_a_missing_gpu_is_unavailable_with_what_torch_says(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(BackendUnavailable, match=r"this torch \(.*\) is built without CUDA"):
        Torch().check(target("cuda"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match=r"torch .* \(CUDA 13.0\) sees no usable NVIDIA GPU"):
        Torch().load(artifact, target("cuda"))


def test_a_missing_compiler_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def missing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    with pytest.raises(BackendUnavailable, match="needs a C\\+\\+ compiler, and none is found"):
        Torch().check(target(compile=True))


def test_missing_headers_are_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", lambda: "g++")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(BackendUnavailable, match=r"has no Python.h: install python3-dev"):
        Torch().check(target(compile=True))


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (
            {"compiel": True},
            r"session.compiel does not exist; did you mean 'compile'\? available: compile, channels_last, dtype",
        ),
        ({"compile": "fast"}, r"session.compile=fast does not exist; available: false, true, default, reduce-overhead"),
        ({"channels_last": "yes"}, r"session.channels_last=yes does not exist; available: false, true"),
        ({"dtype": "int8"}, r"session.dtype=int8 does not exist; available: float32, float16, bfloat16"),
    ],
)
def test_unknown_session_keys_are_refused_with_what_exists(session: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=r"target.torch_cpu." + words):
        session_settings(target(**session))


def test_what_the_configs_name_imports_without_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys, importlib, yaml, pipeline.conf, pipeline.backends.torch, pipeline.artifact.torch_module\n"
        "from importlib.resources import files\n"
        "stages = [file for file in (files('pipeline.conf') / 'stage').iterdir() if file.name.endswith('.yaml')]\n"
        "for file in stages:\n"
        "    target = yaml.safe_load(file.read_text())['_target_']\n"
        "    importlib.import_module(target.rpartition('.')[0])\n"
        "assert stages\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'torch_pruning'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
