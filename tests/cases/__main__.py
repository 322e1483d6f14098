"""Every case that users ran into, with what must come out of it.

python -m tests.cases                 all, two at a time: a table, exit code 1 where a row is wrong
python -m tests.cases NAME [NAME …]   some; --keep FOLDER keeps inputs and runs there
python -m tests.cases make NAME FOLDER  only the input
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cases.case import Case
from tests.cases.making import Make
from tests.cases.table import CASES


def main(argv: Sequence[str]) -> int:
    """Run cases; returns 1 where one is wrong."""
    known = {case.name: case for case in CASES}
    if argv[:1] == ["make"]:
        folder = Path(argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        known[argv[1]].make(Make(folder))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.cases")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"there is no case {unknown[0]}")
    chosen = [known[name] for name in options.names or known]
    folder = options.keep or Path(tempfile.mkdtemp(prefix="cases-of-slimline-"))
    try:
        return _table(chosen, folder, options.jobs)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _table(cases: Sequence[Case], folder: Path, jobs: int) -> int:
    wrong = 0
    started = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(case.run, folder / case.name) for case in cases]
        for case, future in zip(cases, futures, strict=True):
            problems = future.result()
            wrong += bool(problems)
            sys.stdout.write(f"{'WRONG' if problems else 'right'}  {case.name:22} {case.make.__doc__ or ''}\n")
            sys.stdout.writelines(f"       - {problem}\n" for problem in problems)
            sys.stdout.flush()
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    sys.stdout.write(f"{len(cases) - wrong} of {len(cases)} right, in {minutes} min {seconds} s\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
