"""The report as a file that needs nothing else: its style is in it, and it leads nowhere."""

from importlib.resources import files

from cimcare.console.rendering import Rendering
from cimcare.hub.operation.aftermath import Report

__all__ = ["render_document"]


def render_document(report: Report) -> str:
    """The report as one HTML document."""
    static = files("cimcare.console") / "static"
    style = "\n".join((static / name).read_text() for name in ("console.css", "report.css"))
    return Rendering().fragment("report/document.html", {"report": report, "style": style, "is_linked": False})
