"""Takes rows of a finished run up again: its data and metric fitted to the model as before, and the models it built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rich.console import Console

from pipeline.folders.locks import InUse
from pipeline.isolated.run import Starter
from pipeline.results.record import SubjectRecord
from pipeline.run.build import builder
from pipeline.run.built import Built
from pipeline.run.finished import Finished
from pipeline.run.fitting import Acquainted, acquainted, with_fitted_data
from pipeline.run.preflight import preflight
from pipeline.run.progress import ProgressDisplay
from pipeline.store import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenUp:
    """Rows of a finished run, with what is needed to run their models again."""

    known: Acquainted
    chains: Sequence[Built]
    """The chain of each row."""
    start: Starter
    """Starts the processes that the models are run in."""


@contextmanager
def taken_up(finished: Finished, rows: Sequence[SubjectRecord], console: Console) -> Iterator[TakenUp]:
    """Give the rows' models, which the store keeps until the block ends. Raises UserError where it has not all of them,
    and what ``preflight`` raises."""
    plan = with_fitted_data(replace(finished.plan, tracking=None))
    splits = preflight(plan)
    with InUse() as in_use, ProgressDisplay(console) as display, builder(plan, display.step, in_use) as making:
        source = making.source().artifact
        known = acquainted(plan, source, splits, making.start)
        chains = [finished.built(row, source, open_store(plan.store, in_use)) for row in rows]
        yield TakenUp(known=known, chains=chains, start=making.start)
