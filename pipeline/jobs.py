"""What Hydra starts: a single run, or each job of a sweep, here or in a process of a launcher's."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pipeline.command_line.hydra_errors import as_raised
from pipeline.errors import SlimlineError, reporting_disk, reporting_folder
from pipeline.folders.surroundings import own_surroundings
from pipeline.sweep import outcome
from pipeline.terminal.interrupts import watch
from pipeline.terminal.screen import complain, guarded_output, plain_console, printable

if TYPE_CHECKING:
    from omegaconf import DictConfig

PRINTED = "terminal.txt"
"""What a job prints that shares the terminal with others, in its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One run that Hydra asks for."""

    output: Path
    command: str
    overrides: Sequence[str]
    number: int | None
    """The number of the job in its sweep; None: it is a run of its own."""

    @property
    def name(self) -> str:
        """The job's number and settings, as a user is told them."""
        return f"job {self.number}: {' '.join(self.overrides)}"


@dataclass(frozen=True, slots=True)
class Task:
    """The function that Hydra calls with each configuration. Launchers send a copy of it to their processes."""

    flags: Sequence[str]
    """Hydra's flags but for --multirun, with their values."""
    home: int = field(default_factory=os.getpid)
    """The process of the command line."""
    codes: list[int] = field(default_factory=list)
    """The exit codes of the runs in this process; a copy's list never comes back."""

    def __call__(self, cfg: DictConfig) -> int:
        """Carry out one run; returns its exit code."""
        asked = _asked(self.flags)
        alone = _here(asked) if os.getpid() == self.home else _in_a_process_of_its_own(asked)
        keeps = asked.number is not None or (asked.output / outcome.FILE).exists()
        with alone:
            code = _noted(cfg, asked) if keeps else _told(cfg, asked)
        self.codes.append(code)
        return code


def _asked(flags: Sequence[str]) -> Asked:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    hydra_config = HydraConfig.get()
    # Unresolved, as it was typed: what an interpolation stands for may be a secret.
    typed: list[str] = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)  # type: ignore[assignment]
    overrides = [override.removeprefix("++") for override in typed]
    output = Path(hydra_config.runtime.output_dir)
    if output.is_relative_to(Path.cwd()):
        output = output.relative_to(Path.cwd())
    return Asked(
        output=output,
        command=shlex.join(["python", "-m", "pipeline", *flags, *overrides]),
        overrides=overrides,
        number=hydra_config.job.num if hydra_config.mode == RunMode.MULTIRUN else None,
    )


def _told(cfg: DictConfig, asked: Asked) -> int:
    """Run, and tell an error in its line."""
    try:
        return _run(cfg, asked)
    except SlimlineError as error:
        complain(str(error))
        return error.exit_code


def _noted(cfg: DictConfig, asked: Asked) -> int:
    """Run as a job of a sweep, whose outcome is kept in its folder."""
    try:
        with outcome.noting(asked.output, asked.command) as codes:
            codes.append(_run(cfg, asked))
        return codes[-1]
    except SlimlineError as error:
        complain(str(error))
        return error.exit_code


def _run(cfg: DictConfig, asked: Asked) -> int:
    from pipeline.config import build
    from pipeline.run import loop

    with as_raised():
        plan = build(cfg, asked.output, asked.command)
    return loop.run(plan, plain_console())


@contextmanager
def _here(asked: Asked) -> Iterator[None]:
    """Tell which job of a sweep begins."""
    if asked.number is not None:
        _say(sys.stdout, f"\n{asked.name}")
    yield


@contextmanager
def _in_a_process_of_its_own(asked: Asked) -> Iterator[None]:
    """Give a launcher's process what the command line gives its own. What the job prints goes into a file, because
    others print at the same time; the terminal is told where it begins and ends."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    watch()
    with ExitStack() as stack:
        for context in (guarded_output(), own_surroundings(), reporting_folder()):
            stack.enter_context(context)
        with reporting_disk(asked.output):
            file = stack.enter_context((asked.output / PRINTED).open("w", encoding="utf-8"))
        terminal = sys.stdout
        _say(terminal, f"{asked.name}\n  begins; what it prints goes to {asked.output / PRINTED}")
        with redirect_stdout(file), redirect_stderr(file):
            yield
        _say(terminal, f"job {asked.number} has ended: {_ending(asked.output)}")


def _ending(folder: Path) -> str:
    found = outcome.read(folder)
    if found is None or found.reason is None:
        return str(folder / "report.html")
    return found.reason


def _say(stream: TextIO, line: str) -> None:
    stream.write(f"{printable(line)}\n")
    stream.flush()
