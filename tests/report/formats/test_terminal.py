"""What a run prints."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.report import print_report
from pipeline.results.report import Report
from tests.report import example


def _printed(report: Report, width: int = 100) -> str:
    file = io.StringIO()
    print_report(report, Console(file=file, width=width))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, _printed(example.typical(), width).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100, 120])
def test_figures_and_verdicts_are_never_wrapped(width: int) -> None:
    printed = _printed(example.typical(), width)
    for whole in ("1.86x [1.84, 1.89]", "93.73 % −0.12 pt", "[0.219, 0.223]", "NO MEANINGFUL DROP", "FAILS MARGIN"):
        assert whole in printed


def test_a_wide_terminal_shows_memory_and_throughput() -> None:
    printed = _printed(example.typical(), 120)
    assert "memory" in printed
    assert "4,525" in printed


def test_a_narrow_terminal_keeps_accuracy_and_speed() -> None:
    [heads] = [line for line in _printed(example.typical(), 80).splitlines() if line.startswith("variant ")]
    assert heads.split()[:3] == ["variant", "accuracy", "speed-up"]
    assert "p50" in _printed(example.typical(), 80)
    assert "throughput" not in heads


def test_what_a_narrow_terminal_leaves_out_is_said() -> None:
    said = "Left out at 80 columns, shown in a wider terminal: p99, throughput, memory."
    assert said in _printed(example.typical(), 80)
    assert "Left out at" not in _printed(example.typical(), 120)


def test_rows_skipped_for_one_reason_take_one_line() -> None:
    printed = _printed(example.typical(), 300)
    assert printed.count(example.NO_CUDA) == 1
    assert (
        f"skipped on ort_cuda, batch 1: {example.NO_CUDA} "
        "(baseline, dynamic_int8, static_int8, pruned, pruned_int8)" in printed
    )


def test_a_failed_row_is_named_with_its_reason() -> None:
    assert re.search(r"failed on ort_cpu, batch 1: stage 'prune'.*\(distilled\)", _printed(example.typical(), 300))


def test_the_recommendation_comes_with_its_reason_and_the_next_best() -> None:
    printed = _printed(example.typical(), 300)
    assert "Recommended: static_int8 on ort_cpu, batch 1: the fastest of the variants" in printed
    assert "Next best: pruned_int8 is faster" in printed


def test_without_a_recommendation_it_says_why() -> None:
    assert "Recommended: none. no variant was faster" in _printed(example.report([]), 300)


def test_a_noisy_run_says_so() -> None:
    noisy = example.report([example.variant("baseline", [example.result(0.4, found=None)])], noisy=True)
    assert "NOISY: baseline@ort_cpu/1 differs from its clone" in _printed(noisy, 300)


def test_a_report_without_measured_rows_says_so() -> None:
    assert "No row was measured." in _printed(example.report([example.variant("baseline", [example.skipped()])]))


def test_a_run_that_timed_nothing_does_not_say_that_its_checks_passed() -> None:
    nothing = replace(example.report([]), noise=replace(example.noise(), rounds=0, blocks=0, clones=[]))
    printed = _printed(nothing)
    assert "Nothing was timed." in printed
    assert "checks passed" not in printed


def test_a_name_in_square_brackets_is_shown_as_it_is() -> None:
    assert "[red]x" in _printed(example.report([example.variant("[red]x", [example.result(0.4, found=None)])]))


def test_a_file_gets_plain_text() -> None:
    assert "\x1b" not in _printed(example.typical())


def test_a_terminal_without_unicode_gets_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_report(example.unbounded(), Console(file=file, width=100))
    file.seek(0)
    assert "[0.00, inf]" in file.read()


def test_a_very_long_name_wraps_and_the_figures_stay_whole() -> None:
    report = example.typical()
    renamed = [replace(variant, name=variant.name + "_on_and_on" * 8) for variant in report.variants]
    printed = _printed(replace(report, variants=renamed))
    assert max(map(len, printed.splitlines())) <= 100
    assert "1.86x [1.84, 1.89]" in printed


def test_each_target_and_batch_size_has_its_own_table() -> None:
    rows = [example.result(0.4, found=None, target=target, batch_size=size)
            for target in ("ort_cpu", "torch_cpu") for size in (1, 32)]  # fmt: skip
    printed = _printed(example.report([example.variant("baseline", rows)]))
    for title in ("ort_cpu, batch 1", "ort_cpu, batch 32", "torch_cpu, batch 1", "torch_cpu, batch 32"):
        assert f"\n{title} " in printed or f"\n{title}\n" in printed


def test_what_was_not_asked_for_and_does_not_apply_takes_one_line() -> None:
    no_torch = "prune needs a PyTorch model"
    unasked = [
        replace(example.skipped(), asked=False),
        replace(example.skipped("ort_cpu", reason=no_torch), asked=False),
    ]
    rows = [example.result(0.4, found=None), unasked[0]]
    printed = _printed(example.report([example.variant("baseline", rows), example.variant("pruned", unasked)]), 400)
    assert (
        "Not run, since it does not apply here and was not asked for by name: "
        f"ort_cuda: {example.NO_CUDA}; pruned: {no_torch}." in printed
    )
    assert "skipped on" not in printed
