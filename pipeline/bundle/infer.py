"""Run the model in this folder. Needs what requirements.txt names, and nothing of slimline.

    python infer.py                   run the golden inputs and compare with the golden outputs
    python infer.py FILE.npz          one array [N, ...] of raw values per input name; other arrays are ignored
    python infer.py FILE.npy          the array [N, ...] of raw values, for a model with one input
    python infer.py IMAGE ... FOLDER  images, for a model that takes them (needs Pillow)

    from infer import Model
    model = Model()
    outputs = model({"image": images})
    labels = model.predict({"image": images})

Exit codes: 0 done; 1 the golden outputs were not reproduced; 2 the input, or what is installed, is not right.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    if __package__:
        from .slimline_infer import InputError, Model, main
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        if __name__ == "__main__":
            sys.dont_write_bytecode = True  # the folder stays as it was written
        from slimline_infer import InputError, Model, main  # type: ignore[import-not-found, no-redef]
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.stderr.write(f"infer.py: {error}: install what requirements.txt names\n")
    sys.exit(2)

__all__ = ["InputError", "Model"]

if __name__ == "__main__":
    sys.exit(main(__doc__))
