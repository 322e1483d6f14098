import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.machine import environment
from pipeline.machine.environment import (
    available_cores,
    available_memory_bytes,
    describe_machine,
    governor,
    isa,
    last_level_cache_bytes,
    swap_used_bytes,
    turbo,
)
from pipeline.results.header import Machine

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


@pytest.mark.usefixtures("cpuinfo")
def test_elsewhere_py_cpuinfo_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"brand_raw": "Other CPU", "flags": ["avx2", "avx512vnni"]}
    monkeypatch.setattr("cpuinfo.get_cpu_info", lambda: found)
    assert isa() == {"avx2", "avx512_vnni"}
    assert describe_machine().cpu == "Other CPU"


def test_the_machine_is_described_in_plain_values(cpuinfo: Path) -> None:
    cpuinfo.write_text(X86)
    machine = describe_machine()
    assert Machine(**json.loads(json.dumps(asdict(machine)))) == machine
    assert machine.cpu == "Some CPU @ 2.00GHz"
    assert machine.virtualized is True
    assert isinstance(machine.gpu, list)
    assert {"numpy", "onnx", "torch"} <= machine.libraries.keys()


def test_this_machine_has_a_core() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.0, 2), (1.5, 2), (0.2, 1), (64.0, 4)])
def test_cores_are_bounded_by_the_quota(quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(environment, "cpu_quota", lambda: quota)
    assert available_cores() == cores


MEMINFO = "MemTotal: 1000 kB\nMemAvailable:     600 kB\nSwapTotal: 300 kB\nSwapFree: 100 kB\nHugePages_Total:   0\n"


def test_memory_and_swap_are_read_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_MEMINFO", tmp_path / "meminfo")
    assert available_memory_bytes() is None
    assert swap_used_bytes() is None
    (tmp_path / "meminfo").write_text(MEMINFO)
    assert available_memory_bytes() == 600 * 1024
    assert swap_used_bytes() == 200 * 1024


def test_the_last_level_cache_is_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_CPU", tmp_path)
    assert last_level_cache_bytes() is None
    for index, size in enumerate(["32K", "1024K", "32M", "odd"]):
        folder = tmp_path / "cpu0" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(size + "\n")
    assert last_level_cache_bytes() == 32 * 1024**2


def test_the_clock_is_read_where_the_system_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_CPU", tmp_path)
    assert (governor(), turbo()) == (None, None)
    (tmp_path / "cpu0" / "cpufreq").mkdir(parents=True)
    (tmp_path / "cpu0" / "cpufreq" / "scaling_governor").write_text("powersave\n")
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq" / "boost").write_text("1\n")
    assert (governor(), turbo()) == ("powersave", True)
    (tmp_path / "intel_pstate").mkdir()
    (tmp_path / "intel_pstate" / "no_turbo").write_text("1\n")
    assert turbo() is False
