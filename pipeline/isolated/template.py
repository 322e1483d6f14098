"""Makes processes for calls cheaply: one process imports the libraries once, does nothing with them, and is forked for
each call.

This program itself could not be forked: whoever has run PyTorch or a runtime has threads, and a fork has none of them
and waits for them for ever.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, NoReturn

from pipeline.errors import WorkerFailed
from pipeline.isolated.call import answer
from pipeline.isolated.channel import Channel, follow_parent, take_standard_streams
from pipeline.isolated.process import PATIENCE_S, channel_to, kill, kill_group, last_words, start_python
from pipeline.isolated.run import Child, fresh

_NUMBER = struct.Struct("<q")
_DESCRIPTORS = 3
"""A call's process gets three: where it reads, where it writes, and where its prints go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """The template's process, and the socket over which it is told to fork."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    log: IO[bytes]

    def fork(self, descriptors: Sequence[int]) -> int:
        """The new process's id; raises OSError or EOFError where the template is gone."""
        socket.send_fds(self.control, [b"f"], list(descriptors))
        return self.number()

    def number(self) -> int:
        """The next number that it tells."""
        found = self.control.recv(_NUMBER.size, socket.MSG_WAITALL)
        if len(found) < _NUMBER.size:
            raise EOFError
        return int(_NUMBER.unpack(found)[0])

    def close(self) -> None:
        """End it."""
        self.control.close()
        kill(self.process)
        self.log.close()


@dataclass(slots=True)
class Template:
    """Starts a call's process (``pipeline.isolated.run.Starter``), each with ``modules`` imported already.

    A context: it starts when it is first needed, starts again where it has died, and ends with the context. On a system
    that can't fork safely, each process is a fresh one.
    """

    modules: tuple[str, ...] = ()
    _running: _Running | None = field(default=None, init=False)

    def __enter__(self) -> Template:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """Start the process now, and not with the first call: it ends with the thread that starts it."""
        if sys.platform == "linux" and self._running is None:
            self._running = _start(self.modules)

    def close(self) -> None:
        """End the process; the next call starts another."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    @contextmanager
    def __call__(self) -> Iterator[Child]:
        """A process that waits for its call."""
        if sys.platform != "linux":
            with fresh() as child:
                yield child
            return
        with ExitStack() as stack:
            log = stack.enter_context(tempfile.TemporaryFile(prefix="slimline-"))
            (to_read, to_write), (from_read, from_write) = os.pipe(), os.pipe()
            channel = Channel.over(from_read, to_write)
            stack.callback(channel.close)
            try:
                running, pid = self._fork([to_read, from_write, log.fileno()])
            finally:
                os.close(to_read)
                os.close(from_write)
            status = _Status(running, pid)
            stack.callback(status.end)
            yield Child(channel=channel, pid=pid, log=log, exit_code=status.wait)

    def _fork(self, descriptors: Sequence[int]) -> tuple[_Running, int]:
        """Fork once more; a template that has died meanwhile is started again, once."""
        known, self._running = self._running, None
        if known is not None:
            with suppress(OSError, EOFError):
                pid = known.fork(descriptors)
                self._running = known
                return known, pid
            known.close()
        running = _start(self.modules)
        try:
            pid = running.fork(descriptors)
        except (OSError, EOFError) as error:
            said = last_words(running.log) or "no reason given"
            running.close()
            raise WorkerFailed(f"the process that starts others can't be started: {said}") from error
        self._running = running
        return running, pid


@dataclass(slots=True)
class _Status:
    """How a forked process ended, which the template alone can learn."""

    running: _Running
    pid: int
    code: int | None = None
    known: bool = False

    def wait(self) -> int | None:
        """The exit code of a process that is ending; None where it can't be told."""
        if not self.known:
            self.running.control.settimeout(PATIENCE_S)
            with suppress(OSError, EOFError):
                self.code = self.running.number()
                self.known = True
        return self.code

    def end(self) -> None:
        """End it, whatever it is doing, so that the template is free for the next."""
        if not self.known:
            kill_group(self.pid)
            self.wait()


def _start(modules: tuple[str, ...]) -> _Running:
    ours, theirs = socket.socketpair()
    log = tempfile.TemporaryFile(prefix="slimline-")  # noqa: SIM115  closed with the process
    with theirs:
        process = start_python(main.__module__, log, [theirs.fileno()])
        channel = channel_to(process)
        with suppress(BrokenPipeError):  # one that is gone is noticed when it is first asked for something
            channel.send((theirs.fileno(), modules))
    channel.close()
    return _Running(process=process, control=ours, log=log)


def main() -> None:
    """Be a template: import, then fork a process at each order, and tell its id and, later, how it ended."""
    follow_parent()
    descriptor, modules = take_standard_streams().receive()
    control = socket.socket(fileno=descriptor)
    _import(modules)
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 1, _DESCRIPTORS)
        if not order:
            os._exit(0)
        pid = _fork(control, descriptors)
        control.sendall(_NUMBER.pack(pid))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        control.sendall(_NUMBER.pack(code))


def _import(modules: Sequence[str]) -> None:
    """What is imported is no garbage: neither the import nor a call looks through it for some."""
    gc.disable()
    for name in modules:
        with suppress(Exception):  # the call that needs it tries again, and says what went wrong
            importlib.import_module(name)
    gc.freeze()
    gc.enable()


def _fork(control: socket.socket, descriptors: Sequence[int]) -> int:
    parent = os.getpid()
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads: those here are the idle ones of numpy and of what was imported,
        # whose makers allow for a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _work(control, parent, *descriptors)
    with suppress(OSError):
        os.setpgid(pid, pid)  # here as well as there: whoever is first, the group exists once its id is told
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _work(control: socket.socket, parent: int, read_fd: int, write_fd: int, log: int) -> NoReturn:
    """Be the process of a call."""
    try:
        os.setpgid(0, 0)
        follow_parent(parent)
        control.close()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        answer(Channel.over(read_fd, write_fd))
    finally:
        os._exit(1)
