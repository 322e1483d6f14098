"""The server's command line: its options, its start, its end and its exit code."""
# ruff: noqa: T201  a program for the command line: it prints

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .choice import place
from .command import DONE, MISTAKE, NOT_REPRODUCED
from .compare import compare
from .http_server import Server
from .model import FOLDER, Model, fixed_batch, read_manifest
from .service import DRAINING, Bounds, Service, threads_of
from .values import InputError, first_line, printable

_SHARED = 8
"""Examples that share a call where the figures were taken with one, and requests are to wait for each other."""
_MEGABYTE = 2**20
_TICK_S = 0.1
_BOUNDS = Bounds()


def main(description: str | None = None, arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    options = _parser(description).parse_args(arguments)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(format="serve.py: %(message)s", level=level, stream=sys.stderr)
    try:
        return serve(options)
    except InputError as error:
        print(f"serve.py: {error}", file=sys.stderr)
        return MISTAKE


def serve(options: argparse.Namespace) -> int:
    """Listen, load the model, let it reproduce its golden outputs, and answer until a signal asks to end.

    It listens before the model is loaded, so that whoever asks is told that it starts. Raises InputError where the
    address, the model or an option is not right.
    """
    signals = _signals()
    batch_size = examples_a_call(options.batch_size, options.wait_ms)
    service = Service(_bounds(options, batch_size))
    with _listening(options.host, options.port, service) as server:
        model = Model(batch_size=batch_size)
        problem = not_reproduced(model)
        if problem:
            print(f"serve.py: golden outputs NOT reproduced: {problem}", file=sys.stderr)
            return NOT_REPRODUCED
        worker = service.begin(model, options.wait_ms / 1000)
        print(_told(model, server, options.wait_ms), flush=True)
        while not signals:
            time.sleep(_TICK_S)
        service.status = DRAINING
    service.drain()
    worker.join(service.bounds.seconds)
    return DONE


def examples_a_call(asked: int | None, wait_ms: float) -> int | None:
    """How many examples one call of the model takes: None for what its bundle says.

    Raises InputError where requests can't share a call.
    """
    manifest = read_manifest(place(FOLDER).folder / "manifest.json")
    fixed = fixed_batch(manifest["inputs"])
    if not wait_ms:
        return asked
    if 1 in (fixed, asked):
        reason = "this model's batch size is fixed to 1" if fixed else "--batch-size is 1"
        raise InputError(f"--wait-ms lets requests share a call, and {reason}: leave it out")
    if asked or fixed:
        return asked
    return manifest["batch_size"] if manifest["batch_size"] > 1 else _SHARED


def not_reproduced(model: Model) -> str:
    """Why the golden outputs are not reproduced; empty where they are."""
    inputs, expected, _ = model.golden()
    problems, _ = compare(expected, model.outputs(model.arrays(inputs)), model.manifest["golden"])
    return "; ".join(problems)


def _signals() -> list[int]:
    """Gets SIGTERM and Ctrl-C when they come; a second one ends the program at once.

    The system may give a signal to any thread, and Python answers it in the main thread when that wakes up: so it must
    not wait for a lock.
    """
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        came.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return came


@contextmanager
def _listening(host: str, port: int, service: Service) -> Iterator[Server]:
    """A server that accepts connections until the block ends."""
    try:
        server = Server(host, port, service)
    except (OSError, OverflowError) as error:
        raise InputError(f"can't listen at {printable(host)}, port {port}: {first_line(error)}") from error
    with server:
        threading.Thread(target=server.serve_forever, name="connections", daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def _bounds(options: argparse.Namespace, batch_size: int | None) -> Bounds:
    return Bounds(
        places=options.queue,
        most_examples=options.max_batch or max(_BOUNDS.most_examples, batch_size or 1),
        most_bytes=int(options.max_mb * _MEGABYTE),
        seconds=options.timeout_s,
    )


def _told(model: Model, server: Server, wait_ms: float) -> str:
    host, port = server.server_address[:2]
    at = f"[{host!s}]" if ":" in str(host) else str(host)
    threads = threads_of(model)
    calls = f"{model.batch_size} {'example' if model.batch_size == 1 else 'examples'} a call"
    waiting = f", requests wait {wait_ms:g} ms for others" if wait_ms else ""
    pool = f"{threads} {'thread' if threads == 1 else 'threads'}"
    return f"serving {printable(model.manifest['name'])} at http://{at}:{port} ({pool}, {calls}{waiting})"


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole, above = _number(int, 1), _number(float, 0.001)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the address to listen at (default: this machine alone)")
    add("--port", type=_number(int, 0), default=8080, help="0 takes a free one (default: 8080)")
    add("--queue", type=whole, default=_BOUNDS.places, metavar="N", help=f"requests at a time{_default('places')}")
    add("--max-batch", type=whole, metavar="N", help=f"examples a request{_default('most_examples')}")
    add(
        "--max-mb",
        type=above,
        default=_BOUNDS.most_bytes / _MEGABYTE,
        metavar="MB",
        help="the largest body (default: 32)",
    )
    add("--timeout-s", type=above, default=_BOUNDS.seconds, metavar="S", help=f"time of a request{_default('seconds')}")
    add("--wait-ms", type=_number(float, 0), default=0.0, metavar="MS", help="how long a request waits for others")
    add("--batch-size", type=whole, metavar="N", help="examples a call of the model (default: as measured)")
    add("--verbose", action="store_true", help="a line for each request on stderr")
    return parser


def _default(name: str) -> str:
    return f" (default: {getattr(_BOUNDS, name):g})"


def _number(kind: Callable[[str], Any], least: float) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {what} from {least:g} on (got {text!r})")
        return value

    return read
