"""Prints played exchanges as sequences: who, to whom, what, with which outcome."""

import click

from cimcare.demo.steps import Demo, Exchange, Step

__all__ = ["print_demo"]


def print_demo(demo: Demo) -> None:
    """Print all exchanges and the balance."""
    click.echo(f"Hub at {demo.address}: CIS, OMS, WMS and third party are built in.")
    for exchange in demo.exchanges:
        _print_exchange(exchange)
    stored = sum(1 for step in demo.sent if step.stored_as is not None)
    events = sum(len(exchange.steps) for exchange in demo.exchanges) - len(demo.sent)
    verdict = "every reply was the expected one" if demo.went_as_expected else "NOT every reply was the expected one"
    click.echo(
        f"\n{len(demo.sent)} messages sent over SOAP, {stored} found stored, {events} events followed; {verdict}."
    )


def _print_exchange(exchange: Exchange) -> None:
    click.echo(f"\nFigure {exchange.figure}: {exchange.title} ({exchange.clause})")
    for step in exchange.steps:
        _print_step(step)


def _print_step(step: Step) -> None:
    is_told = step.kind == "consequent event"
    arrow = "..>" if is_told else "-->"
    who = f"{step.sender} {arrow} {step.receiver}"
    what = f"{step.verb} {step.noun}"
    ids = " ".join(identity[:8] for identity in step.ids)
    if is_told:
        told = f": {step.why}" if step.why else ""
        click.echo(f"      {who:24} {what:30} event {ids}{told}")
        return
    codes = " ".join(dict.fromkeys(code for code in step.codes if code != "0.0"))
    outcome = f"{step.result}{' ' + codes if codes else ''}"
    found = f", {step.objects} found" if step.objects else ""
    mark = "" if step.went_as_expected else f"   <-- expected {step.expected}"
    click.echo(f"  {who:28} {what:30} {outcome}{found} {ids}{mark}")
    click.echo(f"      {step.why} [{step.service}; message {step.message_id[:8]}, kept as {step.stored_as}]")
    if step.detail and (step.result != "OK" or not step.went_as_expected):
        click.echo(f"      {step.detail[:300]}")
