"""What readings mean. Each finding is a line; a warning says what to do."""

from __future__ import annotations

import pytest

from pipeline.doctor import findings
from pipeline.machine.quiet import Quiet

GB = 10**9


@pytest.mark.parametrize(
    ("isa", "level", "words"),
    [
        ({"avx2"}, "note", "lacks AVX-512 VNNI, AVX-VNNI, AMX int8: int8 gains less speed"),
        ({"avx2", "avx_vnni"}, "ok", "has AVX-VNNI; it lacks AVX-512 VNNI, AMX int8"),
        ({"avx512_vnni", "avx_vnni", "amx_int8"}, "ok", "has AVX-512 VNNI, AVX-VNNI, AMX int8"),
        ({"asimd"}, "note", "lacks dot products, int8 matrix products"),
        ({"asimd", "asimddp", "i8mm"}, "ok", "has dot products, int8 matrix products"),
        (set(), "note", "can't be read"),
    ],
)
def test_int8_is_judged_by_the_instructions_there_are(isa: set[str], level: str, words: str) -> None:
    found = findings.int8(frozenset(isa))
    assert found.level == level
    assert words in found.text


def test_only_x86_warns_of_saturation() -> None:
    assert "saturate" in findings.int8(frozenset({"avx2"})).text
    assert "saturate" not in findings.int8(frozenset({"asimd"})).text


@pytest.mark.parametrize(("flag", "level"), [("amx_bf16", "ok"), ("avx2", "note")])
def test_bf16_is_judged_by_the_instructions_there_are(flag: str, level: str) -> None:
    assert findings.bf16(frozenset({flag})).level == level


@pytest.mark.parametrize(
    ("allowed", "quota", "level", "words"),
    [
        (4, None, "ok", "4 cores, no quota"),
        (2, None, "ok", "2 of 4 cores may be used"),
        (4, 4.0, "ok", "within a quota of 4 cores' time"),
        (4, 1.5, "warning", "quota is 1.5 cores' time"),
    ],
)
def test_a_quota_below_the_cores_is_a_warning(allowed: int, quota: float | None, level: str, words: str) -> None:
    found = findings.cores(allowed, 4, quota)
    assert found.level == level
    assert words in found.text


@pytest.mark.parametrize(
    ("governor", "turbo", "levels"),
    [
        (None, None, ["note", "note"]),
        ("performance", False, ["ok", "ok"]),
        ("powersave", True, ["warning", "note"]),
    ],
)
def test_a_clock_that_wanders_is_told(governor: str | None, turbo: bool | None, levels: list[str]) -> None:
    assert [found.level for found in findings.clock(governor, turbo)] == levels


@pytest.mark.parametrize(("virtualized", "level"), [(True, "note"), (False, "ok"), (None, "note")])
def test_a_virtual_machine_is_told(virtualized: bool | None, level: str) -> None:
    assert findings.virtualization(virtualized).level == level


@pytest.mark.parametrize(
    ("quiet", "levels"),
    [
        (Quiet(stolen=0.0, busy=0.01), ["ok", "ok"]),
        (Quiet(stolen=0.05, busy=0.01), ["warning", "ok"]),
        (Quiet(stolen=0.0, busy=0.25), ["ok", "warning"]),
        (None, ["note", "note"]),
    ],
)
def test_stolen_time_and_other_work_are_warnings(quiet: Quiet | None, levels: list[str]) -> None:
    found = findings.quietness(quiet, 0.3, 4)
    assert [one.level for one in found] == levels
    assert "mean load of the last minute 0.30" in found[1].text


@pytest.mark.parametrize(
    ("available", "swapped", "levels"),
    [(20 * GB, 0, ["ok", "ok"]), (GB, GB, ["warning", "warning"]), (None, None, ["note", "note"])],
)
def test_little_memory_and_used_swap_are_warnings(
    available: int | None, swapped: int | None, levels: list[str]
) -> None:
    assert [found.level for found in findings.memory(available, 32 * GB, swapped)] == levels


def test_gpus_are_named_with_their_driver() -> None:
    assert findings.gpu([], None).level == "note"
    assert findings.gpu(["H200 (139 GiB)"], "570.1").text == "H200 (139 GiB); driver 570.1"


@pytest.mark.parametrize(("free", "level"), [(80 * GB, "ok"), (GB, "warning")])
def test_a_disk_that_is_almost_full_is_a_warning(free: int, level: str) -> None:
    assert findings.disk(free, "the store in models/store").level == level


def test_a_processor_without_a_name_is_told() -> None:
    assert findings.processor(None, "riscv64").text == "its name can't be read (riscv64)"
    assert findings.processor("Some CPU", "x86_64").level == "ok"


def test_every_warning_says_what_to_do() -> None:
    warnings = [
        findings.cores(4, 4, 0.5),
        *findings.clock("powersave", True),
        *findings.quietness(Quiet(stolen=0.5, busy=0.5), None, 8),
        *findings.memory(GB, GB, GB),
        findings.disk(0, "the store"),
    ]
    assert all(found.advice for found in warnings if found.level == "warning")
