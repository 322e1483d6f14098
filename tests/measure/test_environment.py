import json
import os
from pathlib import Path

import pytest

from pipeline.measure import environment
from pipeline.measure.environment import available_cores, describe_machine, isa

X86 = (
    "model name\t: Some CPU @ 2.00GHz\n"
    "flags\t\t: fpu pni avx2 avx512f avx512_vnni avx_vnni amx_int8 hypervisor made_up\n"
)
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm sve\n"


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(environment, "_CPUINFO", path)
    return path


def test_x86_instruction_sets_are_read_from_flags(cpuinfo: Path) -> None:
    cpuinfo.write_text(X86)
    assert isa() == {"sse3", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}


def test_arm_instruction_sets_are_read_from_features(cpuinfo: Path) -> None:
    cpuinfo.write_text(ARM)
    assert isa() == {"asimd", "asimddp", "i8mm", "sve"}


def test_elsewhere_py_cpuinfo_is_asked(cpuinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_py_cpuinfo", lambda: {"brand_raw": "Other CPU", "flags": ["avx2", "avx512vnni"]})
    assert isa() == {"avx2", "avx512_vnni"}
    assert describe_machine()["cpu"] == "Other CPU"


def test_the_machine_is_described_in_plain_values(cpuinfo: Path) -> None:
    cpuinfo.write_text(X86)
    machine = describe_machine()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"] == "Some CPU @ 2.00GHz"
    assert machine["virtualized"] is True
    assert isinstance(machine["gpu"], list)
    assert {"numpy", "onnx", "torch"} <= machine["libraries"].keys()


def test_this_machine_has_a_core() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.0, 2), (1.5, 2), (0.2, 1), (64.0, 4)])
def test_cores_are_bounded_by_the_quota(quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(environment, "cpu_quota", lambda: quota)
    assert available_cores() == cores
