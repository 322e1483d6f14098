"""What lies in the store, told on the terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rich.console import Console

from pipeline.artifact.store import Store
from pipeline.report.formats.printing import tell
from pipeline.results import numbers as show


def show_store(path: Path, max_gb: float | None, console: Console) -> int:
    """List the store's entries or, given a limit, remove the longest unused ones down to it."""
    store = Store(path)
    store.check()
    if max_gb is not None:
        removed = store.collect(max_gb)
        freed = sum(entry.size_bytes for entry in removed)
        tell(
            console,
            f"removed {len(removed)} of {len(removed) + len(store.entries())} entries, {show.megabytes(freed)} MB",
        )
        return 0
    if not path.exists():
        tell(console, f"{path} does not exist: 0 entries")
        return 0
    entries = store.entries()
    for entry in reversed(entries):
        used = datetime.fromtimestamp(entry.used).isoformat(" ", "minutes")
        line = f"{entry.key[:12]}  {show.megabytes(entry.size_bytes):>8} MB  used {used}  {entry.label}"
        tell(console, line)
    tell(console, f"{len(entries)} entries, {show.megabytes(sum(entry.size_bytes for entry in entries))} MB in {path}")
    return 0
