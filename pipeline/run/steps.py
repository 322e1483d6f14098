"""Builds single stages, each one once, also where several chains ask for it at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.artifact import Artifact
from pipeline.artifact.store import Entry, key_of
from pipeline.errors import CorruptEntry, Skipped, StageFailed, Unchanged, UserError, WorkerFailed
from pipeline.libraries.installed import version
from pipeline.machine.environment import isa
from pipeline.plan import PlacedCall, Places, Plan, Stage, role_of
from pipeline.run.building import Said, Task, examples_for, limits_for
from pipeline.run.making import FarStep, Made, Written, get_or_make, make_there, run_stage_timed
from pipeline.store import ModelStore

_TRIES = 3
"""How often a node is asked for a stage whose entry is not there afterwards: ``store gc`` may have been faster."""
Progress = Callable[[str, float, str], None]
"""A function that is told the step's label, the share done (0 to 1) and a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage of a chain, and the models that it starts from."""

    key: str
    label: str
    name: str
    stage: Stage
    source: Artifact
    original: Artifact
    override: str

    @property
    def trains(self) -> bool:
        """Whether it is a training."""
        return role_of(self.stage) == "training"

    @property
    def stays(self) -> bool:
        """Whether it runs on this machine only: it measures, and means this one."""
        return bool(getattr(self.stage, "measures", False))


@dataclass(slots=True, kw_only=True)
class Steps:
    """The stages of a run; remembers what was built and what failed, so that a shared stage fails once."""

    progress: Progress
    places: Places
    made: set[str] = field(default_factory=set)
    """The keys of what this run has built."""
    failed: dict[str, StageFailed | Skipped] = field(default_factory=dict)
    is_over: bool = False
    """Whether what runs was ended, as the run itself ends: that is no failure of a stage."""
    until: float | None = None
    """The time of ``time.monotonic`` at which a stage is ended that runs; None: it may take as long as it takes."""
    _turns: dict[str, Lock] = field(default_factory=dict)
    reading: Lock = field(default_factory=Lock)
    """Held while examples are read: a data set need not allow for threads."""

    def entry(self, plan: Plan, store: ModelStore, step: Step) -> tuple[Entry, float]:
        """The stage's output, and how long it took to build here.

        Raises Unchanged, Skipped or StageFailed with the reason; the last two come with the stage's name.
        """
        with self._turns.setdefault(step.key, Lock()):
            if step.key in self.failed:
                raise self.failed[step.key]
            try:
                return self._built(plan, store, step)
            except Unchanged:
                raise
            except (StageFailed, Skipped) as error:
                failure = type(error)(f"{step.name}: {error}")
                self.failed[step.key] = failure
                raise failure from error

    def end(self) -> None:
        """End what runs in the places."""
        self.is_over = True
        self.places.end()

    def told(self, key: str, label: str, made: Made) -> tuple[Entry, float]:
        """Take note of an entry, and tell of one that was built."""
        if made.new:
            self.made.add(key)
            self.progress(label, 1.0, f"{made.seconds:.1f} s")
        return made.entry, made.seconds

    def _built(self, plan: Plan, store: ModelStore, step: Step) -> tuple[Entry, float]:
        if self.places.elsewhere and not step.stays:
            return self._built_elsewhere(plan, store, step)

        def write(out: Path) -> Written:
            task = self._task(plan, step, out, store.work(step.key))
            with _as_stage_failed():
                written: Written = self._placed(run_stage_timed, task, step, plan)
                return written

        begin = partial(self.progress, step.label, 0.0, "")
        made = get_or_make(store, step.key, step.label, step.stage.produces, write, begin)
        return self.told(step.key, step.label, made)

    def _built_elsewhere(self, plan: Plan, store: ModelStore, step: Step) -> tuple[Entry, float]:
        """Have a node build it into the store that the nodes share."""
        with suppress(CorruptEntry):  # the node that builds it again says so
            if (entry := store.get(step.key)) is not None:
                return entry, 0.0
        self.progress(step.label, 0.0, "")
        far = FarStep(
            store=plan.store.for_nodes(),
            key=step.key,
            source_key=key_of(step.source),
            original_key=key_of(step.original),
            format=step.stage.produces,
            task=self._task(plan, step, Path(), Path()),
            libraries={name: version(name) for name in step.stage.libraries},
        )
        for _ in range(_TRIES):
            with _as_stage_failed():
                seconds, new = self._placed(make_there, far, step, plan)
            if (built := store.get(step.key)) is not None:
                return self.told(step.key, step.label, Made(entry=built, seconds=seconds, new=new))
        raise StageFailed(f"nodes don't build into {plan.store}: store.path must be a folder that all of them see")

    def _task(self, plan: Plan, step: Step, out: Path, work: Path) -> Task:
        with self.reading:
            data = examples_for(plan, step.stage)
        return Task(
            stage=step.stage,
            plan=replace(plan, variants={}, data=data, execution=None),
            source=step.source,
            original=step.original,
            out=out,
            work=work,
            label=step.label,
            override=step.override,
            isa=isa(),
        )

    def _placed(self, function: Callable[..., Any], task: Any, step: Step, plan: Plan) -> Any:
        """The result of a function, called in a free place."""

        def hear(said: Said) -> None:
            self.progress(step.label, min(said[0], 0.999), said[1])

        limits = replace(limits_for(plan), until=self.until)
        call = PlacedCall(function=function, arguments=(task,), limits=limits, hear=hear, trains=step.trains)
        return self.places.run(call)


@contextmanager
def _as_stage_failed() -> Iterator[None]:
    """What goes wrong around a stage is its failure."""
    try:
        yield
    except (WorkerFailed, UserError) as error:
        raise StageFailed(str(error)) from error
