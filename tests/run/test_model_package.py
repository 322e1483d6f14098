"""A package of several rows of a finished run."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.plan import Constraints, MeasureSettings
from pipeline.report.charts import figures as charts
from pipeline.results.reading import load_record
from pipeline.run import loop
from pipeline.run.finished import Finished
from pipeline.run.model_package import package_rows
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from tests.example import plan

pytestmark = pytest.mark.slow

BRIEF = MeasureSettings(
    profile="test",
    looks=(3,),
    blocks=4,
    cell_ms=0.2,
    noisy_half_width=1e9,
    energy_s=None,
    peaks=False,
    explain="none",
    exclusive=False,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Finished:
    """A run of a model in fp32 and in int8."""
    chosen = plan(
        tmp_path_factory.mktemp("run"),
        {"baseline": {}, "int8": {"quantize": QuantizeDynamic(for_isa="avx2")}},
        constraints=Constraints(max_size_mb=1e-6),
        measure=BRIEF,
        store=store,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "draw_apart", lambda report: charts.Drawing(figures=[]))
        assert loop.run(chosen, Console(file=io.StringIO())) == 0
    return Finished(plan=chosen, record=load_record(chosen.output / "samples"), folder=chosen.output)


def test_rows_for_other_machines_become_one_package(finished: Finished, tmp_path: Path) -> None:
    text = io.StringIO()
    assert package_rows(finished, ["baseline", "int8@ort_cpu"], tmp_path / "out", Console(file=text, width=200)) == 0
    package = json.loads((tmp_path / "out" / "package.json").read_text())
    assert [(entry["name"], entry["kind"]) for entry in package["variants"]] == [("int8", "avx2"), ("baseline", "any")]
    assert f"python -m pipeline verify {tmp_path / 'out'}" in text.getvalue()


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["baseline", "baseline@ort_cpu"], "variant 'baseline' is named twice"),
        (["int8"], "a package holds several variants, and only 'int8' is named"),
        (["baseline", "int9"], "int9: variant int9 does not exist; did you mean 'int8'?"),
    ],
)
def test_rows_that_make_no_package_are_one_line(
    finished: Finished, tmp_path: Path, names: list[str], problem: str
) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        package_rows(finished, names, tmp_path / "out", Console(file=io.StringIO()))
    assert list(tmp_path.iterdir()) == []


def test_a_package_replaces_nothing_but_a_bundle(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than a bundle"):
        package_rows(finished, ["baseline", "int8"], tmp_path, Console(file=io.StringIO()))
