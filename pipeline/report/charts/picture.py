"""Draws a chart as SVG when the report is written, so that mail, print and pages without scripts have it, too."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.report.charts.drawing import NARROW_PX, TIP, WIDE_PX, Panel
from pipeline.terminal.screen import printable

_SVG = "http://www.w3.org/2000/svg"
_LONG = re.compile(r"-?\d+\.\d{2,}")
_SILENT = ("role", "aria-roledescription", "aria-label", "aria-hidden", "pointer-events", "font-family")
"""What Vega says of each mark: the page says it of the whole chart, and has its own font."""


def pictured(panel: Panel) -> Panel:
    """The chart with its two images."""
    narrow = panel.spec if panel.narrow is None else panel.narrow
    return replace(panel, images=(_image(panel.spec, WIDE_PX), _image(narrow, NARROW_PX)))


def _image(spec: Mapping[str, Any], width: int) -> str:
    import vl_convert

    root = ET.fromstring(vl_convert.vegalite_to_svg(_printable({**spec, "width": width})))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("display") == "none" or (child.get("class") == "background" and child.get("stroke") is None):
                parent.remove(child)
    for element in root.iter():
        _tell(element)
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _tell(element: ET.Element) -> None:
    """Give a mark the text that it shows under the pointer, and round its places to a tenth of a pixel."""
    said = element.get("aria-label", "")
    for name in _SILENT:
        element.attrib.pop(name, None)
    for name, value in element.attrib.items():
        if name in ("d", "transform", "x2", "y2"):
            element.set(name, _LONG.sub(lambda found: f"{float(found.group()):.1f}", value))
    if said.startswith(TIP):
        title = ET.Element(f"{{{_SVG}}}title")
        title.text = said.removeprefix(TIP)
        element.insert(0, title)


def _printable(value: Any) -> Any:
    """The description with no character that XML lacks, at any depth."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(name): _printable(item) for name, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value
