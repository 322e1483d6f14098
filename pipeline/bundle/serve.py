"""Serve the model in this folder over HTTP. Needs what requirements.txt names, and nothing of slimline.

    python serve.py                                http://127.0.0.1:8080
    python serve.py --host 0.0.0.0 --port 9000     to other machines too: there is no password and no encryption
    python serve.py --wait-ms 2 --batch-size 8     requests wait up to 2 ms for others, and share a call

    GET /health         200 when the model is loaded and has reproduced its golden outputs, else 503
    GET /health/live    200 while the server runs
    GET /metadata       inputs, outputs, labels, sha256 and limits
    POST /predict       application/json: {"inputs": {NAME: nested lists}}; application/x-npy or application/x-npz:
                        arrays [N, ...] of raw values, as infer.py takes them; the answer has the same form

Exit codes: 0 ended by SIGTERM or Ctrl-C, after the requests that it had; 1 the golden outputs were not reproduced;
2 an option, or what is installed, is not right.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    if __package__:
        from .slimline_infer.serving import main
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        if __name__ == "__main__":
            sys.dont_write_bytecode = True  # the folder stays as it was written
        from slimline_infer.serving import main  # type: ignore[import-not-found, no-redef]
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.stderr.write(f"serve.py: {error}: install what requirements.txt names\n")
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main(__doc__))
