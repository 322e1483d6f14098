"""A bundle's serve.py under load: requests come at their own times, whether or not earlier ones were answered.

    python benchmarks/serve_load.py BUNDLE [--rates 100 200 | --shares 0.3 0.6 0.9 1.5] [--seconds 5] [--wait-ms 2]

First it asks back to back over a few connections: that is the capacity. Then requests of one example come at random
times (a Poisson process), at shares of it or at the rates that are given. They go to a server that answers one by one,
then to one where requests wait for each other. A latency runs from the time that a request was due to its answer, so
what waits in this program counts too; "sent late" is the 99th percentile of that. It prints a table in Markdown, and
takes a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_CONNECTIONS = 8
_CAPACITY_S = 3.0
_SEED = 7
_OK, _REJECTED = 200, 503


@dataclass(frozen=True)
class Asked:
    """One request: its latency in seconds, how late it was sent, and its status."""

    latency_s: float
    late_s: float
    status: int


class Client:
    """Connections to a server; a request takes one that is idle, or opens another."""

    def __init__(self, port: int, body: bytes) -> None:
        """Every request is the same."""
        head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-npy\r\nContent-Length: {len(body)}"
        self.port, self.request = port, head.encode() + b"\r\n\r\n" + body
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, due: float) -> Asked:
        """Send one request now; ``due`` is when it should have been sent, by the loop's clock."""
        late = time.monotonic() - due
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self.request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        await reader.readexactly(int(length.group(1)) if length else 0)
        if b"Connection: close" in head:
            writer.close()
        else:
            self.idle.append((reader, writer))
        return Asked(time.monotonic() - due, late, int(head.split()[1]))

    def close(self) -> None:
        """Close the connections that are idle."""
        for _, writer in self.idle:
            writer.close()


async def back_to_back(port: int, body: bytes, seconds: float) -> float:
    """Requests a second that are answered where each connection asks again as soon as it is answered."""
    client, until = Client(port, body), time.monotonic() + seconds

    async def one() -> int:
        count = 0
        while time.monotonic() < until:
            count += (await client.ask(time.monotonic())).status == _OK
        return count

    counts = await asyncio.gather(*(one() for _ in range(_CONNECTIONS)))
    client.close()
    return sum(counts) / seconds


async def at_rate(port: int, body: bytes, rate: float, seconds: float) -> list[Asked]:
    """Requests at random times, ``rate`` a second in the mean."""
    draw, client = random.Random(_SEED), Client(port, body)
    due, end = time.monotonic(), time.monotonic() + seconds
    tasks = []
    while (due := due + draw.expovariate(rate)) < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(client.ask(due)))
    asked = list(await asyncio.gather(*tasks))
    client.close()
    return asked


@contextmanager
def serving(bundle: Path, options: Sequence[str]) -> Iterator[int]:
    """The port of the bundle's server."""
    command = [sys.executable, "-B", str(bundle / "serve.py"), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = process.stdout.readline() if process.stdout else ""
            found = re.search(r":(\d+) ", told)
            if found is None:
                raise SystemExit(f"{bundle / 'serve.py'} did not start")
            yield int(found.group(1))
        finally:
            process.terminate()


def line(name: str, rate: float, seconds: float, asked: Sequence[Asked]) -> str:
    """A row of the table."""
    answered = np.array([request.latency_s for request in asked if request.status == _OK]) * 1000
    p50, p99 = np.percentile(answered, [50, 99]) if answered.size else (np.nan, np.nan)
    rejected = sum(request.status == _REJECTED for request in asked) / len(asked)
    other = sum(request.status not in (_OK, _REJECTED) for request in asked)
    late = np.percentile([request.late_s for request in asked], 99) * 1000
    failed = f", {other} failed" if other else ""
    return (
        f"| {name} | {rate:.0f} | {answered.size / seconds:.0f} | {p50:.2f} | {p99:.2f} | {rejected:.1%}{failed} | "
        f"{late:.2f} |"
    )


def one_example(bundle: Path) -> bytes:
    """The first golden input, as the body of a request."""
    with np.load(bundle / "golden.npz", allow_pickle=False) as golden:
        names = [name for name in golden.files if name.startswith("input.")]
        if len(names) != 1:
            raise SystemExit("this measures a model with one input")
        file = io.BytesIO()
        np.save(file, golden[names[0]][:1])
    return file.getvalue()


def main() -> None:
    """Measure both servers at every rate, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.3, 0.6, 0.9, 1.5])
    parser.add_argument("--rates", type=float, nargs="+", metavar="REQUESTS_A_SECOND")
    parser.add_argument("--wait-ms", type=float, default=2.0)
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    body = one_example(options.bundle)
    waiting = ["--wait-ms", str(options.wait_ms), "--batch-size", str(options.batch_size)]
    capacity = 0.0
    for name, settings in (("one by one", []), (f"--wait-ms {options.wait_ms:g}", waiting)):
        with serving(options.bundle, settings) as port:
            found = asyncio.run(back_to_back(port, body, _CAPACITY_S))
            capacity = capacity or found
            print(f"{name}: {found:.0f} requests/s back to back over {_CONNECTIONS} connections\n", flush=True)
            print("| server | asked/s | answered/s | p50 ms | p99 ms | rejected | sent late ms |")
            print("|---|---|---|---|---|---|---|", flush=True)
            for rate in options.rates or [capacity * share for share in options.shares]:
                asked = asyncio.run(at_rate(port, body, rate, options.seconds))
                print(line(name, rate, options.seconds, asked), flush=True)
            print()


if __name__ == "__main__":
    main()
