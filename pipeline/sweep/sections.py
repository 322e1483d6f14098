"""The sections that tell a sweep, for every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.report.describe import sentence
from pipeline.report.sections.section import Align, Cell, Column, Line, Part, Section, Table, TableRow, grid, lines
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy, Speedup
from pipeline.results.sweep import SeedSpread, Spread, Standing, Sweep, SweepJob, SweepRow

JOBS = "Jobs"
_CHAINS: Sequence[tuple[str, tuple[Standing, ...]]] = (
    ("wins", ("wins",)),
    ("beaten", ("beaten",)),
    ("not faster", ("slower", "not faster")),
    ("loses too much", ("loses too much",)),
    ("not decided", ("undecided", "noisy", "screened", "not compared")),
    ("over a limit", ("over a limit",)),
    ("not measured", ("failed", "skipped")),
)
"""The columns of the table of chains, and the standings that each counts."""
_LONGEST = 40


def title(found: Sweep) -> str:
    """What was swept."""
    over = " x ".join(f"{key} ({len(values)})" for key, values in found.varied.items())
    jobs = show.counted(len(found.jobs), "job")
    return f"{jobs} over {over}" if over else jobs


def sections_of(found: Sweep) -> list[Section]:
    """The sections in the order in which they are read; those with nothing to tell are left out."""
    made = [_jobs(found), _chains(found), _matrix(found), _seeds(found), _unfinished(found), _checks(found)]
    made.append(_repeat(found))
    return [section for section in made if section is not None]


def _section(title: str, parts: Sequence[Part], notes: Sequence[str] = (), *, folded: bool = False) -> Section:
    """A section that every format shows alike; the terminal has the notes last."""
    first, *rest = parts
    brief = [Part(title=title, lines=first.lines, tables=first.tables), *rest]
    brief += [Part(lines=lines(notes, "quiet"))] if notes else []
    return Section(title=title, notes=notes, parts=parts, brief=brief, folded=folded)


def _jobs(found: Sweep) -> Section:
    many = len(found.machines) > 1
    heads: list[tuple[str, Align]] = [("job", "left"), *((key, "left") for key in found.varied)]
    heads += [
        ("best", "left"),
        ("speed-up", "left"),
        ("accuracy", "left"),
        ("p50 (ms)", "right"),
        ("size (MB)", "right"),
    ]
    heads += [("machine", "left")] if many else []
    columns = tuple(Column(head=head, align=align, wraps=head == "best") for head, align in heads)
    rows = [_job_row(job, found, many) for job in found.jobs]
    dropped = ("machine", "size", "p50")
    table = Table(columns=columns, rows=rows, dropped_first=dropped)
    notes = [sentence(note) for note in found.notes]
    return _section(JOBS, [Part(tables=[table])], notes)


def _job_row(job: SweepJob, found: Sweep, many: bool) -> TableRow:
    row = job.best_row
    settings = [_line(job.settings.get(key)) for key in found.varied]
    cells: list[Cell] = [
        (job.name,),
        *settings,
        _best(job),
        _of(row, lambda row: _speedup(row.speedup)),
        _of(row, lambda row: _accuracy(row.accuracy)),
        _of(row, lambda row: () if row.p50_ms is None else (show.number(row.p50_ms.value),)),
        _of(row, lambda row: () if row.size_bytes is None else (show.megabytes(row.size_bytes),)),
    ]
    cells += [_line(job.machine)] if many else []
    return TableRow(cells=tuple(cells))


def _best(job: SweepJob) -> Cell:
    if job.status != "ok":
        return (job.status,)
    marks = ("NOISY",) if job.noisy else ()
    if job.best is None:
        return ("none", *marks)
    name = f"{job.best.variant} on {job.best.target}"
    name += f", batch {job.best.batch_size}" if job.best.batch_size != 1 else ""
    return (name, *(() if job.best.recommended else ("leads, not recommended",)), *marks)


def _line(text: str | None) -> Cell:
    """A value on one line: of a long one, such as a path, its end."""
    if not text:
        return ()
    return (text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}",)


def _of(row: SweepRow | None, cell: Callable[[SweepRow], Cell]) -> Cell:
    return () if row is None else cell(row)


def _speedup(found: Speedup | None) -> Cell:
    return () if found is None else (show.ratio(found.value, found.low, found.high), found.verdict)


def _accuracy(found: Accuracy | None) -> Cell:
    if found is None:
        return ()
    value = show.figure(found.value, found.unit)
    if found.delta is not None and not (found.against == "baseline" and found.labelled_flips is None):
        value = f"{value} {show.change(found.delta, found.unit)}"
    return (value,) if found.verdict is None else (value, found.verdict)


def _chains(found: Sweep) -> Section | None:
    if not found.chains:
        return None
    shown = [
        (head, kinds)
        for head, kinds in _CHAINS
        if any(chain.standings.get(kind) for chain in found.chains for kind in kinds)
    ]
    rows = [
        [chain.key, *(str(sum(len(chain.standings.get(kind, ())) for kind in kinds) or "") for _, kinds in shown)]
        for chain in found.chains
    ]
    table = grid(["chain", *(head for head, _ in shown)], rows)
    said = [chain.sentence for chain in found.chains]
    differ = [
        f"{chain.key} is not the same chain in all jobs: {', '.join(chain.differs)} differ."
        for chain in found.chains
        if chain.differs
    ]
    parts = [Part(tables=[table]), Part(lines=[*lines(said), *lines(differ, "caution")])]
    notes = [
        "The number of jobs in which each chain is recommended, beaten by another one, and so on. The baseline is left "
        "out: it is recommended where no chain is faster for sure."
    ]
    return _section("Where a chain wins", parts, notes)


def _matrix(found: Sweep) -> Section | None:
    keys = [chain.key for chain in found.chains]
    measured = [job for job in found.jobs if job.status == "ok"]
    if len(measured) < 2 or not keys:
        return None
    columns = (Column(head="job"), *(Column(head=key) for key in keys))
    rows = [TableRow(cells=((_called(job),), *(_standing(job, key) for key in keys))) for job in measured]
    table = Table(columns=columns, rows=rows, dropped_first=tuple(reversed(keys)))
    return Section(
        title="Speed-up of each chain in each job",
        notes=["Over the job's own baseline, with 95 % intervals, and how the chain stands in the job."],
        parts=[Part(tables=[table])],
    )


def _called(job: SweepJob) -> str:
    values = ", ".join(job.settings.values())
    return f"{job.name}: {values}" if values else job.name


def _standing(job: SweepJob, key: str) -> Cell:
    row = job.row(key)
    if row is None:
        return ()
    return (*_speedup(row.speedup), row.standing) if row.speedup is not None else (row.standing,)


def _seeds(found: Sweep) -> Section | None:
    shown = [spread for spread in found.seeds if spread.speedup is not None or not spread.same_bytes]
    if not shown:
        return None
    columns = tuple(Column(head=head, hint=hint) for head, hint in _SEEDS)
    rows = [TableRow(cells=tuple((text,) if text else () for text in _seed_row(spread))) for spread in shown]
    table = Table(columns=columns, rows=rows, dropped_first=("intervals", "bytes", "accuracy"))
    notes = [
        "The spread of the jobs' own figures. It is no interval: each job's interval is of its own model in its own "
        "session, and they are not averaged.",
        "Where every seed made the same bytes, the spread is the machine's from session to session. Where the bytes "
        "differ, it holds the training's or the calibration's as well.",
    ]
    return _section("Over seeds", [Part(tables=[table])], notes)


_SEEDS = (
    ("chain", ""),
    ("seeds", ""),
    ("speed-up", "the least, the median and the largest over the seeds"),
    ("accuracy", "the least and the largest"),
    ("change", "the least and the largest gain over the job's own baseline"),
    ("bytes", "whether every seed made the same model"),
    ("intervals", "whether one speed-up lies in the intervals of all jobs"),
)


def _seed_row(spread: SeedSpread) -> tuple[str, ...]:
    speeds = spread.speedup
    three = ""
    if speeds is not None:
        three = ", ".join(f"{show.number(value, 2)}x" for value in (speeds.least, speeds.median, speeds.largest))
    return (
        _name(spread),
        str(len(spread.jobs)),
        three,
        _ends(spread.accuracy, lambda value: show.figure(value, spread.unit)),
        _ends(spread.change, lambda value: show.change(value, spread.unit)),
        "the same" if spread.same_bytes else "differ",
        "" if spread.overlapping is None else "overlap" if spread.overlapping else "do not overlap",
    )


def _name(spread: SeedSpread) -> str:
    name = f"{spread.variant}@{spread.target}/{spread.batch_size}"
    settings = " ".join(f"{key}={value}" for key, value in spread.settings.items())
    return f"{name}, {settings}" if settings else name


def _ends(spread: Spread | None, write: Callable[[float], str]) -> str:
    return "" if spread is None else " to ".join(dict.fromkeys((write(spread.least), write(spread.largest))))


def _unfinished(found: Sweep) -> Section | None:
    left = [job for job in found.jobs if job.status != "ok"]
    if not left:
        return None
    said = [
        Line(word=job.status, text=f"{_named(job)}: {job.reason}", tone="bad" if job.status == "failed" else "caution")
        for job in left
    ]
    code = "\n".join([*(job.repeat for job in left), f"python -m pipeline report {found.folder}"])
    again = Part(title="To run them again, and make this report anew", code=code)
    name = "Jobs without figures"
    return Section(title=name, parts=[Part(lines=said), again], brief=[Part(title=name, lines=said)])


def _named(job: SweepJob) -> str:
    settings = " ".join(f"{key}={value}" for key, value in job.settings.items())
    return f"job {job.name} ({settings})" if settings else f"job {job.name}"


def _checks(found: Sweep) -> Section | None:
    said = [
        Line(word="NOISY" if job.noisy else "", text=f"{_named(job)}: {sentence(check)}", tone="caution")
        for job in found.jobs
        for check in job.checks
    ]
    said += [Line(word="fault", text=sentence(fault), tone="bad") for fault in found.faults]
    none = [
        Line(text=f"{_named(job)} recommends nothing: {job.why_none}")
        for job in found.jobs
        if job.status == "ok" and (job.best is None or not job.best.recommended) and job.why_none
    ]
    return _section("What the jobs' own checks say", [Part(lines=[*said, *none])]) if said or none else None


def _repeat(found: Sweep) -> Section:
    code = "\n".join(job.repeat for job in found.jobs)
    parts = [Part(title="The sweep", code=found.command), Part(title="Each job, into its own folder", code=code)]
    return Section(title="Commands", parts=parts, folded=True)
