"""One run of a kit: time the models, have them predict, and keep what was found."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.kit.device import samples
from pipeline.kit.device.machine import describe
from pipeline.kit.device.measuring import Measuring, Say
from pipeline.kit.device.process import Process, WorkerFailed
from pipeline.kit.device.table import Line
from pipeline.machine.busy import busy_cores

DONE, FAILED, INTERRUPTED = 0, 1, 130
_FEWEST_EXAMPLES = 16


class Session:
    """One run of the kit."""

    def __init__(self, folder: Path, kit: Mapping[str, Any], options: argparse.Namespace, work: Path, say: Say) -> None:
        """``work`` is the folder of the samples until they are whole."""
        self.folder, self.kit, self.options, self.work = folder, kit, options, work
        self.measuring = Measuring(folder, kit, options.budget_s, say)
        self.busy = int(kit["measure"].get("busy", 0)) if options.busy is None else options.busy
        self.predicted: dict[str, dict[str, Any]] = {}
        self.interrupted = False
        self.seconds = 0.0
        self.created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())

    def carry_out(self) -> int:
        """Time, then predict. What was measured before Ctrl-C stays."""
        began = time.monotonic()
        try:
            with busy_cores(self.busy):
                self.measuring.run(self.keep)
            self.seconds = time.monotonic() - began
            if self.options.accuracy and self.measuring.collected.rounds:
                self.predict()
        except KeyboardInterrupt:
            self.interrupted = True
            self.seconds = self.seconds or time.monotonic() - began
            return INTERRUPTED
        failed = self.measuring.failures or any("failed" in entry for entry in self.predicted.values())
        return FAILED if failed else DONE

    def predict(self) -> None:
        """Have each model that was timed run all examples, one after the other, each in a process of its own."""
        models = {
            f"{row['variant']}@{row['target']}": row
            for row in self.kit["rows"]
            if row["key"] not in self.measuring.failures
        }
        examples = self._examples(list(models.values()))
        for number, (name, row) in enumerate(models.items()):
            self.measuring.say(number / len(models), f"outputs of {name} on {examples} examples")
            out = self.work / samples.OUTPUTS / str(number)
            out.mkdir()
            told = {"folder": f"{samples.OUTPUTS}/{number}"}
            try:
                self.predicted[name] = {**told, **self._outputs(row, out, examples)}
            except WorkerFailed as failure:
                self.predicted[name] = {**told, "failed": str(failure)}
        self.measuring.say(1.0, f"outputs of {len(models)} models")

    def _outputs(self, row: Mapping[str, Any], out: Path, examples: int) -> dict[str, Any]:
        worker = Process(stops=False, limit_s=self.kit["limit_s"])
        try:
            worker.ask(do="start", folder=str(self.folder), row=dict(row), inputs=self.kit["inputs"], cores=None)
            return worker.ask(do="predict", out=str(out.resolve()), examples=examples)
        finally:
            worker.close()

    def _examples(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """As many of the kit's examples as all models run in the time that is allowed, the golden ones at least."""
        each_ms = [
            (self.measuring.collected.median_ms(row["key"]) or 0.0) / (row["fixed_batch"] or row["batch_size"])
            for row in rows
        ]
        room = int(1e3 * self.options.accuracy_s / max(sum(each_ms), 1e-6))
        return int(min(self.kit["examples"], max(room, _FEWEST_EXAMPLES)))

    def keep(self) -> None:
        """Write what was measured so far."""
        found = self.measuring
        samples.keep(
            self.work,
            {
                "kit": self.kit["id"],
                "name": self.options.name,
                "created": self.created,
                "command": "python kit.py",
                "machine": describe(),
                "budget_s": self.options.budget_s,
                "busy": self.busy,
                "interrupted": self.interrupted,
                "rows": found.starts,
                "failures": found.failures,
                "predicted": self.predicted,
                "latency": {
                    "subjects": list(found.collected.names),
                    "telemetry": found.collected.telemetry,
                    "rounds": found.collected.rounds,
                    "stopped": "cap" if self.interrupted else found.stopped,
                    "seconds": self.seconds or time.monotonic() - found.began,
                    "plans": found.plans,
                },
            },
            found.collected.columns(),
        )

    def lines(self) -> list[Line]:
        """The rows of the table."""
        found = self.measuring
        return [
            Line(
                key=row["key"],
                p50_ms=found.collected.median_ms(row["key"]),
                reason=found.failures.get(row["key"]),
                predicted=self.predicted.get(f"{row['variant']}@{row['target']}"),
                is_reference=row["key"] == row["reference"],
            )
            for row in self.kit["rows"]
        ]
