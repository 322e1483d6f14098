"""Which code made a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.artifact.code import code_digest

PROJECT = {
    "net/__init__.py": "",
    "net/model.py": "from . import blocks\nfrom .deep.heads import Head\nimport helpers\nclass Net: ...\n",
    "net/blocks.py": "from net import acts\n",
    "net/acts.py": "act = 'relu'\n",
    "net/deep/heads.py": "class Head:\n    def __init__(self):\n        import lazy.inner\n",  # deep has no __init__.py
    "helpers.py": "import json, numpy\n",
    "lazy/__init__.py": "",
    "lazy/inner.py": "",
    "unrelated.py": "",
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, PROJECT)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("changed", [name for name in PROJECT if name != "unrelated.py"])
def test_every_module_that_is_imported_counts(project: Path, changed: str) -> None:
    before = code_digest("net.model.Net")
    (project / changed).write_text(f"{PROJECT[changed]}# changed\n")
    assert code_digest("net.model.Net") != before


def test_what_is_not_imported_does_not_count(project: Path) -> None:
    before = code_digest("net.model.Net")
    (project / "unrelated.py").write_text("changed = True\n")
    assert code_digest("net.model.Net") == before


def test_modules_that_are_found_only_when_run_count_with_their_folder(project: Path) -> None:
    write(project, {"plugins/__init__.py": "import importlib\ndef load(name):\n    importlib.import_module(name)\n"})
    write(project, {"plugins/one.py": "", "by_plugins.py": "import plugins\nclass Net: ...\n"})
    before = code_digest("by_plugins.Net")
    write(project, {"plugins/one.py": "width = 2\n"})
    assert code_digest("by_plugins.Net") != before


def test_files_that_arguments_name_count(project: Path) -> None:
    (project / "config.json").write_text("{}")
    settings = {"config": str(project / "config.json"), "depth": 3}
    before = code_digest("net.model.Net", settings=settings)
    (project / "config.json").write_text('{"act": "gelu"}')
    assert code_digest("net.model.Net", settings=settings) != before


def test_nothing_is_run_to_find_it_out(project: Path) -> None:
    write(project, {"hostile.py": "raise SystemExit('was run')\nclass Net: ...\n"})
    assert code_digest("hostile.Net") is not None
    assert code_digest("no_such_module.Net") is None
