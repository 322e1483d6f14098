"""Which variant a machine takes; the same rule is in every package's own program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.bundle.slimline_infer.choice import EXACT, choose, flags, needed, place
from pipeline.bundle.slimline_infer.values import InputError

ALL = ("cuda", "avx2", "any", "vnni")


@pytest.mark.parametrize(
    ("isa", "is_exact"), [({"avx2", "avx512_vnni"}, True), ({"avx_vnni"}, True), ({"avx2"}, False), (None, False)]
)
def test_what_makes_products_exact_is_left_out_where_they_are(isa: set[str] | None, is_exact: bool) -> None:
    entries = {EXACT: "1", "session.set_denormal_as_zero": "1"}
    found = needed(entries, None if isa is None else frozenset(isa))
    assert found == ({"session.set_denormal_as_zero": "1"} if is_exact else entries)


def variants(*kinds: str) -> list[dict[str, Any]]:
    return [{"name": f"for_{kind}", "kind": kind} for kind in kinds]


@pytest.mark.parametrize(
    ("isa", "machine", "taken"),
    [
        ({"avx2", "avx512_vnni"}, "x86_64", "vnni"),
        ({"avx2", "avx_vnni"}, "AMD64", "vnni"),
        ({"avx2", "avx512bw"}, "x86_64", "avx2"),
        ({"sse4_1"}, "x86_64", "any"),
        (None, "x86_64", "avx2"),
        ({"asimd"}, "aarch64", "vnni"),
        (None, "arm64", "vnni"),
    ],
)
def test_a_processor_takes_the_variant_that_is_exact_and_fast_on_it(
    isa: set[str] | None, machine: str, taken: str
) -> None:
    entry, _ = choose(variants(*ALL), None if isa is None else frozenset(isa), False, machine)
    assert entry["kind"] == taken


def test_a_processor_without_its_own_variant_takes_the_next_best() -> None:
    assert choose(variants("any", "vnni"), frozenset({"avx2"}), False, "x86_64")[0]["kind"] == "any"
    assert choose(variants("vnni"), frozenset({"avx2"}), False, "x86_64")[0]["kind"] == "vnni"


def test_a_gpu_takes_the_variant_for_cuda_where_there_is_one() -> None:
    assert choose(variants(*ALL), frozenset({"avx2"}), True, "x86_64")[0]["kind"] == "cuda"
    assert choose(variants("any"), frozenset({"avx2"}), True, "x86_64")[0]["kind"] == "any"


def test_a_package_for_gpus_says_so_on_a_machine_without_one() -> None:
    with pytest.raises(InputError, match="need a GPU"):
        choose(variants("cuda"), frozenset({"avx2"}), False, "x86_64")


def test_the_reason_names_the_instruction_set() -> None:
    assert choose(variants(*ALL), frozenset({"avx2"}), False, "x86_64")[1] == "this processor has avx2 and no VNNI"
    assert "avx_vnni" in choose(variants(*ALL), frozenset({"avx_vnni"}), False, "x86_64")[1]


def test_the_instruction_sets_are_read_as_linux_tells_them(tmp_path: Path) -> None:
    x86, arm, none = (tmp_path / name for name in ("x86", "arm", "none"))
    x86.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\nprocessor\t: 1\nflags\t\t: fpu\n")
    arm.write_text("processor : 0\nFeatures : fp asimd asimddp\n")
    none.write_text("processor : 0\n")
    assert flags(x86) == frozenset({"fpu", "avx2", "avx512_vnni"})
    assert flags(arm) == frozenset({"fp", "asimd", "asimddp"})
    assert flags(none) is None
    assert flags(tmp_path / "missing") is None


def test_a_bundle_of_one_model_has_no_variants(tmp_path: Path) -> None:
    assert place(tmp_path).folder == tmp_path
    with pytest.raises(InputError, match="holds one model"):
        place(tmp_path, "int8")


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 2, "variants": []}'])
def test_a_package_that_can_t_be_read_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "package.json").write_text(content)
    with pytest.raises(InputError, match=r"package\.json"):
        place(tmp_path)
