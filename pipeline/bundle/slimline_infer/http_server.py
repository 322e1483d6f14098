"""The server: HTTP/1.1 on the standard library, with a bound for connections, bodies and time."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from .bodies import JSON, json_bytes
from .refused import Refused
from .service import DRAINING, Service
from .values import first_line, printable

logger = logging.getLogger(__name__)

Answer = tuple[int, str, bytes]
IDLE_S = 30.0
"""A connection without a request is closed after this time."""
MOST_CONNECTIONS = 256
_LINGER_S = 1.0
"""How long the rest of a refused body is read and thrown away, so that its sender gets to read why."""
_CHUNK = 2**16
_TOO_MANY = Refused(503, f"there are {MOST_CONNECTIONS} connections already: ask again later", {"Retry-After": "1"})
_PREDICT = b"POST /predict HTTP/1.1\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n")
_UNUSUAL = (b"transfer-encoding", b"expect", b"close")


class Server(ThreadingMixIn, TCPServer):
    """A thread for each connection, and no more than MOST_CONNECTIONS of them."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, service: Service) -> None:
        """Listen at the address; raises OSError where that can't be done."""
        self.service = service
        self.connections = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or refuse it.

        Where the line is full, a request for a prediction is refused here: a server that is asked for more than it can
        do would have threads that refuse, and they would leave those that answer no time.
        """
        full = self.service.full()
        if full and _takes_prediction(request):
            self._refuse(request, full)
        elif not self.connections.acquire(blocking=False):
            self._refuse(request, _TOO_MANY)
        else:
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # the system has no thread for it
                self.connections.release()
                raise

    def _refuse(self, request: Any, refused: Refused) -> None:
        """Say why, and close the connection; nothing is waited for."""
        logger.info("a connection was refused: %s", refused)
        try:
            request.setblocking(False)
            request.send(_as_bytes(refused, Connection="close"))
        except OSError:
            logger.info("it did not wait to read why")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line why a connection broke."""
        error = sys.exc_info()[1]
        logger.info("a connection broke: %s", "" if error is None else first_line(error))


class Handler(BaseHTTPRequestHandler):
    """One connection: its requests, one after the other."""

    server: Server
    rfile: io.BufferedReader
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "slimline", ""
    timeout = IDLE_S
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        """Answer a request. One that is refused anyhow is not taken apart: that takes longer than refusing it."""
        try:
            length = _prediction(self.rfile.peek(_CHUNK))
        except TimeoutError:
            self.close_connection = True
            return
        full = self.server.service.full() if length else None
        if full is None:
            super().handle_one_request()
            return
        self.rfile.read(length)
        self.close_connection = False
        self.connection.sendall(_as_bytes(full))
        logger.info("%s was refused: %s", self.client_address[0], full)

    def do_GET(self) -> None:
        """Answer a question about the server or the model."""
        self._answer()

    def do_POST(self) -> None:
        """Answer with the model's outputs."""
        self._answer()

    def handle_expect_100(self) -> bool:
        """Whoever asks first whether a body will be read is told so before it is sent."""
        self._began()
        try:
            self._length()
        except Refused as refused:
            self._refuse(refused)
            return False
        return super().handle_expect_100()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say in JSON what is wrong with a request that http.server does not read."""
        self.began, self.unread, self.close_connection = time.monotonic(), 0, True
        self._refuse(Refused(code, message or "the request can't be read"))

    def log_message(self, *_: Any) -> None:
        """Print nothing: a request has one line of its own."""

    def _answer(self) -> None:
        service = self.server.service
        self._began()
        with service.changed:
            service.busy += 1
        try:
            self._send(*self._route()())
        except Refused as refused:
            self._refuse(refused)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001  the connection is told that it is the server's fault
            logger.error("a request failed: %s: %s", type(error).__name__, first_line(error))
            self._refuse(Refused(500, f"the server failed: {type(error).__name__}: {first_line(error)}"))
        finally:
            with service.changed:
                service.busy -= 1
                service.changed.notify_all()

    def _route(self) -> Callable[[], Answer]:
        """What answers this request; raises Refused for another address or method."""
        service = self.server.service
        routes: dict[str, tuple[str, Callable[[], Answer]]] = {
            "/health": ("GET", service.health),
            "/health/live": ("GET", service.live),
            "/metadata": ("GET", service.metadata),
            "/predict": ("POST", self._predict),
        }
        path = self.path.partition("?")[0]
        if path not in routes:
            known = ", ".join(f"{method} {at}" for at, (method, _) in routes.items())
            raise Refused(404, f"there is no {path[:100]}: {known}")
        method, answer = routes[path]
        if self.command != method:
            raise Refused(405, f"{path} takes {method}", {"Allow": method})
        return answer

    def _predict(self) -> Answer:
        """The place comes before the body, so that the bodies of all requests together have a bound too."""
        service = self.server.service
        length, deadline = self._length(), self.began + service.bounds.seconds
        with service.place():
            body = self._body(length, deadline)
            return service.predict(self.headers.get("Content-Type", ""), body, deadline)

    def _length(self) -> int:
        """The body's declared length; raises Refused where there is none, or it is too large to be read."""
        told, most = self.headers.get_all("Content-Length", []), self.server.service.bounds.most_bytes
        if "Transfer-Encoding" in self.headers or not told:
            self.close_connection = True  # where this request ends is not known
            raise Refused(411, "the request must tell the length of its body: Content-Length")
        if len(told) > 1 or not _is_length(told[0]):
            raise Refused(400, f"the Content-Length must be one whole number (got '{', '.join(told)[:40]}')")
        if int(told[0]) > most:
            raise Refused(413, f"the body has {told[0]} bytes, and may have {most}")
        return int(told[0])

    def _body(self, length: int, deadline: float) -> bytes:
        """The body; raises Refused where it does not come in time, or ends early."""
        pieces, left = [], length
        try:
            while left:
                self.connection.settimeout(max(0.001, deadline - time.monotonic()))
                pieces.append(self.rfile.read1(min(left, _CHUNK)))
                left -= len(pieces[-1])
                self.unread = left
                if not pieces[-1] or time.monotonic() > deadline:
                    raise TimeoutError
        except TimeoutError as error:
            self.unread = 0  # nothing more is waited for
            self.close_connection = True
            raise Refused(408, f"{left} bytes of the body did not come in time") from error
        self.connection.settimeout(IDLE_S)
        return b"".join(pieces)

    def _began(self) -> None:
        """Note the time, and the body that has not been read: it is no next request."""
        self.began = time.monotonic()
        told = self.headers.get_all("Content-Length", [])
        self.unread = int(told[0]) if len(told) == 1 and _is_length(told[0]) else 0
        if len(told) > 1 or (told and not _is_length(told[0])) or "Transfer-Encoding" in self.headers:
            self.close_connection = True

    def _refuse(self, refused: Refused) -> None:
        """Say why, and keep the connection where the rest of the body is short."""
        if 0 < self.unread <= _CHUNK and not self.headers.get("Expect"):
            with contextlib.suppress(Refused):
                self._body(self.unread, time.monotonic() + _LINGER_S)
        self._send(refused.status, JSON, json_bytes({"error": str(refused)}), **refused.headers)
        if self.unread:
            self._linger()

    def _send(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.close_connection = self.close_connection or self.unread > 0 or self.server.service.status == DRAINING
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        for name, value in {**told, **({"Connection": "close"} if self.close_connection else {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self._log(status)

    def _linger(self) -> None:
        """A connection that is closed with bytes unread takes back even what was answered."""
        until = time.monotonic() + _LINGER_S
        try:
            self.connection.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.rfile.read1(_CHUNK):
                    return
        except OSError:
            return

    def _log(self, status: int) -> None:
        spent_ms = (time.monotonic() - self.began) * 1000
        request = printable(getattr(self, "requestline", ""))[:200]
        logger.info("%s %s %d %.1f ms", self.client_address[0], request, status, spent_ms)


def _is_length(text: str) -> bool:
    """A whole number that is not absurdly long."""
    return text.isascii() and text.isdigit() and len(text) < 20


def _takes_prediction(connection: socket.socket) -> bool:
    """Read a connection's first request, where it is one for a prediction and is there as a whole. Anything else is
    left unread, for a thread."""
    connection.setblocking(False)
    try:
        return bool((length := _prediction(connection.recv(_CHUNK, socket.MSG_PEEK))) and connection.recv(length))
    except OSError:  # nothing has come yet
        return False


def _prediction(seen: bytes) -> int:
    """The bytes of a request for a prediction, where what was seen begins with a whole one of the usual form; else 0.

    Where a reader of HTTP could find another end of it, it is left to ``http.server``.
    """
    head, end, body = seen.partition(b"\r\n\r\n")
    if not end or not head.startswith(_PREDICT) or head.count(b"\n") != head.count(b"\r\n"):
        return 0
    lines = head.lower() + b"\r\n"
    told = _LENGTH.search(lines)
    if told is None or lines.count(b"content-length") > 1 or any(word in lines for word in _UNUSUAL):
        return 0
    length = int(told.group(1))
    return len(head) + len(end) + length if len(body) >= length else 0


def _as_bytes(refused: Refused, **headers: str) -> bytes:
    """The whole answer to a request that is refused."""
    body = json_bytes({"error": str(refused)})
    told = {"Content-Type": JSON, "Content-Length": len(body), **refused.headers, **headers}
    head = [
        f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}",
        *(f"{name}: {told[name]}" for name in told),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
