"""serve.py over HTTP, each server a process of its own."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundle import infer
from pipeline.bundle.dockerfile import dockerfile
from pipeline.bundle.slimline_infer.http_server import Server, _prediction
from pipeline.bundle.slimline_infer.line import Line
from pipeline.bundle.slimline_infer.service import READY, Bounds, Service
from tests.bundle import example
from tests.bundle.served import PATIENCE_S, Served, alone, serving
from tests.bundle.test_write import manifest_of

NPY = "application/x-npy"


@pytest.fixture(scope="module")
def server(written: Path) -> Iterator[Served]:
    """A server of the shared bundle, with narrow limits."""
    limits = ("--max-batch", "8", "--max-mb", "0.01", "--wait-ms", "1", "--verbose")
    with serving(alone(written / "serve.py", ("--port", "0", *limits)), written.parent) as served:
        yield served


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def images(count: int) -> np.ndarray:
    return example.images(count).arrays["image"]


def refused(server: Served, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    """The status, and the one line that says why."""
    status, content = server.ask("POST", "/predict", body, kind)
    (line,) = json.loads(content).values()
    assert "\n" not in line
    return status, line


def raw(server: Served, request: bytes) -> bytes:
    """All that is answered to these bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def test_it_is_healthy_and_says_what_the_model_is(server: Served, written: Path) -> None:
    assert server.ask_json("GET", "/health") == (200, {"live": True, "ready": True, "status": "ready", "requests": 0})
    assert server.ask_json("GET", "/health/live") == (200, {"live": True})
    status, told = server.ask_json("GET", "/metadata")
    manifest = manifest_of(written)
    assert status == 200
    assert {name: told[name] for name in ("name", "sha256", "labels")} == {
        name: manifest[name] for name in ("name", "sha256", "labels")
    }
    assert told["inputs"] == [{"name": "image", "dtype": "uint8", "shape": ["N", 2, 4, 4], "range": [0.0, 255.0]}]
    assert told["outputs"] == [{"name": "logits", "dtype": "float32", "shape": ["N", 3]}]
    assert (told["batch_limit"], told["threads"], told["wait_ms"], told["body_limit_bytes"]) == (8, 1, 1.0, 10485)


def test_every_form_gets_the_outputs_of_infer(server: Served, written: Path) -> None:
    model, wanted = infer.Model(written), images(5)
    expected = model(wanted)["logits"]
    status, told = server.ask_json("POST", "/predict", {"inputs": {"image": wanted.tolist()}})
    assert (status, told["classes"]) == (200, model.predict(wanted))
    np.testing.assert_allclose(told["outputs"]["logits"], expected, rtol=1e-6)
    status, content = server.ask("POST", "/predict", npy(wanted), NPY)
    assert status == 200
    np.testing.assert_array_equal(np.load(io.BytesIO(content), allow_pickle=False), expected)
    archive = io.BytesIO()
    np.savez(archive, image=wanted)
    status, content = server.ask("POST", "/predict", archive.getvalue(), "application/octet-stream")
    assert status == 200
    np.testing.assert_array_equal(np.load(io.BytesIO(content), allow_pickle=False)["logits"], expected)


def test_requests_at_the_same_time_get_their_own_outputs(server: Served, written: Path) -> None:
    wanted = images(40)
    expected = infer.Model(written)(wanted)["logits"]

    def ask(index: int) -> np.ndarray:
        _, content = server.ask("POST", "/predict", npy(wanted[index : index + 1]), NPY)
        array: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
        return array

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(len(wanted))))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5, atol=1e-6)


def test_values_unlike_the_golden_ones_are_answered_with_a_doubt(server: Served) -> None:
    _, told = server.ask_json("POST", "/predict", {"inputs": {"image": (images(1) / 255).tolist()}})
    assert "are these fractions of 1" in told["doubts"][0]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{}", 400, 'must be {"inputs": {NAME: nested lists}}; the model has image'),
        (b'{"inputs": {}}', 400, "no array for input 'image'"),
        (b'{"inputs": {"image": [[1]]}}', 400, "'image' must have shape [N, 2, 4, 4] (got [1, 1])"),
        (b'{"inputs": {"image": []}}', 400, "must have shape"),
        (json.dumps({"inputs": {"image": images(9).tolist()}}).encode(), 400, "9 examples, and a request may have 8"),
        (b" " * 10_486, 413, "the body has 10486 bytes, and may have 10485"),
    ],
)
def test_a_request_that_does_not_fit_is_one_clear_line(server: Served, body: bytes, status: int, words: str) -> None:
    found, line = refused(server, body)
    assert (found, words in line) == (status, True), line


def test_arrays_of_another_type_and_pickles_are_refused(server: Served) -> None:
    assert "must hold float32 values" in refused(server, npy(np.zeros((1, 2, 4, 4), np.complex64)), NPY)[1]
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}]), allow_pickle=True)
    assert "can't be read as a .npy file" in refused(server, file.getvalue(), NPY)[1]
    assert refused(server, b"image=1", "application/x-www-form-urlencoded")[0] == 415


def test_other_addresses_and_methods_say_what_there_is(server: Served) -> None:
    status, told = server.ask_json("GET", "/v1/models")
    assert (status, "POST /predict" in told["error"]) == (404, True)
    status, _, headers = server.ask_all("GET", "/predict")
    assert (status, headers["Allow"]) == (405, "POST")
    assert server.ask_json("DELETE", "/predict")[0] == 501


def test_a_connection_serves_request_after_request(server: Served) -> None:
    connection = server.connection()
    for body, status in ((b"{}", 400), (npy(images(2)), 200), (b"", 400)):
        connection.request("POST", "/predict", body, {"Content-Type": NPY})
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (status, False)
    connection.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Transfer-Encoding: chunked", b"411"),
        (b"Accept: */*", b"411"),
        (b"Content-Length: -1", b"400"),
        (b"Content-Length: 1_0", b"400"),
        (b"Content-Length: 5\r\nContent-Length: 50", b"400"),
        (b"Content-Length: " + b"9" * 19, b"413"),
        (b"Content-Length: 99999999\r\nExpect: 100-continue", b"413"),
    ],
)
def test_a_body_without_a_length_that_may_be_read_is_not_read(server: Served, head: bytes, status: bytes) -> None:
    smuggled = b"\r\n\r\nGET /health HTTP/1.1\r\n\r\n"
    answered = raw(server, b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\n" + head + smuggled)
    assert answered.startswith(b"HTTP/1.1 " + status)
    assert answered.count(b"HTTP/1.1") == 1


def test_bytes_that_are_no_request_are_refused(server: Served) -> None:
    assert b"Bad request syntax" in raw(server, b"\x16\x03\x01\x02\r\n\r\n")
    assert b" 431 " in raw(server, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n")
    assert (
        raw(server, b"GET /health HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /x HTTP/1.1\r\n\r\n").count(b"HTTP/1")
        == 1
    )


HEAD = b"POST /predict HTTP/1.1\r\nContent-Type: application/x-npy\r\nContent-Length: %d\r\n\r\n"


def all_of(connection: socket.socket) -> bytes:
    """What is answered until the server closes the connection."""
    return b"".join(iter(lambda: connection.recv(2**16), b""))


def test_the_end_waits_for_the_requests_that_are_there(written: Path, tmp_path: Path) -> None:
    body = npy(images(1))
    with serving(alone(written / "serve.py", ("--port", "0")), tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as last:
            last.sendall(HEAD % len(body) + body[:10])
            while server.ask_json("GET", "/health")[1]["requests"] == 0:
                pass
            server.process.send_signal(signal.SIGTERM)
            while is_ready(server):
                pass
            last.sendall(body[10:])
            answered = all_of(last)
            assert answered.startswith(b"HTTP/1.1 200")
            assert b"Connection: close" in answered
        assert server.process.wait(PATIENCE_S) == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""


def is_ready(server: Served) -> bool:
    try:
        return server.ask("GET", "/health")[0] == 200
    except ConnectionError:
        return False


@pytest.fixture
def here(written: Path) -> Iterator[tuple[Service, Server]]:
    """A server in this process, before its model is there, whose requests may take no time."""
    service = Service(Bounds(seconds=0.05))
    with Server("127.0.0.1", 0, service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield service, server
        server.shutdown()
        thread.join()


def told_by(server: Server, request: bytes) -> bytes:
    with socket.create_connection(server.server_address, timeout=PATIENCE_S) as connection:  # type: ignore[arg-type]
        connection.sendall(request)
        return all_of(connection)


def test_it_listens_before_it_is_ready(here: tuple[Service, Server]) -> None:
    for request in (b"GET /health HTTP/1.0\r\n\r\n", b"GET /metadata HTTP/1.0\r\n\r\n", HEAD % 0):
        answered = told_by(here[1], request.replace(b"1.1", b"1.0"))
        assert b" 503 " in answered
        assert b"starting" in answered
    assert b" 200 " in told_by(here[1], b"GET /health/live HTTP/1.0\r\n\r\n")


def test_a_full_line_refuses_and_keeps_a_connection_that_it_has(here: tuple[Service, Server], written: Path) -> None:
    service, server = here
    service.model, service.status = infer.Model(written), READY
    service.line = Line(service.model.outputs, places=1)
    request = HEAD % len(npy(images(1))) + npy(images(1))
    health = b"GET /health HTTP/1.0\r\n\r\n"
    with service.line.place(), socket.create_connection(server.server_address, timeout=PATIENCE_S) as connection:  # type: ignore[arg-type]
        connection.sendall(health.replace(b"1.0", b"1.1"))
        assert b" 200 " in connection.recv(2**16)
        connection.sendall(request + request + HEAD % 3)
        sent = connection.recv(2**16)
        connection.sendall(b"npy" + health)  # this one has not come as a whole before it is refused
        answered = sent + all_of(connection)
    assert answered.count(b"HTTP/1.1 503 ") == 3
    assert answered.count(b"Retry-After: 1\r\n") == 3
    assert answered.count(b"1 requests are waiting already") == 3
    assert answered.count(b"HTTP/1.1 200 ") == 1
    assert b"Connection: close" not in answered[: answered.index(b" 200 ")]


@pytest.mark.parametrize(
    ("request_", "length"),
    [
        (HEAD % 3 + b"npyGET", len(HEAD % 3) + 3),
        (HEAD % 3 + b"np", 0),
        (HEAD[:-2] % 3, 0),
        (b"GET" + HEAD[4:] % 3 + b"npy", 0),
        (HEAD[:-2] % 3 + b"CONTENT-LENGTH: 30\r\n\r\nnpy", 0),
        (HEAD[:-2] % 3 + b"Transfer-Encoding: chunked\r\n\r\nnpy", 0),
        (HEAD[:-2] % 3 + b"Expect: 100-continue\r\n\r\nnpy", 0),
        (HEAD[:-2] % 3 + b"Connection: close\r\n\r\nnpy", 0),
        (b"POST /predict HTTP/1.1\r\nX: a\n\nGET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nnpy", 0),
        (HEAD.replace(b": %d", b": +3") + b"npy", 0),
    ],
)
def test_only_a_whole_request_of_the_usual_form_is_refused_unread(request_: bytes, length: int) -> None:
    assert _prediction(request_) == length


def test_a_full_line_gives_no_thread_to_what_it_refuses(here: tuple[Service, Server], written: Path) -> None:
    service, server = here
    service.model, service.status = infer.Model(written), READY
    service.line = Line(service.model.outputs, places=1)
    while server.connections.acquire(blocking=False):
        pass
    body = npy(images(1))
    left, right = socket.socketpair()
    with left, right, service.line.place():
        left.sendall(HEAD % len(body) + body)
        server.process_request(right, "")
        answered = all_of(left)
    assert answered.startswith(b"HTTP/1.1 503 ")
    assert b"Connection: close\r\n" in answered
    assert b"1 requests are waiting already" in answered


def test_a_body_that_does_not_come_and_a_model_that_does_not_answer_end_with_their_time(
    here: tuple[Service, Server], written: Path
) -> None:
    service, server = here
    service.model, service.status = infer.Model(written), READY
    service.line = Line(service.model.outputs, places=8)  # nobody works
    assert b" 408 " in told_by(server, HEAD % 100 + b"x")
    body = npy(images(1))
    answered = told_by(server, HEAD.replace(b"1.1", b"1.0") % len(body) + body)
    assert b" 504 " in answered
    assert b"did not answer in time" in answered


def test_connections_have_a_bound(here: tuple[Service, Server]) -> None:
    _, server = here
    while server.connections.acquire(blocking=False):
        pass
    assert b" 503 Service Unavailable" in told_by(server, b"")
    server.connections.release()
    assert b" 200 " in told_by(server, b"GET /health/live HTTP/1.0\r\n\r\n")


def ended(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the error of a server that does not start."""
    command = alone(folder / "serve.py", arguments)
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False, timeout=PATIENCE_S)
    return done.returncode, done.stderr


def test_what_does_not_start_says_why(bundle: Path, server: Served) -> None:
    code, line = ended(bundle, "--port", str(server.port))
    assert (code, f"serve.py: can't listen at 127.0.0.1, port {server.port}" in line) == (2, True)
    code, line = ended(bundle, "--wait-ms", "2", "--batch-size", "1")
    assert (code, "--wait-ms lets requests share a call, and --batch-size is 1" in line) == (2, True)
    with np.load(bundle / "golden.npz") as golden:
        arrays = dict(golden)
    arrays["output.logits"] = arrays["output.logits"] + np.float32(1)
    np.savez(bundle / "golden.npz", **arrays)
    code, line = ended(bundle, "--port", "0")
    assert (code, line.startswith("serve.py: golden outputs NOT reproduced: output 'logits' differs")) == (1, True)


def steps_of(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, and what follows each."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_steps_of_the_dockerfile_make_a_server_that_is_healthy(written: Path, tmp_path: Path) -> None:
    steps = steps_of((written / "Dockerfile").read_text())
    told = dict(steps)
    assert steps[0] == ("FROM", "python:3.11-slim")
    workdir = tmp_path / told["WORKDIR"].lstrip("/")
    workdir.mkdir()
    for source, place in (shlex.split(rest)[-2:] for word, rest in steps if word == "COPY"):
        if (written / source).is_dir():
            shutil.copytree(written / source, workdir / place, dirs_exist_ok=True)
        else:
            shutil.copy(written / source, workdir / place)
    assert (workdir / told["RUN"].split()[-1]).read_text() == (written / "requirements.txt").read_text()
    python, program, *arguments = json.loads(told["ENTRYPOINT"])
    assert (python, arguments, told["EXPOSE"]) == ("python", ["--host", "0.0.0.0"], "8080")
    assert int(told["USER"].split(":")[0]) > 0
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    with serving(alone(workdir / program, (*arguments, "--port", "0")), workdir) as server:
        python, dash_c, code = json.loads(told["HEALTHCHECK"].partition("CMD ")[2])
        check = [sys.executable, dash_c, re.sub(r"\b8080\b", str(server.port), code)]
        assert subprocess.run(check, check=False, timeout=PATIENCE_S).returncode == 0
        assert server.ask("POST", "/predict", npy(images(1)), NPY)[0] == 200
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        assert subprocess.run(check, check=False, capture_output=True, timeout=PATIENCE_S).returncode != 0
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


def test_the_image_has_the_python_that_the_figures_were_taken_with(written: Path) -> None:
    manifest = manifest_of(written)
    manifest["measured"]["machine"]["python"] = "3.14.2"
    assert dockerfile(manifest).splitlines()[2] == "FROM python:3.14-slim"
