"""Libraries' remarks reach the log and not the terminal."""

import logging
from types import ModuleType

import pytest

from pipeline.libraries.muted import prints_logged, remarks_logged


def test_what_libraries_log_goes_to_our_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger().handlers)
    with caplog.at_level(logging.INFO), remarks_logged():
        logging.getLogger("some.library").warning("axis %d is out of range", 1)
    assert "some.library: axis 1 is out of range" in caplog.messages
    assert capfd.readouterr().err == ""
    assert logging.getLogger().handlers == handlers


def test_what_a_module_prints_goes_to_our_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    library = ModuleType("talkative")
    exec("def work():\n    print('failed in', 'shape inference')", library.__dict__)
    with caplog.at_level(logging.INFO), prints_logged(library):
        library.work()
    assert caplog.messages == ["talkative: failed in shape inference"]
    library.work()
    assert capfd.readouterr().out == "failed in shape inference\n"
