"""The command line: the experiment, and the commands beside it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pipeline import __version__, commands
from pipeline.command_line.arguments import NAMES, flags_and_overrides, for_hydra
from pipeline.command_line.hydra_errors import available, explained, groups
from pipeline.errors import SlimlineError, reporting_folder
from pipeline.folders.surroundings import own_surroundings
from pipeline.jobs import Task
from pipeline.terminal.interrupts import Stopped, watch
from pipeline.terminal.screen import complain, guarded_output, printable

LOOKING = frozenset({"--cfg", "-c", "--info", "-i", "--hydra-help"})
"""Hydra's flags that only show something."""
MULTIRUN = ("--multirun", "-m")
HELP = """\
slimline: quantize and prune a model, then measure whether it paid.

  python -m pipeline [overrides]                 run the experiment and write outputs/latest
  python -m pipeline optimize MODEL [DATA]       find the best for a model on this machine, and prove it
  python -m pipeline inspect MODEL [DATA]        look at a model before anything is built
  python -m pipeline plan [overrides]            what a run would build, time and skip; nothing is done
  python -m pipeline new stage|metric|data|backend NAME  write one of your own, with its YAML and a test
  python -m pipeline init MODEL [DATA]           write a configuration of your own for a model
  python -m pipeline report RUN [--labels FILE]  derive the report anew from a run's samples
  python -m pipeline report SWEEP                one report over the jobs of a sweep (--multirun)
  python -m pipeline kit RUN [VARIANT ...]       pack what measures a run's variants on another machine
  python -m pipeline track RUN [overrides]       send a finished run to where it is tracked (MLflow)
  python -m pipeline compare RUN_A RUN_B [--gate]  what changed from one run to another; may it pass?
  python -m pipeline bundle RUN VARIANT          the deploy bundle of any variant of a finished run
  python -m pipeline bundle RUN --package VARIANT VARIANT   several variants, each for other machines, as one package
  python -m pipeline verify DIR                  let a deploy bundle prove itself on this machine
  python -m pipeline sign DIR --key PRIVATE.pem  sign a deploy bundle; verify DIR --key PUBLIC.pem checks it
  python -m pipeline store list|gc               what is stored; remove what was longest unused; --path FOLDER|s3://…
  python -m pipeline doctor                      whether this machine can be measured on, and what it can run
  python -m pipeline selftest aa|power|both|peers|search  let the measuring prove itself on this machine

Examples:
  python -m pipeline variant=[baseline,static_int8] target.ort_cpu.threads=2 batch_sizes=[1]
  python -m pipeline optimize model.onnx data.npz search.budget_s=300
  python -m pipeline model=onnx model.path=FILE.onnx data=npz data.path=FILE.npz
  python -m pipeline variants.pruned.stages.prune.pruning_ratio=0.3 measure=quick

== Configuration groups: group=option; variant=[a,b] and target=[a,b] take several ==
{groups}

== Config: override anything as key=value ==
{config}
More flags: --cfg job (print the configuration alone), --multirun, --config-dir DIR (your own YAML files), --version,
--hydra-help (Hydra's own flags)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code: 0 done, 1 something failed, 2 wrong input, 130 Ctrl-C, 143 SIGTERM."""
    with guarded_output():
        _main(list(sys.argv[1:] if arguments is None else arguments))


def _main(argv: list[str]) -> None:
    command = COMMANDS.get(argv[0]) if argv else None
    if command is None and {"--help", "-h"} & set(argv):
        command = _help
    if argv == ["--version"]:
        sys.stdout.write(f"slimline {__version__}\n")
        sys.exit(0)
    working_directory = str(Path.cwd())
    if working_directory not in sys.path:  # so that a console script finds the user's own classes too
        sys.path.insert(0, working_directory)
    watch()
    try:
        with nullcontext() if command in (_help, *LIGHT) else own_surroundings():
            sys.exit(command(argv[command is not _help :]) if command else _experiment(argv))
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
        complain(str(stopped))
        sys.exit(stopped.exit_code)
    except SlimlineError as error:
        complain(str(error))
        sys.exit(error.exit_code)


def _experiment(argv: list[str]) -> int:
    """Compose the configuration with Hydra and run it, or each job of a multirun; returns the worst exit code."""
    import hydra

    from pipeline.command_line.multirun import watching
    from pipeline.config import register

    register(make_folders=not LOOKING & {argument.partition("=")[0] for argument in argv})
    task = Task([flag for flag in flags_and_overrides(argv)[0] if flag not in MULTIRUN])
    with explained(), reporting_folder(), watching() as sweeps:
        sys.argv = [sys.argv[0], *for_hydra(argv, NAMES, groups())]
        with _telling_of_jobs(sweeps):
            hydra.main(version_base="1.3", config_path="pkg://pipeline.conf", config_name="config")(task)()
    codes = [commands.end_of_sweep(folder) for folder in sweeps]
    return max([*task.codes, *codes], default=0)


@contextmanager
def _telling_of_jobs(sweeps: Sequence[Path]) -> Iterator[None]:
    """Say how to read a sweep that ends before its last job."""
    try:
        yield
    except BaseException:
        for folder in (folder for folder in sweeps if commands.has_begun(folder)):
            complain(f"the jobs so far: python -m pipeline report {shlex.quote(str(folder))}")
        raise


def _help(argv: list[str]) -> int:
    """Print what can be chosen and the configuration as it stands.

    Hydra's own help composes every group twice, which takes longer than people wait; this composes once.
    """
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from pipeline.config import register

    register()
    _, overrides = flags_and_overrides(for_hydra(argv, NAMES, groups()))
    with explained(), initialize_config_module("pipeline.conf", version_base="1.3"):
        config = OmegaConf.to_yaml(compose("config", overrides))
    options = "\n".join(f"{group}: {', '.join(available(group))}" for group in groups())
    sys.stdout.write(HELP.format(groups=options, config=config))
    return 0


def _optimize(argv: list[str]) -> int:
    """Print the experiment that MODEL and DATA stand for, and run it."""
    from pipeline.command_line.optimize import search

    found = search(argv)
    sys.stdout.write(f"{printable(found.lines())}\n")
    sys.stdout.flush()
    return _experiment(list(found.words))


COMMANDS: Mapping[str, Callable[[list[str]], int]] = {
    "optimize": _optimize,
    "inspect": commands.inspect_command,
    "plan": commands.plan_command,
    "new": commands.new_command,
    "init": commands.init_command,
    "report": commands.report_command,
    "track": commands.track_command,
    "compare": commands.compare_command,
    "bundle": commands.bundle_command,
    "kit": commands.kit_command,
    "verify": commands.verify_command,
    "sign": commands.sign_command,
    "store": commands.store_command,
    "selftest": commands.selftest_command,
    "doctor": commands.doctor_command,
}
"""The first words that are commands (``NAMES``); any other word is a setting."""
LIGHT = (commands.new_command, commands.report_command, commands.store_command, commands.track_command)
"""The commands that run no model, and so need no folder for what its processes leave."""
