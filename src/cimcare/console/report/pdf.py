"""The report as PDF, for who has to hand it in.

ReportLab makes it, of its own fonts: Latin letters with their accents are shown, others as empty boxes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape
from io import BytesIO

from reportlab.graphics.shapes import Drawing, Line, PolyLine, Rect, String
from reportlab.lib.colors import HexColor, white
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from cimcare.console.rendering import show_grouped, show_instant, show_lasting
from cimcare.exchange.ledger import Account
from cimcare.hub.operation.aftermath import Report
from cimcare.systems.oms.afterwards import EstimateErrors
from cimcare.systems.oms.indices import Indices
from cimcare.systems.oms.kinds import OPEN

__all__ = ["render_pdf"]

_INK, _SOFT, _LINE, _BRAND, _BAD = (HexColor(one) for one in ("#16242a", "#54646b", "#d7e0e2", "#12545c", "#a3211b"))
_PLAIN, _BOLD = "Vera", "VeraBd"
_LONGEST = 160
_WIDTH = landscape(A4)[0] - 30 * mm - 12


def render_pdf(report: Report) -> bytes:
    """The report as one PDF document."""
    for name in (_PLAIN, _BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    out = BytesIO()
    title = f"After-action report, {show_instant(report.since)} to {show_instant(report.until)}"
    document = SimpleDocTemplate(
        out,
        pagesize=landscape(A4),
        leftMargin=15 * mm,
        rightMargin=15 * mm,
        topMargin=14 * mm,
        bottomMargin=14 * mm,
        title=title,
        author="cimcare",
        creator="cimcare",
    )
    document.build(_story(report), onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.setFont(_PLAIN, 7)
    canvas.setFillColor(_SOFT)
    canvas.drawString(15 * mm, 8 * mm, document.title)
    canvas.drawRightString(landscape(A4)[0] - 15 * mm, 8 * mm, str(canvas.getPageNumber()))


def _text(size: float, *, bold: bool = False, soft: bool = False) -> ParagraphStyle:
    return ParagraphStyle(
        f"{size}{bold}{soft}",
        fontName=_BOLD if bold else _PLAIN,
        fontSize=size,
        leading=size * 1.35,
        textColor=_SOFT if soft else _INK,
        splitLongWords=True,
    )


def _said(text: str, size: float = 8, *, bold: bool = False, soft: bool = False) -> Paragraph:
    shown = text if len(text) <= _LONGEST * 4 else f"{text[: _LONGEST * 4]}…"
    return Paragraph(escape(shown, quote=False), _text(size, bold=bold, soft=soft))


def _story(report: Report) -> list[Flowable]:
    story: list[Flowable] = [
        _said("After-action report", 17, bold=True),
        _said(
            f"{show_instant(report.since)} to {show_instant(report.until)}, made {show_instant(report.made_at)}. "
            f"Counts of the ledger are of the whole hours from {show_instant(report.first_hour)} to "
            f"{show_instant(report.last_hour)}.",
            soft=True,
        ),
        Spacer(1, 4 * mm),
        _figures(report),
    ]
    parts: Sequence[tuple[str, Flowable | None]] = (
        ("How it came in", _curve(report)),
        ("Messages by partner", _partners(report)),
        ("How long it took", _times(report)),
        ("Reliability", _reliability(report)),
        ("Restoration times", _errors(report)),
        ("Largest incidents", _incidents(report)),
        ("Hazards", _hazards(report)),
        ("Notices to customers", _table(("State", "Notices"), [(state, str(n)) for state, n in report.notices])),
        ("Dead letters", _dead(report)),
        ("Alarms", _alarms(report)),
    )
    for title, part in parts:
        if part is not None:
            story += [Spacer(1, 5 * mm), _said(title, 11, bold=True), Spacer(1, 1.5 * mm), part]
    if report.unsaid:
        story += [Spacer(1, 5 * mm), _said("Not known", 11, bold=True)]
        story += [_said(f"– {one}") for one in report.unsaid]
    return story


def _figures(report: Report) -> Flowable:
    peak = "not kept" if report.peak is None else show_grouped(report.peak)
    figures = (
        ("Offered", show_grouped(report.incoming.offered)),
        ("Answered", show_grouped(report.incoming.done)),
        ("Refused", show_grouped(report.incoming.refused)),
        ("Repeats", show_grouped(report.incoming.repeats)),
        ("Delivered", show_grouped(report.outgoing.done)),
        ("Lost", show_grouped(report.lost)),
        ("Incidents", show_grouped(report.count)),
        ("Most out at once", peak),
    )
    table = LongTable(
        [[_said(name, 7, soft=True) for name, _ in figures], [_said(one, 14, bold=True) for _, one in figures]],
        colWidths=[_WIDTH / len(figures)] * len(figures),
    )
    table.setStyle(TableStyle([("BOX", (0, 0), (-1, -1), 0.6, _LINE), ("BOTTOMPADDING", (0, 1), (-1, 1), 6)]))
    return table


def _curve(report: Report) -> Flowable | None:
    known = [bar for bar in report.bars if bar.received is not None]
    if not known:
        return None
    height, most = 34 * mm, max(1, *(bar.received or 0 for bar in known))
    most_out = max((bar.customers or 0 for bar in known), default=0)
    drawing = Drawing(_WIDTH, height + 14)
    wide = _WIDTH / len(report.bars)
    line: list[float] = []
    for place, bar in enumerate(report.bars):
        if bar.received is None:
            continue
        tall = height * bar.received / most
        drawing.add(Rect(place * wide + 0.1 * wide, 12, wide * 0.8, max(tall, 0.5), fillColor=_BRAND, strokeColor=None))
        if most_out and bar.customers is not None:
            line += [(place + 0.5) * wide, 12 + height * bar.customers / most_out]
    drawing.add(Line(0, 12, _WIDTH, 12, strokeColor=_LINE))
    if len(line) > 2:
        drawing.add(PolyLine(line, strokeColor=_BAD, strokeWidth=1.2))
    words = f"bars: messages in, at most {show_grouped(most)} in {show_lasting(report.width)}"
    if most_out:
        words += f"; line: customers out, at most {show_grouped(most_out)}"
    for x, anchor, text in (
        (0, "start", show_instant(report.since)),
        (_WIDTH / 2, "middle", words),
        (_WIDTH, "end", show_instant(report.until)),
    ):
        drawing.add(String(x, 2, text, fontName=_PLAIN, fontSize=7, fillColor=_SOFT, textAnchor=anchor))
    return drawing


def _partners(report: Report) -> Flowable | None:
    head = ("Partner", "Way", "Offered", "Done", "Refused", "Repeats", "Given up", "Waiting", "Missing")
    ways = {Account.IN: "in", Account.OUT: "out"}
    rows = [
        (one.partner or "(no Source)", ways[one.account], *map(str, _counts(one)))
        for one in (*report.partners, report.incoming, report.outgoing)
    ]
    rows[-2:] = [("all", "in", *rows[-2][2:]), ("all", "out", *rows[-1][2:])]
    return _table(head, rows) if report.partners else None


def _counts(one: object) -> tuple[int, ...]:
    return tuple(getattr(one, name) for name in ("offered", "done", "refused", "repeats", "dead", "waiting", "missing"))


def _times(report: Report) -> Flowable | None:
    rows = []
    if report.answers is not None:
        rows.append(("answers of systems that were asked", report.answers, ""))
    rows += [(f"deliveries to {one.partner}", one.spread, f"{one.retried:.0%}") for one in report.deliveries]
    shown = [
        (name, str(one.count), f"{one.middle:.3f} s", f"{one.most:.3f} s", f"{one.worst:.3f} s", retried)
        for name, one, retried in rows
    ]
    return _table(("Of", "Drawn", "Half within", "19 of 20 within", "Longest", "Several attempts"), shown)


def _reliability(report: Report) -> Flowable | None:
    rows = [
        (name, *_indices(one))
        for name, one in (("unplanned", report.unplanned), ("planned", report.planned))
        if one is not None
    ]
    return _table(("Interruptions", "SAIDI", "SAIFI", "CAIDI", "MAIFI", "Customers served"), rows)


def _indices(one: Indices) -> tuple[str, ...]:
    caidi = "–" if one.caidi is None else f"{one.caidi:.1f} min"
    return f"{one.saidi:.3f} min", f"{one.saifi:.4f}", caidi, f"{one.maifi:.4f}", show_grouped(one.customers)


def _errors(report: Report) -> Flowable | None:
    rows = [(name, *_error(one)) for name, one in (("first", report.first_error), ("last", report.last_error))]
    return _table(("Estimate told", "Incidents", "Off by, on average", "Too late by", "Within half an hour"), rows)


def _error(one: EstimateErrors) -> tuple[str, ...]:
    if one.distance is None or one.bias is None or one.near is None:
        return "0", "–", "–", "–"
    return str(one.count), f"{one.distance:.1f} min", f"{one.bias:+.1f} min", f"{one.near:.0%}"


def _incidents(report: Report) -> Flowable | None:
    head = ("Where", "Began", "Restored", "Customers", "Customer minutes", "First estimate", "Last estimate", "Changes")
    rows = [
        (
            one.where,
            show_instant(one.began_at),
            _or_dash(one.restored_at),
            show_grouped(one.customers),
            show_grouped(one.customer_minutes),
            _minutes(one.first_error),
            _minutes(one.last_error),
            str(one.changes),
        )
        for one in report.incidents
    ]
    return _table(head, rows)


def _hazards(report: Report) -> Flowable | None:
    rows = [
        (
            one.where,
            ", ".join(one.hazards),
            show_instant(one.known_at),
            _or_dash(one.first_act_at),
            _after(one.acted_after, one.state),
        )
        for one in report.hazards
    ]
    return _table(("Where", "Hazard", "Known", "First act", "After"), rows)


def _dead(report: Report) -> Flowable | None:
    rows = [
        (str(one.number), one.partner, f"{one.verb} {one.noun}", show_instant(one.given_up_at), one.reason[:_LONGEST])
        for one in report.dead
    ]
    return _table(("Delivery", "Partner", "Message", "Given up", "Why"), rows)


def _alarms(report: Report) -> Flowable | None:
    rows = [
        (one.level.value, one.name.value, one.partner, show_instant(one.since), one.found[:_LONGEST])
        for one in report.alarms
    ]
    return _table(("Level", "Alarm", "Of", "Since", "Found"), rows)


def _or_dash(at: datetime | None) -> str:
    return "–" if at is None else show_instant(at)


def _minutes(error: float | None) -> str:
    return "–" if error is None else f"{error:+.0f} min"


def _after(time: timedelta | None, state: str) -> str:
    if time is None:
        return "nobody yet" if state == OPEN else state
    return show_lasting(time)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Flowable | None:
    """A table that goes on over pages, its head on each; None without rows."""
    if not rows:
        return None
    longest = [max(len(str(row[at])) for row in (head, *rows)) for at in range(len(head))]
    weights = [min(max(one, 6), 42) for one in longest]
    table = LongTable(
        [[_said(one, 7, soft=True) for one in head], *([_said(one, 7.5) for one in row] for row in rows)],
        colWidths=[_WIDTH * one / sum(weights) for one in weights],
        repeatRows=1,
    )
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                ("ROWBACKGROUNDS", (0, 0), (-1, -1), [white]),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ]
        )
    )
    return table
