"""OpenVINO and NNCF are imported, and report nothing."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CODE = """
import socket, sys
from pipeline.libraries.telemetry import without_telemetry

def refuse(*_, **__):
    raise AssertionError("it asked for the network")

socket.socket.connect = socket.getaddrinfo = refuse
assert without_telemetry("openvino").Core
assert without_telemetry("nncf").quantize
assert sys.modules["openvino_telemetry"] is None
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nncf") is None, reason="needs the extra openvino")
def test_nothing_is_kept_or_sent(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, env={"HOME": str(tmp_path), "PATH": ""}, timeout=120)
    assert list(tmp_path.iterdir()) == []
