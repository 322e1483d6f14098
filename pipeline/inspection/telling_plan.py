"""Tells on the terminal what a run would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from pipeline.inspection.dry_run import (
    Disk,
    DryRun,
    MeasuringTime,
    PlannedRow,
    PlannedSearch,
    PlannedVariant,
)
from pipeline.inspection.sections import facts_table, grouped, listing
from pipeline.report.formats.printing import say, tell
from pipeline.report.formats.terminal_sections import print_sections
from pipeline.report.sections.search import some
from pipeline.report.sections.section import Line, Part, Section
from pipeline.results import numbers as show
from pipeline.run.planned import PlannedStage

_BYTES_PER_GB = 1e9


def tell_dry_run(found: DryRun, console: Console) -> None:
    """Print everything that is known of the run, and last the command that starts it."""
    say(console, f"{found.model} on {found.data}, judged by {found.metric}", style="bold")
    sections = [_building(found), _rows(found) if found.search is None else _search(found.search), _cost(found)]
    print_sections(sections, console)
    if found.notes:
        console.print()
    for note in found.notes:
        say(console, f"note: {note}", style="dim")
    console.print()
    say(console, "Nothing was done. The run itself:", style="bold")
    tell(console, f"  {found.command}")


def _building(found: DryRun) -> Section:
    rows = [(variant.name, _stages(variant)) for variant in found.variants]
    title = f"Models: {found.stored} in the store, {found.to_build} to build"
    return Section(title=title, brief=[Part(title=title, tables=[listing(("variant", "stages"), rows, wrapping=(1,))])])


def _stages(variant: PlannedVariant) -> str:
    if variant.reason is not None:
        return f"can't be built: {variant.reason}"
    told = grouped((_where(stage), f"{stage.name}{_took(stage)}") for stage in variant.stages)
    return "; ".join(f"{where}: {', '.join(stages)}" for where, stages in told.items())


def _where(stage: PlannedStage) -> str:
    return "as above" if stage.shared else {"stored": "in the store", "to build": "to build"}[stage.status]


def _took(stage: PlannedStage) -> str:
    if stage.shared:
        return ""
    if stage.seconds is not None:
        return f" (took {show.duration(stage.seconds)})"
    return "" if stage.like_it_s is None else f" (another one took {show.duration(stage.like_it_s)})"


def _rows(found: DryRun) -> Section:
    measured = [row for row in found.rows if row.reason is None]
    places = grouped((_place(row), row.variant) for row in measured)
    skipped = grouped(((row.reason, _place(row)), row.variant) for row in found.rows if row.reason is not None)
    title = f"Rows: {len(measured)} to measure, {len(found.rows) - len(measured)} to skip"
    return Section(title=title, brief=[Part(title=title, lines=[*_measure(places), *_skip(skipped, "skip")])])


def _place(row: PlannedRow) -> str:
    return f"{row.target}, batch {row.batch_size}"


def _measure(places: Mapping[str, Sequence[str]]) -> Iterator[Line]:
    for place, variants in places.items():
        yield Line(word=f"on {place}:", text=", ".join(variants))


def _skip(reasons: Mapping[tuple[str, str], Sequence[str]], word: str) -> Iterator[Line]:
    for (reason, place), names in reasons.items():
        yield Line(word=f"{word} on {place}:", text=f"{some(names)}: {reason}", tone="quiet")


def _search(search: PlannedSearch) -> Section:
    title = f"Search: {len(search.candidates)} candidates to try, {len(search.left_out)} left out by rules"
    places = grouped((key.rpartition("@")[2], key.rpartition("@")[0]) for key in search.candidates)
    left = grouped(((one.reason, one.target), one.variant) for one in search.left_out)
    return Section(title=title, brief=[Part(title=title, lines=[*_measure(places), *_skip(left, "left out")])])


def _cost(found: DryRun) -> Section:
    pairs = [
        ("examples", ", ".join(f"{count} {name}" for name, count in found.examples.items())),
        *([("whole run", f"about {show.duration(found.search.budget_s)} (search.budget_s)")] if found.search else []),
        ("building", _building_time(found)),
        *_times(found.measuring),
        ("store", _disk(found.store)),
        ("output", _disk(found.output)),
    ]
    return Section(title="Time and room", brief=[Part(title="Time and room", tables=[facts_table(pairs)])])


def _building_time(found: DryRun) -> str:
    missing = [
        stage for one in found.variants for stage in one.stages if stage.status == "to build" and not stage.shared
    ]
    known = [stage.like_it_s for stage in missing if stage.like_it_s is not None]
    if not missing:
        return "nothing is to be built"
    if not known:
        return "not known: the store has no stage of these names"
    others = len(missing) - len(known)
    rest = f"; not known for {others} of them" if others else ""
    return f"about {show.duration(sum(known))}, going by stored stages of the same names{rest}"


def _times(time: MeasuringTime) -> Iterator[tuple[str, str]]:
    if time.latency_s is None:
        yield "latencies", "as long as it takes (measure.budget_s is null)"
    else:
        yield "latencies", f"{show.duration(time.latency_s)} and the round under way, at most (measure.budget_s)"
    for name, seconds, bound, key in (
        ("whole calls", time.stages_s, "or so", "measure.stages"),
        ("scenarios", time.scenarios_s, "at least", "measure.scenarios"),
        ("energy", time.energy_s, "at most", "measure.energy_s"),
        ("trying changes", time.tries_s, "at most", "measure.try_s"),
    ):
        if seconds:
            yield name, f"{show.duration(seconds)} {bound} ({key})"


def _disk(disk: Disk) -> str:
    return f"{disk.path}, {show.short(disk.free_bytes / _BYTES_PER_GB)} GB free"
