"""The picture of the README: the first screen of a run's report.html, as a browser shows it.

    python benchmarks/page_picture.py outputs/latest/report.html docs/report.png

Needs the extra ``test`` and a chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1400, 900


def main(page: Path, picture: Path) -> None:
    """Write the first screen of a page as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        shown.goto(page.resolve().as_uri())
        shown.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
