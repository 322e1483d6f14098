"""Calls as jobs of SLURM, through submitit (https://github.com/facebookincubator/submitit).

Messages, results and the store go over a disk that all nodes share. A job that ends without a word, since its node has
died, is submitted again: it makes a store's entry, which is there once, whoever makes it.
"""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Semaphore
from typing import Any, TypeVar

from pipeline.bounds import Count, Nonempty, Whole
from pipeline.errors import UserError, WorkerFailed, first_line
from pipeline.execution.far import FarCall, Lost, importable, started_again
from pipeline.folders.locks import owned_folder, sweep
from pipeline.isolated.call import Raised, Returned
from pipeline.isolated.run import pass_on, result_of
from pipeline.isolated.template import Template
from pipeline.plan import PlacedCall, Places

T = TypeVar("T")
_LOOK_S = 1.0
_PATIENCE_S = 10.0
_GIVEN_UP = ".over"
"""How the file is called, beside what a job says, that tells it to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm:
    """A SLURM cluster, or processes of this machine that stand in for its jobs (``cluster: local``)."""

    cluster: str = "slurm"
    """``slurm``, or ``local`` to try it where there is none."""
    folder: Nonempty = "outputs/.slurm"
    """Where jobs get their calls and leave their results; all nodes must see it."""
    at_once: Count = 16
    """How many jobs are submitted at once."""
    retries: Whole = 2
    """How often a job that has died with its node is submitted again."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """submitit's parameters of each job, such as {slurm_partition: short, timeout_min: 60, cpus_per_task: 4}."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """More parameters for jobs that train, such as {gpus_per_node: 1}."""

    def check(self) -> None:
        """Raise UserError where submitit or SLURM's own commands are missing."""
        if find_spec("submitit") is None:
            raise UserError("execution=slurm needs submitit, which is not installed: pip install 'slimline[slurm]'")
        if self.cluster not in ("slurm", "local"):
            raise UserError(f"execution.cluster is {self.cluster!r}: type slurm or local")
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise UserError(
                "execution=slurm needs SLURM's command sbatch, and this machine has none: run on a login node, or type "
                "execution.cluster=local to try it here"
            )

    def node_problem(self, where: Mapping[str, Any]) -> str | None:
        """A node is named by SLURM's parameters as submitit writes them."""
        others = [name for name in where if not name.startswith("slurm_")]
        return (
            f"there is no {others[0]}: type such as slurm_nodelist: node7, or slurm_constraint: amx" if others else None
        )

    @contextmanager
    def open(self, template: Template) -> Iterator[Places]:
        """Jobs, in a folder of the run's own."""
        parent = Path(self.folder).absolute()
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():  # by runs that were killed
            sweep(left)
        with owned_folder(parent, "run-") as folder, importable():
            jobs = Jobs(count=self.at_once, settings=self, folder=folder, free=Semaphore(self.at_once))
            try:
                yield jobs
            finally:
                jobs.end()
        with suppress(OSError):  # other runs use it
            parent.rmdir()


@dataclass(slots=True, kw_only=True)
class Jobs:
    """The cluster's queue, seen as places."""

    count: int
    settings: Slurm
    folder: Path
    free: Semaphore
    elsewhere: bool = True
    stop: Event = field(default_factory=Event)

    def run(self, call: PlacedCall[T]) -> T:
        """Carry out the call in a job; one that ends without a word is submitted again, ``retries`` times."""
        far = FarCall.of(call)
        parameters = self._parameters(call.where, trains=call.trains)
        with self.free:
            result: T = started_again(lambda: self._once(far, call, parameters), self.settings.retries)
            return result

    def end(self) -> None:
        """End what runs."""
        self.stop.set()

    def _once(self, far: FarCall, call: PlacedCall[Any], parameters: Mapping[str, Any]) -> Any:
        import submitit

        said = self.folder / f"{far.name}.said"
        said.unlink(missing_ok=True)
        try:
            job = self._executor(parameters).submit(carry_out, far, said)
        except Exception as error:  # sbatch's own complaints, and what a user's class says to being pickled
            raise WorkerFailed(f"it can't be submitted: {first_line(error)}") from error
        heard = 0
        try:
            while not job.done():
                if self.stop.wait(_LOOK_S):
                    raise WorkerFailed("it was stopped")
                call.limits.check_time()
                heard = _listen(said, heard, call.hear)
        except BaseException:
            with suppress(OSError):
                said.with_suffix(_GIVEN_UP).touch()
            if self.settings.cluster == "local":  # to cancel one of those prints a traceback
                _await_end(job)
            else:
                job.cancel(check=False)
            raise
        _listen(said, heard, call.hear)
        try:
            outcome: Returned | Raised = job.result()
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
            raise Lost(f"its job {job.job_id} ended without a result: {first_line(error)}") from error
        return result_of(outcome)

    def _parameters(self, where: Mapping[str, Any] | None, *, trains: bool) -> Mapping[str, Any]:
        """submitit's parameters of a job; one that is tied to a node has it for itself."""
        training = self.settings.training if trains else {}
        alone = {"slurm_exclusive": True, **where} if where else {}
        return {"name": "slimline", **self.settings.parameters, **training, **alone}

    def _executor(self, parameters: Mapping[str, Any]) -> Any:
        import submitit

        executor = submitit.AutoExecutor(folder=self.folder / "jobs" / "%j", cluster=self.settings.cluster)
        executor.update_parameters(**parameters)
        return executor


def carry_out(far: FarCall, said: Path) -> Returned | Raised:
    """Carry out a call in a job."""
    with said.open("ab", buffering=0) as file:

        def tell(message: Any) -> None:
            file.write(pickle.dumps(message))

        return far.carry_out(tell, said.with_suffix(_GIVEN_UP).exists)


def _await_end(job: Any) -> None:
    """Wait for a job to end that was given up."""
    deadline = time.monotonic() + _PATIENCE_S
    while not job.done() and time.monotonic() < deadline:
        time.sleep(_LOOK_S / 10)


def _listen(said: Path, heard: int, hear: Callable[[Any], None] | None) -> int:
    """Pass on what a job has said since byte ``heard``; returns how far it was read."""
    with suppress(OSError), said.open("rb") as file:
        file.seek(heard)
        while True:
            try:
                message = pickle.load(file)
            except (EOFError, pickle.UnpicklingError):  # the rest of it is still being written
                return heard
            heard = file.tell()
            pass_on(message, hear)
    return heard
