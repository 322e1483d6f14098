"""The rows of a run while they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.artifact import Artifact
from pipeline.errors import Skipped
from pipeline.measure.group import Subject
from pipeline.plan import Device
from pipeline.results.record import Status, SubjectRecord
from pipeline.run.rows import Row


@dataclass(slots=True)
class Table:
    """The rows while they are measured: records by key, and the subjects that have not failed."""

    rows: Sequence[Row]
    records: dict[str, SubjectRecord] = field(init=False)

    def __post_init__(self) -> None:
        self.records = {row.record.key: row.record for row in self.rows}

    def devices(self) -> list[Device]:
        """The devices that have something to measure, in the order of the rows."""
        return list(dict.fromkeys(subject.target.device for subject in self.subjects()))

    def subjects(self, device: Device | None = None) -> list[Subject]:
        """The subjects that are still to be measured, on one device or on all."""
        return [
            Subject(key=row.record.key, artifact=row.artifact, target=row.target, batch_size=row.record.batch_size)
            for row in self.rows
            if row.artifact is not None
            and self.records[row.record.key].status == "ok"
            and device in (None, row.target.device)
        ]

    def models(self) -> dict[tuple[str, str], tuple[Artifact, list[Subject]]]:
        """Each variant on each target once, with the subjects that share it."""
        found: dict[tuple[str, str], tuple[Artifact, list[Subject]]] = {}
        for subject in self.subjects():
            name = (self.records[subject.key].variant, subject.target.name)
            found.setdefault(name, (subject.artifact, []))[1].append(subject)
        return found

    def needed_bytes(self) -> dict[str, int]:
        """The memory of a graphics card that each subject needs, by key, where that is known."""
        found = {key: record.peak_device_memory_bytes for key, record in self.records.items()}
        return {key: size for key, size in found.items() if size is not None}

    def remark(self, key: str, text: str) -> None:
        """Add a remark on a row's figures."""
        record = self.records[key]
        self.records[key] = replace(record, remarks=[*record.remarks, text])

    def fail(self, key: str, error: Exception | str) -> None:
        """Give a row the reason why it failed."""
        status: Status = "skipped" if isinstance(error, Skipped) else "failed"
        self.records[key] = replace(self.records[key], status=status, reason=str(error))

    def fail_all(self, subjects: Sequence[Subject], error: Exception | str) -> None:
        """Give rows the same reason."""
        for subject in subjects:
            self.fail(subject.key, error)
