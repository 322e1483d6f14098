"""The commands beside the experiment: each takes the words behind its name and returns its exit code.

Heavy imports are inside the functions, so that a command loads only what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.command_line.arguments import NAMES, for_hydra
from pipeline.command_line.hydra_errors import as_raised, explained, groups
from pipeline.errors import UserError
from pipeline.terminal.screen import complain, plain_console, printable

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.bundle.steps import Step
    from pipeline.command_line.verify import VerifyWords
    from pipeline.plan import Plan
    from pipeline.run.finished import Finished


def _planned(argv: Sequence[str]) -> Plan:
    """The plan of a run that is only looked at."""
    from pipeline.command_line.composing import composed
    from pipeline.config import build, register

    register(make_folders=False)
    with explained(), as_raised():
        found = composed(argv, NAMES)
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


def inspect_command(argv: list[str]) -> int:
    """Look at a model before anything is built."""
    from pipeline.command_line.inspect import look
    from pipeline.inspection import command

    asked = look(argv)
    if asked is None:
        return command.inspection_schema(plain_console())
    for note in asked.notes:
        complain(f"note: {note}")
    return command.inspect(_planned(asked.words), asked.suggested, plain_console(), as_json=asked.as_json)


def plan_command(argv: list[str]) -> int:
    """Say what a run would build, time and skip."""
    from pipeline.command_line.plan import plan_words
    from pipeline.inspection import command

    asked = plan_words(argv)
    if asked is None:
        return command.dry_run_schema(plain_console())
    return command.dry_run(_planned(asked.words), plain_console(), as_json=asked.as_json)


def new_command(argv: list[str]) -> int:
    """Write a class of the user's own, with its YAML and a test."""
    from pipeline.command_line.new import new

    sys.stdout.write(f"{printable(new(argv).lines())}\n")
    return 0


def init_command(argv: list[str]) -> int:
    """Write a configuration for a model."""
    from pipeline.command_line.init import init

    with explained():
        made = init(argv, NAMES, _planned)
    sys.stdout.write(f"{printable(made.lines())}\n")
    return 0


def report_command(argv: list[str]) -> int:
    """Derive a run's report anew, or make one of a sweep's jobs, or of what a kit brought home."""
    from pipeline.command_line.multirun import is_sweep
    from pipeline.command_line.report import report_options
    from pipeline.kit.brought import is_brought
    from pipeline.run import loop
    from pipeline.run.kit_report import report_brought

    options = report_options(argv)
    if is_brought(options.run):
        return report_brought(options.run, plain_console(), options.join, options.labels)
    if options.join is not None:
        raise UserError(f"--join is for samples that a kit brought home, and {options.run} holds none")
    if is_sweep(options.run):
        if options.labels is not None:
            raise UserError(f"--labels is for one run, and {options.run} is a sweep: name one of its jobs")
        return _report_sweep(options.run)
    return loop.report(options.run, plain_console(), options.labels)


def has_begun(sweep: Path) -> bool:
    """Whether a sweep has a job that has begun."""
    from pipeline.sweep.found import job_folders

    return bool(job_folders(sweep))


def end_of_sweep(folder: Path) -> int:
    """Report a sweep whose jobs have ended; returns the worst exit code of its jobs and of the report."""
    from pipeline.run.sweep_report import worst_code

    return max(worst_code(folder), _report_sweep(folder))


def _report_sweep(folder: Path) -> int:
    from pipeline.command_line.multirun import asked_jobs, overrides_in
    from pipeline.run.sweep_report import report_sweep
    from pipeline.sweep.found import job_folders

    overrides = overrides_in(job_folders(folder))
    return report_sweep(folder, asked_jobs(folder), overrides, plain_console())


def track_command(argv: list[str]) -> int:
    """Send a finished run to where it is tracked."""
    from pipeline.command_line.track import track_options
    from pipeline.config import register, tracking_of
    from pipeline.run import loop

    options = track_options(argv)
    register(make_folders=False)
    with explained():
        tracking = tracking_of(for_hydra(options.overrides, NAMES, groups()))
    return loop.track(options.run, tracking, plain_console())


def compare_command(argv: list[str]) -> int:
    """Say what changed from one run to another, and whether it may pass."""
    from pipeline.command_line.compare import compare_words
    from pipeline.compare.command import compare, comparison_schema
    from pipeline.config import gate_rules, register

    asked = compare_words(argv)
    if asked is None:
        return comparison_schema(plain_console())
    options, settings = asked
    register(make_folders=False)
    with explained():
        rules = gate_rules(settings)
    return compare(options, rules, plain_console())


def bundle_command(argv: list[str]) -> int:
    """Write the bundles of a finished run's rows, or one package of them."""
    from pipeline.bundle.packing import Packing
    from pipeline.command_line.bundle import bundle_options
    from pipeline.run.bundling import bundle_rows
    from pipeline.run.model_package import package_rows

    options = bundle_options(argv)
    if options.package:
        return package_rows(_finished(options.run), options.rows, options.out, plain_console())
    packing = Packing(zip_file=options.zip, oci=options.oci, wheels=options.hashes, ort_format=options.ort)
    return bundle_rows(_finished(options.run), options.rows, options.out, plain_console(), packing)


def kit_command(argv: list[str]) -> int:
    """Pack what measures a run's variants on another machine, or measure there over ssh."""
    from pipeline.command_line.kit import kit_options
    from pipeline.kit.host import Host
    from pipeline.run.kit_packing import Asked, pack_run, run_on

    options = kit_options(argv)
    asked = Asked(rows=options.rows, examples=options.examples, budget_s=options.budget_s, busy=options.busy)
    if options.host is None:
        return pack_run(_finished(options.run), asked, options.out, plain_console())
    host = Host(name=options.host, python=options.python or "python3")
    return run_on(_finished(options.run), asked, host, plain_console())


def verify_command(argv: list[str]) -> int:
    """Let a bundle prove itself on this machine."""
    from pipeline.bundle import verify
    from pipeline.command_line.verify import verify_words

    words, console = verify_words(argv), plain_console()
    more = tuple(_steps_of(words, console))
    return verify(words.folder, console, replace(words.options, more=more))


def _steps_of(words: VerifyWords, console: Console) -> Iterator[Step]:
    """The steps of ``--accuracy`` and ``--speed``. Nothing is composed for a bundle whose manifest is refused."""
    from pipeline.config import measure_settings, register

    register(make_folders=False)
    if words.accuracy is not None:
        from pipeline.bundle import manifest_here
        from pipeline.run.deployed_accuracy import accuracy_step, nothing_judged

        manifest = manifest_here(words.folder)
        yield (
            nothing_judged()
            if manifest is None
            else accuracy_step(_accuracy_plan(words, words.accuracy, manifest), console)
        )
    if words.speed:
        from pipeline.run.deployed_speed import speed_step

        with explained():
            yield speed_step(measure_settings(words.measure), console)


def _accuracy_plan(words: VerifyWords, typed: str, manifest: Mapping[str, Any]) -> Plan:
    """The plan whose data, as they were typed, and metric a bundle's model is judged with."""
    from pipeline.command_line.bundle_words import accuracy_words

    folders = [part for folder in words.folders for part in ("--config-dir", str(folder))]
    settings = accuracy_words(manifest, typed, words.settings, words.folders)
    return _planned([*folders, *settings, *words.measure])


def sign_command(argv: list[str]) -> int:
    """Sign a bundle with a key."""
    from pipeline.bundle.sign import sign
    from pipeline.command_line.sign import sign_words

    words = sign_words(argv)
    return sign(words.folder, plain_console(), words.key, words.password)


def store_command(argv: list[str]) -> int:
    """List what is stored, or make room."""
    from pipeline.command_line.store import store_options
    from pipeline.run.stored import show_store
    from pipeline.store import store_place

    options = store_options(argv)
    return show_store(store_place(options.path), options.max_gb if options.action == "gc" else None, plain_console())


def selftest_command(argv: list[str]) -> int:
    """Let the measuring prove itself on this machine."""
    from pipeline.command_line.selftest import selftest_options

    options = selftest_options(argv)
    from pipeline.config import measure_settings, register
    from pipeline.selftest.command import Options, selftest
    from pipeline.selftest.experiments import EXPERIMENTS, run_experiment

    if options.action in EXPERIMENTS:
        return run_experiment(options.action, options.of, options.runs, plain_console())
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
        plain_console(),
    )


def doctor_command(argv: list[str]) -> int:
    """Say whether this machine can be measured on."""
    from pipeline.command_line.doctor import doctor_options

    options = doctor_options(argv)
    from pipeline.doctor.command import doctor

    return doctor(options.path, plain_console(), quick=options.quick, as_json=options.json)
