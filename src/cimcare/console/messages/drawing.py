"""Draws a conversation: as SVG that stands alone or in a page, and as text for Mermaid."""

from html import escape

from cimcare.console.messages.conversation import Arrow, ArrowKind, Conversation
from cimcare.console.rendering import show_clock
from cimcare.exchange.log import Outcome

__all__ = ["STYLE", "draw_mermaid", "draw_svg"]

_LEFT, _TOP, _LANE, _ROW, _HEAD = 104, 16, 210, 46, 44

STYLE = """
.cv{font:13px system-ui,sans-serif;fill:#1d2a30}.cv .lane{stroke:#b9c4c9;stroke-dasharray:2 4}
.cv .box{fill:#eef3f4;stroke:#b9c4c9}.cv .kind,.cv .at{fill:#57666d;font-size:11px}
.cv .at{font-variant-numeric:tabular-nums}.cv .line{stroke:#1f6f78;stroke-width:1.6;fill:none}
.cv .tip{fill:#1f6f78}.cv .reply .line{stroke-dasharray:6 4}.cv .bad .line{stroke:#b3261e}.cv .bad .tip{fill:#b3261e}
.cv .bad text{fill:#b3261e}.cv .waiting .line{stroke:#8a5a00;stroke-dasharray:2 5}.cv .waiting .tip{fill:#8a5a00}
.cv .waiting text{fill:#8a5a00}.cv .at{fill:#57666d!important}
@media(prefers-color-scheme:dark){.cv{fill:#dde6e9}.cv .box{fill:#1c272c;stroke:#3c4a51}.cv .lane{stroke:#3c4a51}
.cv .line{stroke:#6cc5cf}.cv .tip{fill:#6cc5cf}.cv .bad .line{stroke:#ff8a80}.cv .bad .tip,.cv .bad text{fill:#ff8a80}
.cv .waiting .line{stroke:#f0b94d}.cv .waiting .tip,.cv .waiting text{fill:#f0b94d}
.cv .kind,.cv .at{fill:#9fb0b7!important}}
"""
"""For a drawing that stands alone; in a page the style sheet of the console has the same classes."""


def draw_svg(conversation: Conversation, *, alone: bool = False) -> str:
    """The drawing. With `alone` it has its style in it and no links, to be kept as a file."""
    lanes = {lane.name: _LEFT + _LANE // 2 + index * _LANE for index, lane in enumerate(conversation.lanes)}
    width = _LEFT + _LANE * max(len(lanes), 1)
    height = _TOP + _HEAD + _ROW * (len(conversation.arrows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cv" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="{"img" if alone else "group"}" aria-labelledby="cv-title">'
        f'<title id="cv-title">{escape(_title_of(conversation))}</title>'
    ]
    if alone:
        parts.append(f"<style>{STYLE}</style>")
    for lane in conversation.lanes:
        x = lanes[lane.name]
        parts.append(
            f'<line class="lane" x1="{x}" y1="{_TOP + _HEAD}" x2="{x}" y2="{height - 8}"/>'
            f'<rect class="box" x="{x - 84}" y="{_TOP}" width="168" height="{_HEAD - 4}" rx="6"/>'
            f'<text x="{x}" y="{_TOP + 17}" text-anchor="middle">{escape(_short(lane.name, 22))}</text>'
            f'<text class="kind" x="{x}" y="{_TOP + 32}" text-anchor="middle">{escape(lane.kind)}</text>'
        )
    for index, arrow in enumerate(conversation.arrows):
        parts.append(_draw_arrow(arrow, lanes, _TOP + _HEAD + _ROW * (index + 1) - 8, linked=not alone))
    parts.append("</svg>")
    return "".join(parts)


def _draw_arrow(arrow: Arrow, lanes: dict[str, int], y: int, *, linked: bool) -> str:
    start, end = lanes[arrow.sender], lanes[arrow.receiver]
    told = f"{arrow.verb} {arrow.noun}".strip()
    if arrow.outcome and arrow.kind is ArrowKind.REPLY:
        told = f"{told}: {arrow.outcome}{' ' + ', '.join(arrow.codes) if arrow.codes else ''}"
    if arrow.note:
        told = f"{told} ({arrow.note})"
    if start == end:
        path = f"M{start},{y - 10} h34 v10 h-28"
        tip, text_x, anchor = f"{start},{y} {start + 8},{y - 4} {start + 8},{y + 4}", start + 42, "start"
    else:
        way = 1 if end > start else -1
        path = f"M{start},{y} H{end - way * 6}"
        tip = f"{end},{y} {end - way * 9},{y - 5} {end - way * 9},{y + 5}"
        text_x, anchor = (start + end) // 2, "middle"
    room = 30 if start == end else max(abs(end - start) // 7, 26)
    body = (
        f'<text class="at" x="8" y="{y + 4}">{show_clock(arrow.at)}</text><path class="line" d="{path}"/>'
        f'<polygon class="tip" points="{tip}"/>'
        f'<text x="{text_x}" y="{y - 7 if anchor == "middle" else y}" text-anchor="{anchor}">'
        f"<title>{escape(told)}</title>{escape(_short(told, room))}</text>"
    )
    body = f'<g class="{_class_of(arrow)}">{body}</g>'
    address = _address_of(arrow)
    return f'<a href="{address}">{body}</a>' if linked and address else body


def _class_of(arrow: Arrow) -> str:
    names = [arrow.kind.value]
    if arrow.kind is ArrowKind.DEAD or arrow.outcome in (Outcome.FAILED, Outcome.FAULT):
        names.append("bad")
    return " ".join(names)


def _address_of(arrow: Arrow) -> str:
    return f"/console/messages/{arrow.sequence}" if arrow.sequence else ""


def draw_mermaid(conversation: Conversation) -> str:
    """The same as a sequence diagram in the language of Mermaid."""
    names = {lane.name: f"s{index}" for index, lane in enumerate(conversation.lanes)}
    lines = ["sequenceDiagram"]
    lines += [f"    participant {names[lane.name]} as {_plain(lane.name)}" for lane in conversation.lanes]
    for arrow in conversation.arrows:
        sign = {ArrowKind.REPLY: "-->>", ArrowKind.WAITING: "--)", ArrowKind.DEAD: "-x"}.get(arrow.kind, "->>")
        told = f"{show_clock(arrow.at)} {arrow.verb} {arrow.noun}".strip()
        if arrow.kind is ArrowKind.REPLY and arrow.outcome:
            told = f"{told}: {arrow.outcome}"
        if arrow.note:
            told = f"{told} ({arrow.note})"
        lines.append(f"    {names[arrow.sender]}{sign}{names[arrow.receiver]}: {_plain(told)}")
    return "\n".join(lines) + "\n"


def _title_of(conversation: Conversation) -> str:
    count = len(conversation.arrows)
    return f"Conversation {conversation.correlation}: {count} arrows between {len(conversation.lanes)} systems"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(text: str) -> str:
    """Without what Mermaid would read as its own: it has entity codes for that."""
    return "".join(f"#{ord(one)};" if one in '#;:<>"%' and one != ":" else one for one in " ".join(text.split()))
