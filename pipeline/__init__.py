"""slimline: quantize and prune a model, then measure whether it paid.

Importing this package imports neither torch nor onnxruntime; each is imported where it is used.
"""

from pathlib import Path

__version__ = "0.1.0"

PACKAGE = Path(__file__).parent
_CHECKOUT = PACKAGE.parent
if (_CHECKOUT / "conf" / "config.yaml").is_file():
    __path__.append(str(_CHECKOUT))  # its conf/ and models/ belong to this code, whatever else is installed
