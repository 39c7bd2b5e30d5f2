"""The report of a storm as one page of HTML: plots as inline SVG, no script, light and dark. Pure."""

from collections.abc import Callable, Sequence
from html import escape

from cimcare import __version__
from cimcare.storm.plots import Series, draw_bars, draw_lines
from cimcare.storm.result import Criterion, GroupResult, Minute, Result

__all__ = ["render_page"]

_TITLES = {"hazard": "Hazards", "ticket": "Tickets", "question": "Questions", "other": "Other"}
_MARKS = {True: ("yes", "met"), False: ("NO", "missed"), None: ("not told", "unknown")}
_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1d2430;--soft:#5b6675;--line:#d9dee6;--card:#f6f8fa;
--a:#1f6feb;--b:#2da44e;--c:#d1242f;--d:#bf8700;--e:#8250df;--f:#0a7ea4}
@media(prefers-color-scheme:dark){:root{--ground:#12161c;--ink:#e3e8ef;--soft:#98a3b3;--line:#303844;--card:#1a2029;
--a:#6cb0ff;--b:#57c774;--c:#ff7b72;--d:#e3b341;--e:#c297ff;--f:#56c7e8}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;background:var(--ground);color:var(--ink);margin:0}
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.6rem;margin:0 0 .25rem;line-height:1.25}
h2{font-size:1.1rem;margin:2.2rem 0 .6rem}p{margin:.4rem 0}.soft,caption,figcaption{color:var(--soft)}
.banner{border-radius:.5rem;padding:.7rem 1rem;margin:1.2rem 0;font-weight:600;border:1px solid;border-left-width:.5rem}
.met{color:var(--b)}.missed{color:var(--c)}.unknown{color:var(--soft)}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}caption{text-align:left;padding-bottom:.3rem}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child,td:first-child,.left td,.left th{text-align:left}thead th{color:var(--soft);font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(27rem,100%),1fr));gap:1rem}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem .9rem .5rem}
figcaption{font-size:.85rem;margin-top:.3rem}figure h3{font-size:.95rem;margin:0 0 .3rem}
svg{display:block;width:100%;height:auto}
.key{display:flex;flex-wrap:wrap;gap:.2rem .9rem;font-size:.8rem;color:var(--soft)}
.key i{display:inline-block;width:.75rem;height:.75rem;border-radius:.15rem;margin-right:.35rem;vertical-align:-.05rem}
.axis{stroke:var(--line)}.label{fill:var(--soft);font:11px system-ui,sans-serif}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media print{figure{break-inside:avoid}}
"""


def render_page(result: Result) -> str:
    """The whole page."""
    fine = "The answer is yes" if result.is_fine else "The answer is no"
    mark = "met" if result.is_fine else "missed"
    heading = escape(result.title)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body><main>
<h1>{heading}</h1>
<p class="soft">{_subtitle(result)}</p>
<p class="banner {mark}">{fine}: {_summary(result)}</p>
<h2>Verdict</h2>{_verdict(result.verdict)}
<h2>Minute by minute</h2><div class="plots">{"".join(_plots(result))}</div>
<h2>In numbers</h2>{_groups(result.groups)}
{_reasons(result)}
<h2>Ledger at both ends</h2>{_ledger(result)}
<h2>How it was played</h2>{_facts(result)}
</main></body></html>
"""


def _subtitle(result: Result) -> str:
    began = f"{result.began_at:%Y-%m-%d %H:%M} UTC"
    return f"{result.tickets:,} tickets, {result.planned:,} messages, to {escape(result.address)}, {began}"


def _summary(result: Result) -> str:
    tickets = [group for group in result.groups if group.name in ("hazard", "ticket")]
    taken, offered = sum(one.accepted for one in tickets), sum(one.offered for one in tickets)
    words = [f"{taken:,} of {offered:,} tickets taken"]
    if result.proof is not None and result.proof.complete:
        words.append(f"{result.proof.lost} lost, {result.proof.doubled} doubled")
    if result.interrupted:
        words.append("interrupted")
    return ", ".join(words)


def _verdict(verdict: Sequence[Criterion]) -> str:
    rows = "".join(
        f'<tr><td class="{_MARKS[one.is_met][1]}"><strong>{_MARKS[one.is_met][0]}</strong></td>'
        f"<td>{escape(one.name)}</td><td>{escape(one.found)}</td><td>{escape(one.wanted)}</td></tr>"
        for one in verdict
    )
    head = "<tr><th></th><th>What</th><th>Found</th><th>Wanted</th></tr>"
    return f'<div class="scroll"><table class="left"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


# -------------------------------------------------------------------------------------------------------------- plots


def _plots(result: Result) -> list[str]:
    minutes = result.minutes

    def tickets(pick: Callable[[GroupResult], int]) -> list[float]:
        return [
            float(sum(pick(one) for one in minute.groups if one.name in ("hazard", "ticket"))) for minute in minutes
        ]

    def everything(pick: Callable[[GroupResult], int]) -> list[float]:
        return [float(sum(pick(one) for one in minute.groups)) for minute in minutes]

    ends: list[tuple[str, str, Callable[[GroupResult], int]]] = [
        ("accepted", "b", lambda one: one.accepted),
        ("refused as one too many", "d", lambda one: one.busy),
        ("refused otherwise", "e", lambda one: one.refused),
        ("no answer", "c", lambda one: one.unanswered),
    ]
    plots = [
        _figure(
            "Tickets offered, and what became of them",
            draw_bars([Series(name, colour, tickets(pick)) for name, colour, pick in ends]),
            "Each minute by the instant at which the call came, not by that of the answer.",
        ),
        _figure(
            "All messages",
            draw_bars([Series(name, colour, everything(pick)) for name, colour, pick in ends]),
            "Questions, call-backs and meters included.",
        ),
        _figure(
            "Latency of tickets",
            draw_lines(
                [
                    Series("p50", "a", _latencies(minutes, "ticket", "p50")),
                    Series("p90", "f", _latencies(minutes, "ticket", "p90")),
                    Series("p99", "e", _latencies(minutes, "ticket", "p99")),
                    Series("slowest", "c", _latencies(minutes, "ticket", "most")),
                ],
                unit="s",
            ),
            "From the instant of the call to the answer; waiting in the generator counts.",
        ),
        _figure(
            "Latency of hazards",
            draw_lines(
                [
                    Series("p50", "a", _latencies(minutes, "hazard", "p50")),
                    Series("slowest", "c", _latencies(minutes, "hazard", "most")),
                ],
                unit="s",
                mark=result.hazard_seconds,
            ),
            f"The line is at {result.hazard_seconds:g} s, within which each has to be acknowledged.",
        ),
    ]
    if any(group.offered for group in result.groups if group.name == "question"):
        plots.append(
            _figure(
                "Latency of questions",
                draw_lines(
                    [
                        Series("p50", "a", _latencies(minutes, "question", "p50")),
                        Series("p99", "e", _latencies(minutes, "question", "p99")),
                        Series("slowest", "c", _latencies(minutes, "question", "most")),
                    ],
                    unit="s",
                ),
                "How far is it? Asked about tickets of this storm.",
            )
        )
    late = [float(minute.late) for minute in minutes]
    plots.append(
        _figure(
            "Started late",
            draw_bars([Series(f"later than {result.late_beyond_seconds:g} s", "d", late)]),
            "Messages that the generator began behind their instant: it, or its connections, did not keep up.",
        )
    )
    told = [float(minute.estimates_told - minute.estimates_changed) for minute in minutes]
    changed = [float(minute.estimates_changed) for minute in minutes]
    plots.append(
        _figure(
            "Restoration times told, and told otherwise than before",
            draw_bars([Series("as before, or for the first time", "a", told), Series("another one", "c", changed)]),
            "Churn: the same ticket was told another time than when it was asked about last."
            if result.estimates_told
            else "Nobody was told a time: no answer held one.",
        )
    )
    return plots


def _latencies(minutes: Sequence[Minute], name: str, percentile: str) -> list[float | None]:
    found: list[float | None] = []
    for minute in minutes:
        group = next(one for one in minute.groups if one.name == name)
        found.append(getattr(group.latency, percentile) if group.latency.count else None)
    return found


def _figure(title: str, plot: str, caption: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


# ------------------------------------------------------------------------------------------------------------- tables


def _groups(groups: Sequence[GroupResult]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "",
            "Offered",
            "Accepted",
            "Too many",
            "Refused",
            "No answer",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "Slowest",
        )
    )
    rows = "".join(
        f"<tr><td>{_TITLES[one.name]}</td>"
        + "".join(f"<td>{n:,}</td>" for n in (one.offered, one.accepted, one.busy, one.refused, one.unanswered))
        + "".join(
            f"<td>{_span(span) if one.latency.count else '-'}</td>"
            for span in (one.latency.p50, one.latency.p90, one.latency.p99, one.latency.p999, one.latency.most)
        )
        + "</tr>"
        for one in groups
        if one.offered
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _reasons(result: Result) -> str:
    if not result.reasons:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.item.replace('_', ' '))}</td><td>{escape(one.reason)}</td><td>{one.count:,}</td></tr>"
        for one in result.reasons
    )
    head = "<tr><th>Message</th><th>Reason</th><th>How often</th></tr>"
    table = f'<table class="left"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f'<h2>Why messages were not taken</h2><div class="scroll">{table}</div>'


def _ledger(result: Result) -> str:
    answered = sum(group.accepted + group.refused for group in result.groups)
    busy = sum(group.busy for group in result.groups)
    silent = sum(group.unanswered for group in result.groups)
    ours = (
        f"<p>Our end: {result.sent:,} sent, {answered:,} answered, {busy:,} refused as one too many (a hub keeps and "
        f"counts none of them), {silent:,} without an answer.</p>"
    )
    if not result.ledger:
        return f'{ours}<p class="soft">The other side shows no ledger.</p>{_ends(result)}'
    names = ("received", "delivered", "waiting", "refused", "dead", "repeats", "missing")
    head = "<th>Partner</th><th>Account</th>" + "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{escape(line.partner or '-')}</td><td>{escape(line.account)}</td>"
        + "".join(f"<td>{getattr(line, name):,}</td>" for name in names)
        + "</tr>"
        for line in result.ledger
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    words = (
        '<p class="soft">received = delivered + waiting + refused + dead + repeats; missing is what is left over.</p>'
    )
    return f"{ours}{table}{words}{_ends(result)}"


def _ends(result: Result) -> str:
    if not result.partners:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.behaviour)}</td><td>{one.taken:,}</td><td>{one.again:,}</td></tr>"
        for one in result.partners
    )
    head = "<tr><th>Simulated partner</th><th>Behaviour</th><th>Took</th><th>Was sent again</th></tr>"
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _facts(result: Result) -> str:
    rate = result.sent / result.seconds if result.seconds else 0.0
    facts = (
        ("Profile", f"{result.profile}, {result.profile_digest}"),
        ("Scale and seed", f"{result.scale:g}, {result.seed}"),
        ("Clock of the storm", f"from {result.start:%Y-%m-%d %H:%M:%S} UTC on, {result.speed:g} times as fast"),
        ("Took", f"{result.seconds:,.1f} s; {rate:,.0f} requests a second on average"),
        ("Generator", f"{result.processor_seconds:,.1f} s of a processor, up to {result.connections} connections"),
        (
            "Begun late",
            f"{result.late:,} by more than {result.late_beyond_seconds:g} s; half of all within "
            f"{_span(result.starts.p50)}, 99 % within {_span(result.starts.p99)}, the latest "
            f"{_span(result.starts.most)}",
        ),
        ("Sent again", f"{result.sent_again:,} because of a refusal or no answer"),
        ("Form", result.form),
        ("Made by", f"cimcare {__version__}"),
        *(("Note", note) for note in result.notes),
    )
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts) + "</dl>"


def _span(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:,.2f} s"
