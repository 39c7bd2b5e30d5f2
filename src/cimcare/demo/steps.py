"""What a played exchange leaves behind: steps, figures, and whether all went as expected."""

import msgspec

__all__ = ["Demo", "Exchange", "Step"]


class Step(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message of an exchange.

    `kind` is `request`, `event` (sent by the player) or `consequent event` (published by the hub because of the step
    before). `service` is the SOAP service and version that carried it. `expected` is what the reply had to be.
    """

    sender: str
    receiver: str
    verb: str
    noun: str
    kind: str
    why: str
    service: str
    message_id: str
    correlation_id: str = ""
    result: str = ""
    codes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    objects: int = 0
    expected: str = ""
    detail: str = ""
    stored_as: int | None = None

    @property
    def went_as_expected(self) -> bool:
        """Whether the reply was the expected one and the message is found stored."""
        got = " ".join([self.result, *self.codes[:1]]) if self.expected.count(" ") else self.result
        return self.stored_as is not None and got == self.expected


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange of one figure."""

    figure: int
    title: str
    clause: str
    steps: tuple[Step, ...]


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """All exchanges."""

    address: str
    exchanges: tuple[Exchange, ...]

    @property
    def sent(self) -> tuple[Step, ...]:
        """Steps that the player sent."""
        return tuple(step for exchange in self.exchanges for step in exchange.steps if step.kind != "consequent event")

    @property
    def went_as_expected(self) -> bool:
        """Whether every step had the expected reply and every message sent is found stored."""
        return all(step.went_as_expected for exchange in self.exchanges for step in exchange.steps)

    def as_data(self) -> dict[str, object]:
        """The same for a program to read."""
        return {
            "address": self.address,
            "ok": self.went_as_expected,
            "messagesSent": len(self.sent),
            "messagesFoundStored": sum(1 for step in self.sent if step.stored_as is not None),
            "exchanges": [
                {
                    "figure": exchange.figure,
                    "title": exchange.title,
                    "clause": exchange.clause,
                    "steps": [{**msgspec.to_builtins(step), "ok": step.went_as_expected} for step in exchange.steps],
                }
                for exchange in self.exchanges
            ],
        }
