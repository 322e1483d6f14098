"""What the server answers: whether it is ready, what the model is, and the model's outputs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .bodies import JSON, json_bytes, read_body, write_body
from .line import Line
from .model import Model
from .refused import Refused
from .threads import allowed_threads
from .values import InputError, doubts

STARTING, READY, DRAINING = "starting", "ready", "draining"


@dataclass(frozen=True)
class Bounds:
    """What one request may ask for, and how many there may be."""

    places: int = 32
    """The most requests that wait or are answered at a time."""
    most_examples: int = 32
    """The most examples of a request."""
    most_bytes: int = 32 * 2**20
    """The most bytes of a request's body, and of its arrays unpacked."""
    seconds: float = 30.0
    """The longest time from a request's head to its answer."""


@dataclass
class Service:
    """The model, once it is loaded, and the line of requests before it."""

    bounds: Bounds
    status: str = STARTING
    model: Model | None = None
    line: Line | None = None
    busy: int = 0
    """Requests that are being answered now."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def begin(self, model: Model, wait_s: float) -> threading.Thread:
        """Answer requests with this model from now on, in a thread of its own, which is returned."""
        self.model = model
        self.line = Line(model.outputs, places=self.bounds.places, most=model.batch_size, wait_s=wait_s)
        worker = threading.Thread(target=self.line.work, name="model", daemon=True)
        worker.start()
        self.status = READY
        return worker

    def drain(self) -> None:
        """Wait until the requests that are there are answered, but no longer than one may take."""
        until = time.monotonic() + self.bounds.seconds
        with self.changed:
            while self.busy and (left := until - time.monotonic()) > 0:
                self.changed.wait(left)
        if self.line:
            self.line.close()

    def health(self) -> tuple[int, str, bytes]:
        """Status, Content-Type and body: is it ready to answer, and how many requests has it?"""
        ready = self.status == READY
        told = {"live": True, "ready": ready, "status": self.status, "requests": self.line.taken if self.line else 0}
        return (200 if ready else 503), JSON, json_bytes(told)

    def live(self) -> tuple[int, str, bytes]:
        """Status, Content-Type and body: does it run at all?"""
        return 200, JSON, json_bytes({"live": True})

    def metadata(self) -> tuple[int, str, bytes]:
        """Status, Content-Type and body: what the model is, and what a request may ask for."""
        model, line = self._ready()
        manifest = model.manifest
        told = {
            **{name: manifest[name] for name in ("name", "created", "runtime", "model", "sha256", "labels", "scores")},
            "inputs": [_entry(entry, entry["raw_dtype"], range=entry["range"]) for entry in model.inputs],
            "outputs": [_entry(entry, entry["dtype"]) for entry in manifest["outputs"]],
            "batch_limit": self.bounds.most_examples,
            "examples_a_call": model.batch_size,
            "wait_ms": line.wait_s * 1000,
            "requests_at_once": self.bounds.places,
            "body_limit_bytes": self.bounds.most_bytes,
            "timeout_s": self.bounds.seconds,
            "threads": threads_of(model),
        }
        return 200, JSON, json_bytes(told)

    def full(self) -> Refused | None:
        """Why a request for a prediction would find no place; None where it may have one."""
        return self.line.full() if self.line and self.status == READY else None

    def place(self) -> Any:
        """A place in the line, which is held as a context; raises Refused where there is none.

        Whoever has one is answered, also where the server is to end.
        """
        return self._ready()[1].place()

    def predict(self, kind: str, body: bytes, deadline: float) -> tuple[int, str, bytes]:
        """Status, Content-Type and body: the outputs, in the request's form. Raises Refused with the reason."""
        model, line = self._loaded()
        form, raw = read_body(kind, body, model.inputs, self.bounds.most_bytes)
        try:
            arrays = model.arrays(raw)
            count = len(arrays[model.inputs[0]["name"]])
            if count > self.bounds.most_examples:
                most = self.bounds.most_examples
                raise Refused(400, f"the inputs hold {count} examples, and a request may have {most}")
            outputs = line.answer(arrays, deadline)
        except InputError as error:
            raise Refused(400, str(error)) from error
        return 200, *write_body(form, outputs, _told(model, arrays, outputs) if form == JSON else {})

    def _ready(self) -> tuple[Model, Line]:
        if self.status != READY:
            raise Refused(503, f"the server is {self.status}", {"Retry-After": "1"})
        return self._loaded()

    def _loaded(self) -> tuple[Model, Line]:
        if self.model is None or self.line is None:
            raise Refused(503, "the model is not loaded yet", {"Retry-After": "1"})
        return self.model, self.line


def threads_of(model: Model) -> int:
    """How many threads the model's session has."""
    return allowed_threads(model.runtime.wanted_threads(model.manifest["session"]))[0]


def _told(model: Model, arrays: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON has beside the outputs: each example's class, and what looks wrong about the values."""
    classes = model.classes(outputs)
    doubtful = list(doubts(arrays, model.inputs))
    told: dict[str, Any] = {} if classes is None else {"classes": [model.name_of(int(index)) for index in classes]}
    return {**told, **({"doubts": doubtful} if doubtful else {})}


def _entry(entry: Mapping[str, Any], dtype: str, **more: Any) -> dict[str, Any]:
    return {"name": entry["name"], "dtype": dtype, "shape": ["N", *entry["shape"][1:]], **more}
