"""The form by which a call is taken: what it offers, and the call that it means."""

from cimcare.console.frame import Sent
from cimcare.exchange.notices import ContactKind
from cimcare.model.enumerations import NotificationTriggerKind, TroubleReportingKind
from cimcare.systems.cis.intake import Call, Wanted

__all__ = ["DANGERS", "TRIGGERS", "TROUBLES", "WAYS", "call_in"]

DANGERS = (
    ("wireDown", "Wire down", "1"),
    ("fire", "Fire", "2"),
    ("gas", "Smell of gas", "3"),
    ("electricShock", "Somebody hurt", "4"),
)
"""Dangers that have a button: code, name, and the key that sets them."""

TROUBLES = (
    ("noPower", "No power"),
    ("partialPower", "Part of the house"),
    ("flicker", "Flickering"),
    ("lowVoltage", "Lights are dim"),
    ("highVoltage", "Lights are too bright"),
    ("other", "Something else"),
)
"""What may be wrong: code and name."""

TRIGGERS = (
    (NotificationTriggerKind.powerRestored, "when supply is back"),
    (NotificationTriggerKind.initialEtr, "when a time is known"),
    (NotificationTriggerKind.etrChange, "when the time changes"),
    (NotificationTriggerKind.informDispatched, "when a crew is sent"),
)
"""Of what a caller may want to be told."""

WAYS = ((ContactKind.PHONE, "call"), (ContactKind.SMS, "text message"), (ContactKind.EMAIL, "e-mail"))
"""How."""


def call_in(sent: Sent) -> Call:
    """The call that a form means: of the premises that were chosen, failing that of whoever was typed."""
    trigger, contact = sent.one("trigger"), sent.one("contact")
    notify = None
    if trigger in frozenset(NotificationTriggerKind) and contact:
        way = sent.one("way") or ContactKind.PHONE
        notify = Wanted(trigger=NotificationTriggerKind(trigger), contact_type=way, contact_value=contact)
    premises = sent.one("premises")
    return Call(
        premises=premises,
        caller="" if premises else sent.one("q"),
        trouble=sent.one("trouble"),
        hazards=tuple(sent.all("hazard")),
        comment=sent.one("comment"),
        multiple_premises=True if sent.one("neighbours") else None,
        reporting_kind=TroubleReportingKind.call,
        notify=notify,
    )
