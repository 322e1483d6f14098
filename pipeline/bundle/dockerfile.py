"""The bundle's ``Dockerfile``, written from its manifest: an image of its server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCKERFILE = "Dockerfile"
_OLDEST_PYTHON = "3.11"
"""Where the record doesn't tell: the oldest that slimline runs on."""
_DOCKERFILE = """\
# docker build -t model .
# docker run --rm --read-only -p 8080:8080 --cpus 1 model
FROM python:{python}-slim
WORKDIR /bundle
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY --chown=65534:65534 . ./
USER 65534:65534
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python", "-c", \
"from http.client import HTTPConnection as To; to = To('127.0.0.1', 8080, timeout=2); to.request('GET', '/health'); \
raise SystemExit(to.getresponse().status != 200)"]
ENTRYPOINT ["python", "serve.py", "--host", "0.0.0.0"]
"""


def dockerfile(manifest: Mapping[str, Any]) -> str:
    """An image that serves the model, on the Python that the figures were taken with."""
    major, minor, *_ = (manifest["measured"]["machine"].get("python") or _OLDEST_PYTHON).split(".")
    return _DOCKERFILE.format(python=f"{major}.{minor}")
