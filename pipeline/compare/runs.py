"""A run that is compared: its record, and what is derived from it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.analyse.cells import Cells, cells_by_subject
from pipeline.analyse.noise import check_noise
from pipeline.analyse.speed import estimate_ratios
from pipeline.errors import UserError
from pipeline.results.comparison import RunFacts
from pipeline.results.reading import load_nodes, load_run
from pipeline.results.record import NODES, PROBE, SAMPLES, Record, SubjectRecord, VariantRecord


@dataclass(frozen=True)
class Run:
    """A run with its record."""

    folder: Path
    record: Record

    @staticmethod
    def read(folder: Path) -> Run:
        """A run's folder; raises UserError with one line where it has no samples that can be read."""
        return Run(folder=folder, record=load_run(folder))

    @cached_property
    def nodes(self) -> Mapping[str, Run]:
        """What the run measured on nodes of a cluster, each a run of its own; raises UserError for samples that can't
        be read."""
        try:
            records = load_nodes(self.folder)
        except ValueError as error:
            raise UserError(f"{self.folder}: {error}") from error
        return {name: Run(folder=self.folder / SAMPLES / NODES / name, record=one) for name, one in records.items()}

    @cached_property
    def rows(self) -> Mapping[str, SubjectRecord]:
        """The rows by key."""
        return {row.key: row for row in self.record.subjects}

    @cached_property
    def variants(self) -> Mapping[str, VariantRecord]:
        """The variants by name."""
        return {variant.name: variant for variant in self.record.variants}

    @cached_property
    def cells(self) -> Mapping[str, Cells]:
        """The cells of every row that counts, and of the hidden clones."""
        return cells_by_subject(self.record.latency, self._devices)

    @cached_property
    def probes(self) -> Mapping[str, tuple[str, Cells]]:
        """The fixed model of each device: the key of the row that it was timed beside, and its cells."""
        devices = {f"{PROBE}{key}": device for key, device in self._devices.items()}
        found = cells_by_subject(self.record.latency, devices)
        return {devices[key]: (key.removeprefix(PROBE), cells) for key, cells in found.items()}

    @cached_property
    def noisy(self) -> frozenset[str]:
        """The rows whose figures can't be believed, by the run's own checks."""
        record = self.record
        estimates = estimate_ratios(record.subjects, self.cells, record.measure)
        checks = check_noise(self.cells, estimates, self._devices, record.latency, record.measure, record.machine.cores)
        return frozenset(checks.noisy_rows(self._devices))

    @property
    def facts(self) -> RunFacts:
        """What tells the run from others."""
        record = self.record
        return RunFacts(
            folder=str(self.folder),
            created=record.created,
            command=record.command,
            model=record.model,
            data=record.data,
            slimline=record.slimline,
        )

    @property
    def _devices(self) -> dict[str, str]:
        return {row.key: row.device for row in self.record.subjects if row.status == "ok"}
