"""What all tests share."""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra

from pipeline.errors.contained import RAISING
from pipeline.isolated import run
from pipeline.isolated.template import Template
from pipeline.measure.exclusive import FOLDER
from pipeline.report.charts import figures as charts
from tests.shared_templates import sharing

os.environ[RAISING] = "1"  # a fault of our own fails the test instead of becoming a part's reason
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several threads only wait for each other on models this small
for _signal in (signal.SIGINT, signal.SIGHUP):  # nohup, and a shell's &, hand on that these are ignored
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _signal is signal.SIGINT else signal.SIG_DFL)
_FIRST = Path(__file__).parent / "each_process"
runpy.run_path(str(_FIRST / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_FIRST), os.environ.get("PYTHONPATH"))))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process of a parallel run is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was imported for the tests is no garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _measuring_lock_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests time nothing that counts, so they wait for no run on this machine, and none waits for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture(autouse=True, scope="module")
def _no_process_left() -> Iterator[None]:
    """A file of tests leaves no process to the files that come after it, nor OpenVINO with what starts some to report
    its use (``pipeline.libraries.telemetry``)."""
    yield
    assert not multiprocessing.active_children()
    assert sys.modules.get("openvino_telemetry") is None


@pytest.fixture(autouse=True, scope="session")
def _shared_templates() -> Iterator[None]:
    with sharing():
        yield


@pytest.fixture(autouse=True, scope="session")
def _composed_once() -> Iterator[None]:
    """Before it composes a run's configuration, Hydra composes it for nothing but ``hydra.mode``, which takes as long.
    Where nobody can have set that, what it would find is None."""
    plain = Hydra.get_mode

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        given = any("hydra" in word for word in overrides) or any(word.startswith("--config") for word in sys.argv)
        return plain(hydra, config_name, overrides) if given else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", get_mode)
        yield


@pytest.fixture(autouse=True, scope="session")
def _drawn_by_one(_shared_templates: None) -> Iterator[None]:
    """The process that draws a report's charts takes more than a second to import what it needs: here it is forked from
    one that has imported it."""
    with Template((charts.__name__, "altair")) as template, pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "run", partial(run, start=template))
        yield


@pytest.fixture
def drawn_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The charts are drawn as they are outside of the tests, by a new process."""
    monkeypatch.setattr(charts, "run", run)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a parallel run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def store(shared: Path) -> Path:
    """A store that tests share, so that the example's models are built once."""
    return shared / "shared-store"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report's charts take a process of their own; here there are none."""
    monkeypatch.setattr(charts, "draw_apart", lambda report: charts.Drawing(figures=[]))
