"""The report as a file that needs nothing else: its style is in it, and it leads nowhere."""

from importlib.resources import files

from cimcare.console.curves import Curve, curve_of_bars
from cimcare.console.rendering import Rendering
from cimcare.hub.operation.aftermath import Report

__all__ = ["curve_of", "render_document"]


def curve_of(report: Report) -> Curve:
    """What came in over the span."""
    return curve_of_bars(
        report.bars,
        report.width,
        until=report.until,
        href=lambda at: f"/console/history?at={min(at, report.until):%Y-%m-%dT%H:%M:%SZ}",
        zoom="/console/report?",
    )


def render_document(report: Report) -> str:
    """The report as one HTML document."""
    static = files("cimcare.console") / "static"
    style = "\n".join((static / name).read_text() for name in ("console.css", "curve.css", "report.css"))
    values = {"report": report, "curve": curve_of(report), "style": style, "is_linked": False}
    return Rendering().fragment("report/document.html", values)
