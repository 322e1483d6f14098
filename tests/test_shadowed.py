"""The package finds itself, whatever lies in the working directory or is installed beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.isolated.process import start_python

PACKAGE = Path(pipeline.__file__).parent


def test_a_checkouts_configuration_belongs_to_its_code(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    shutil.copy(PACKAGE / "__init__.py", tmp_path / "pipeline")
    for name in ("conf", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "conf" / "config.yaml").touch()
    program = "import pipeline.conf, pipeline.models; print(pipeline.conf.__file__, pipeline.models.__file__)"
    found = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [Path(path).parent.parent for path in found.stdout.split()] == [tmp_path, tmp_path]


def test_a_started_process_has_this_package_and_the_users_other_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pipeline.py").write_text("raise SystemExit('the module of the user')\n")
    (tmp_path / "own_main.py").write_text("import pipeline\ndef main():\n    print(pipeline.__file__)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    process = start_python("own_main", tmp_path / "log")
    printed, _ = process.communicate(timeout=60)
    assert Path(printed.decode().strip()).parent == PACKAGE, (tmp_path / "log").read_text()
