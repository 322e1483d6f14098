"""A bundle's serve.py as a process of its own."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bundle.test_infer import ALONE

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Served:
    """A server that is ready."""

    process: subprocess.Popen[str]
    port: int

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        """The status and the body of an answer."""
        status, content, _ = self.ask_all(method, path, body, kind)
        return status, content

    def ask_all(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> tuple[int, bytes, Mapping[str, str]]:
        connection = self.connection()
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.headers)
        finally:
            connection.close()

    def ask_json(self, method: str, path: str, value: object = None) -> tuple[int, Any]:
        body = None if value is None else json.dumps(value).encode()
        status, content = self.ask(method, path, body, "application/json")
        return status, json.loads(content)


def alone(program: Path, arguments: Sequence[str]) -> list[str]:
    """The command of ``python serve.py`` in a clean environment, where slimline, torch and onnx can't be imported."""
    code = ALONE + "runpy.run_path(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-I", "-B", "-c", code, str(program), *arguments]


@contextmanager
def serving(command: Sequence[str], folder: Path) -> Iterator[Served]:
    """The command's server on the port that it says it has, once it is ready; killed at the end if it still runs."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={})
    with process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.search(r" at http://[^ ]*:(\d+) ", told)
            assert found, (told, process.stderr.read() if process.stderr and process.poll() is not None else "")
            yield Served(process, int(found.group(1)))
        finally:
            process.kill()
