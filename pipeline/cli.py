"""The command line: the experiment, and the commands beside it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.command_line.arguments import flags_and_overrides, for_hydra
from pipeline.command_line.hydra_errors import as_raised, available, explained, groups
from pipeline.errors import SlimlineError, UserError, reporting_folder
from pipeline.folders.surroundings import own_surroundings
from pipeline.terminal.interrupts import Stopped, watch
from pipeline.terminal.screen import guarded_output, printable

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from pipeline.bundle.steps import Step
    from pipeline.command_line.verify import VerifyWords
    from pipeline.plan import Plan
    from pipeline.run.finished import Finished

LOOKING = frozenset({"--cfg", "-c", "--info", "-i", "--hydra-help"})
"""Hydra's flags that only show something."""
PLAIN_WIDTH = 120
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
  python -m pipeline kit RUN [VARIANT ...]       pack what measures a run's variants on another machine
  python -m pipeline track RUN [overrides]       send a finished run to where it is tracked (MLflow)
  python -m pipeline compare RUN_A RUN_B [--gate]  what changed from one run to another; may it pass?
  python -m pipeline bundle RUN VARIANT          the deploy bundle of any variant of a finished run
  python -m pipeline bundle RUN --package VARIANT VARIANT   several variants, each for other machines, as one package
  python -m pipeline verify DIR                  let a deploy bundle prove itself on this machine
  python -m pipeline sign DIR --key PRIVATE.pem  sign a deploy bundle; verify DIR --key PUBLIC.pem checks it
  python -m pipeline store list|gc               what is stored; remove what was longest unused
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
        with nullcontext() if command in (_help, _new, _report, _store, _track) else own_surroundings():
            sys.exit(command(argv[command is not _help :]) if command else _experiment(argv))
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
        _complain(str(stopped))
        sys.exit(stopped.exit_code)
    except SlimlineError as error:
        _complain(str(error))
        sys.exit(error.exit_code)


def _experiment(argv: list[str]) -> int:
    """Compose the configuration with Hydra and run it, or each job of a multirun; returns the worst exit code."""
    import hydra

    from pipeline.config import register

    register(make_folders=not LOOKING & {argument.partition("=")[0] for argument in argv})
    codes: list[int] = []
    flags = [flag for flag in flags_and_overrides(argv)[0] if flag not in MULTIRUN]

    def task(cfg: DictConfig) -> None:
        codes.append(_job(cfg, flags))

    with explained(), reporting_folder():
        sys.argv = [sys.argv[0], *for_hydra(argv, COMMANDS, groups())]
        hydra.main(version_base="1.3", config_path="pkg://pipeline.conf", config_name="config")(task)()
    return max(codes, default=0)


def _job(cfg: DictConfig, flags: Sequence[str]) -> int:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from pipeline.config import build
    from pipeline.run import loop

    hydra_config = HydraConfig.get()
    # Unresolved, as it was typed: what an interpolation stands for may be a secret.
    typed: list[str] = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)  # type: ignore[assignment]
    overrides = [override.removeprefix("++") for override in typed]
    command = shlex.join(["python", "-m", "pipeline", *flags, *overrides])
    output = Path(hydra_config.runtime.output_dir)
    if output.is_relative_to(Path.cwd()):
        output = output.relative_to(Path.cwd())
    try:
        with as_raised():
            plan = build(cfg, output, command)
        return loop.run(plan, _console())
    except SlimlineError as error:
        _complain(str(error))
        return error.exit_code


def _help(argv: list[str]) -> int:
    """Print what can be chosen and the configuration as it stands.

    Hydra's own help composes every group twice, which takes longer than people wait; this composes once.
    """
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from pipeline.config import register

    register()
    _, overrides = flags_and_overrides(for_hydra(argv, COMMANDS, groups()))
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


def _planned(argv: Sequence[str]) -> Plan:
    """The plan of a run that is only looked at."""
    from pipeline.command_line.composing import composed
    from pipeline.config import build, register

    register(make_folders=False)
    with explained(), as_raised():
        found = composed(argv, COMMANDS)
        return build(found.cfg, found.output, found.command)


def _finished(folder: Path) -> Finished:
    """A finished run, taken up again from its folder; raises UserError where it is none."""
    from pipeline.command_line.finished import kept_configuration
    from pipeline.config import build, register
    from pipeline.results.reading import load_run
    from pipeline.run.finished import Finished

    record = load_run(folder)
    register(make_folders=False)
    with as_raised():
        plan = build(kept_configuration(folder), folder, record.command)
    return Finished(plan=plan, record=record, folder=folder)


def _inspect(argv: list[str]) -> int:
    from pipeline.command_line.inspect import look
    from pipeline.inspection import command

    asked = look(argv)
    if asked is None:
        return command.inspection_schema(_console())
    for note in asked.notes:
        _complain(f"note: {note}")
    return command.inspect(_planned(asked.words), asked.suggested, _console(), as_json=asked.as_json)


def _plan(argv: list[str]) -> int:
    from pipeline.command_line.plan import plan_words
    from pipeline.inspection import command

    asked = plan_words(argv)
    if asked is None:
        return command.dry_run_schema(_console())
    return command.dry_run(_planned(asked.words), _console(), as_json=asked.as_json)


def _new(argv: list[str]) -> int:
    from pipeline.command_line.new import new

    sys.stdout.write(f"{printable(new(argv).lines())}\n")
    return 0


def _init(argv: list[str]) -> int:
    from pipeline.command_line.init import init

    with explained():
        made = init(argv, COMMANDS, _planned)
    sys.stdout.write(f"{printable(made.lines())}\n")
    return 0


def _report(argv: list[str]) -> int:
    from pipeline.command_line.report import report_options
    from pipeline.kit.brought import is_brought
    from pipeline.run import kit, loop

    options = report_options(argv)
    if is_brought(options.run):
        return kit.report_brought(options.run, _console(), options.join, options.labels)
    if options.join is not None:
        raise UserError(f"--join is for samples that a kit brought home, and {options.run} holds none")
    return loop.report(options.run, _console(), options.labels)


def _track(argv: list[str]) -> int:
    from pipeline.command_line.track import track_options
    from pipeline.config import register, tracking_of
    from pipeline.run import loop

    options = track_options(argv)
    register(make_folders=False)
    with explained():
        tracking = tracking_of(for_hydra(options.overrides, COMMANDS, groups()))
    return loop.track(options.run, tracking, _console())


def _compare(argv: list[str]) -> int:
    from pipeline.command_line.compare import compare_words
    from pipeline.compare.command import compare, comparison_schema
    from pipeline.config import gate_rules, register

    asked = compare_words(argv)
    if asked is None:
        return comparison_schema(_console())
    options, settings = asked
    register(make_folders=False)
    with explained():
        rules = gate_rules(settings)
    return compare(options, rules, _console())


def _bundle(argv: list[str]) -> int:
    from pipeline.bundle.packing import Packing
    from pipeline.command_line.bundle import bundle_options
    from pipeline.run.bundling import bundle_rows
    from pipeline.run.packaging import package_rows

    options = bundle_options(argv)
    if options.package:
        return package_rows(_finished(options.run), options.rows, options.out, _console())
    packing = Packing(zip_file=options.zip, oci=options.oci, wheels=options.hashes, ort_format=options.ort)
    return bundle_rows(_finished(options.run), options.rows, options.out, _console(), packing)


def _kit(argv: list[str]) -> int:
    from pipeline.command_line.kit import kit_options
    from pipeline.kit.host import Host
    from pipeline.run import packing

    options = kit_options(argv)
    asked = packing.Asked(rows=options.rows, examples=options.examples, budget_s=options.budget_s)
    if options.host is None:
        return packing.pack_run(_finished(options.run), asked, options.out, _console())
    host = Host(name=options.host, python=options.python or "python3")
    return packing.run_on(_finished(options.run), asked, host, _console())


def _verify(argv: list[str]) -> int:
    from pipeline.bundle import verify
    from pipeline.command_line.verify import verify_words

    words, console = verify_words(argv), _console()
    more = tuple(_steps_of(words, console))
    return verify(words.folder, console, replace(words.options, more=more))


def _steps_of(words: VerifyWords, console: Console) -> Iterator[Step]:
    """The steps of ``--accuracy`` and ``--speed``. Nothing is composed for a bundle whose manifest is refused."""
    from pipeline.bundle.integrity import read_manifest
    from pipeline.config import measure_settings, register

    register(make_folders=False)
    manifest = None if words.accuracy is None else read_manifest(words.folder)[0]
    if words.accuracy is not None and manifest is not None:
        from pipeline.command_line.bundle_words import accuracy_words
        from pipeline.run.deployed_accuracy import accuracy_step

        folders = [part for folder in words.folders for part in ("--config-dir", str(folder))]
        settings = accuracy_words(manifest, words.accuracy, words.settings, words.folders)
        yield accuracy_step(_planned([*folders, *settings, *words.measure]), console)
    if words.speed:
        from pipeline.run.deployed_speed import speed_step

        with explained():
            yield speed_step(measure_settings(words.measure), console)


def _sign(argv: list[str]) -> int:
    from pipeline.bundle.sign import sign
    from pipeline.command_line.sign import sign_words

    words = sign_words(argv)
    return sign(words.folder, _console(), words.key, words.password)


def _store(argv: list[str]) -> int:
    from pipeline.command_line.store import store_options
    from pipeline.run.stored import show_store

    options = store_options(argv)
    return show_store(options.path, options.max_gb if options.action == "gc" else None, _console())


def _selftest(argv: list[str]) -> int:
    from pipeline.command_line.selftest import selftest_options

    options = selftest_options(argv)
    from pipeline.config import measure_settings, register
    from pipeline.selftest.command import Options, selftest
    from pipeline.selftest.experiments import EXPERIMENTS, run_experiment

    if options.action in EXPERIMENTS:
        return run_experiment(options.action, options.of, options.runs, _console())
    register()
    with explained():
        settings = measure_settings(options.overrides)
    return selftest(
        Options(
            action=options.action,
            runs=options.runs,
            busy=options.busy,
            settings=settings,
            seed=options.seed,
            folder=options.path,
            replay=options.replay,
        ),
        _console(),
    )


def _doctor(argv: list[str]) -> int:
    from pipeline.command_line.doctor import doctor_options

    options = doctor_options(argv)
    from pipeline.doctor.command import doctor

    return doctor(options.path, _console(), quick=options.quick, as_json=options.json)


def _console() -> Console:
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_WIDTH  # rich takes 80 where there is no terminal
    return console


def _complain(text: str) -> None:
    with suppress(OSError):  # after SIGHUP there is no terminal any more
        for line in text.splitlines():
            sys.stderr.write(f"slimline: {printable(line)}\n")


COMMANDS: Mapping[str, Callable[[list[str]], int]] = {
    "optimize": _optimize,
    "inspect": _inspect,
    "plan": _plan,
    "new": _new,
    "init": _init,
    "report": _report,
    "track": _track,
    "compare": _compare,
    "bundle": _bundle,
    "kit": _kit,
    "verify": _verify,
    "sign": _sign,
    "store": _store,
    "selftest": _selftest,
    "doctor": _doctor,
}
"""The first words that are commands; any other word is a setting."""
