"""Measure the models in this kit on this machine. Needs Python 3.9 or later, numpy and the runtime; nothing else.

    python kit.py                     time all models, run the test examples, write a folder to carry home
    python kit.py --budget-s 60       about the most seconds of timing
    python kit.py --no-accuracy       time only
    python kit.py --busy 1            keep a core busy meanwhile, as on a machine that does more than this

Ctrl-C stops it, and keeps the rounds that were measured.
Exit codes: 0 done; 1 a model failed, the others were measured; 2 the kit, or what was typed, is not right; 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    if sys.version_info < (3, 9):  # noqa: UP036  the machine that is measured may have any
        sys.exit("kit.py: Python 3.9 or later is needed, and this is " + sys.version.split()[0])
    sys.path.insert(0, str(FOLDER))
    try:
        from slimline_kit.command import main  # type: ignore[import-not-found]
    except ImportError as error:
        sys.stderr.write(f"kit.py: {error}: install what requirements.txt names\n")
        sys.exit(2)
    sys.exit(main(FOLDER, __doc__))
