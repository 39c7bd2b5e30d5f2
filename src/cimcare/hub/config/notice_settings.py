"""Settings of notices to customers, and the channels that they give.

A channel is there when its host or address is given. Kinds of contacts without one go to the call-back list.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from cimcare.exchange.notices import Channel, ContactKind
from cimcare.exchange.partners import Tls
from cimcare.exchange.ports import Clock
from cimcare.hub.config.clashes import find_wrong_address
from cimcare.hub.config.keys import described
from cimcare.systems.cis.contacts import find_zone
from cimcare.transport.gateways import SmsChannel, SmsGateway, WebhookChannel, WebhookGateway, check_template
from cimcare.transport.mail import MailChannel, MailSecurity, MailServer, is_mail_address
from cimcare.transport.webhook import parse_secrets

__all__ = ["NoticeSettings", "check_notices", "open_channels"]

_TEMPLATE = '{"to": "{to}", "text": "{text}", "reference": "{id}"}'
_KINDS = frozenset(ContactKind)


class MailSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notices by electronic mail."""

    host: Annotated[str, described("Server that takes mail by SMTP; empty for no notices by mail.")] = ""
    port: Annotated[int, described("Its port.", least=1, most=65535)] = 587
    security: Annotated[
        MailSecurity,
        described("TLS behind a plain greeting, TLS from the first byte, or none, which is for the same machine."),
    ] = MailSecurity.STARTTLS
    sender: Annotated[str, described("Address that notices are from, such as notices@utility.example.")] = ""
    user: Annotated[str, described("Name to log in with; empty for no log-in.")] = ""
    password_file: Annotated[str, described("File with the password; it is read for every notice.")] = ""
    ca_file: Annotated[
        str, described("File in PEM with the authorities that are trusted; empty for those of the machine.")
    ] = ""
    deadline_seconds: Annotated[
        float, described("How long one notice may take to be handed over.", unit="seconds", least=1, most=300)
    ] = 30.0


class SmsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notices as text messages, by a gateway that takes them over HTTP."""

    url: Annotated[str, described("Address that each text message is posted to; empty for none.")] = ""
    template: Annotated[
        str,
        described("Object in JSON that is posted; {to}, {text} and {id} stand for number, text and identifier."),
    ] = _TEMPLATE
    authorization_file: Annotated[
        str, described("File with the value of the header Authorization, such as Bearer and a token.")
    ] = ""
    ca_file: Annotated[
        str, described("File in PEM with the authorities that are trusted; empty for those of the machine.")
    ] = ""
    deadline_seconds: Annotated[
        float, described("How long one notice may take to be handed over.", unit="seconds", least=1, most=300)
    ] = 30.0


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notices by a webhook of the utility, such as a voice server or an app."""

    url: Annotated[str, described("Address that each notice is posted to as JSON; empty for none.")] = ""
    kinds: Annotated[
        tuple[str, ...],
        described(
            "Kinds of contacts that go there: phone, sms, email, other; no other channel gets them.", is_parted=True
        ),
    ] = ("phone",)
    secret_file: Annotated[
        str, described("File with the keys with which notices are signed, one a line, as for webhooks of partners.")
    ] = ""
    ca_file: Annotated[
        str, described("File in PEM with the authorities that are trusted; empty for those of the machine.")
    ] = ""
    deadline_seconds: Annotated[
        float, described("How long one notice may take to be handed over.", unit="seconds", least=1, most=300)
    ] = 30.0


class NoticeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Notices to customers."""

    time_zone: Annotated[
        str,
        described("Time zone of the utility, such as Europe/Berlin: of hours that customers allow, and of notices."),
    ] = "UTC"
    parallel: Annotated[int, described("Most notices of one process under way at once.", least=1, most=1000)] = 8
    smtp: MailSettings = MailSettings()
    sms: SmsSettings = SmsSettings()
    webhook: WebhookSettings = WebhookSettings()

    @property
    def lease(self) -> timedelta:
        """After how long a notice whose sender has not come back is unknown."""
        longest = max(self.smtp.deadline_seconds, self.sms.deadline_seconds, self.webhook.deadline_seconds)
        return timedelta(seconds=longest + 10)


Note = Callable[[str, str, str, str], None]
"""Told of a mistake: setting, code, what was found, what is accepted."""


def check_notices(settings: NoticeSettings, note: Note, *, files: bool) -> None:
    """What several of these settings must be together.

    Args:
        settings: They.
        note: Told of each mistake.
        files: Whether files are opened to see that they can be used.
    """
    if find_zone(settings.time_zone) is None:
        found = f"{settings.time_zone!r}, which this machine does not know"
        note("notices.time_zone", "SET-118", found, "a name of the IANA time zone database, such as Europe/Berlin")
    smtp, sms, webhook = settings.smtp, settings.sms, settings.webhook
    if smtp.host:
        if not is_mail_address(smtp.sender):
            note("notices.smtp.sender", "SET-116", f"{smtp.sender!r}", "the address that notices are from")
        if bool(smtp.user) != bool(smtp.password_file):
            note("notices.smtp.user", "SET-114", "one of user and password_file", "both, or neither")
    for name, url in (("notices.sms.url", sms.url), ("notices.webhook.url", webhook.url)):
        if url and (wrong := find_wrong_address(url)):
            note(name, "SET-107", wrong, "an address such as https://gateway.example/send")
    if wrong := check_template(sms.template):
        accepted = "an object in JSON whose texts have {to} and {text}"
        note("notices.sms.template", "SET-118", f"a template {wrong}", accepted)
    for kind in webhook.kinds:
        if kind not in _KINDS:
            note("notices.webhook.kinds", "SET-118", f"{kind!r}", f"some of {', '.join(sorted(_KINDS))}")
    if files:
        for name, file in (
            ("notices.smtp.password_file", smtp.password_file),
            ("notices.smtp.ca_file", smtp.ca_file),
            ("notices.sms.authorization_file", sms.authorization_file),
            ("notices.sms.ca_file", sms.ca_file),
            ("notices.webhook.secret_file", webhook.secret_file),
            ("notices.webhook.ca_file", webhook.ca_file),
        ):
            if file and (why := _why_not(file, is_keys=file == webhook.secret_file)):
                note(name, "SET-113", f"{file}: {why}", "a file that can be read")


def _why_not(file: str, *, is_keys: bool) -> str:
    try:
        text = Path(file).read_text("utf-8")
        if is_keys:
            parse_secrets(text)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)
    return ""


def open_channels(settings: NoticeSettings, clock: Clock) -> Mapping[ContactKind, Channel]:
    """The channel of each kind of contact that has one."""
    channels: dict[ContactKind, Channel] = {}
    smtp, sms, webhook = settings.smtp, settings.sms, settings.webhook
    if smtp.host:
        server = MailServer(
            host=smtp.host,
            port=smtp.port,
            sender=smtp.sender,
            security=smtp.security,
            user=smtp.user,
            password_file=smtp.password_file,
            ca_file=smtp.ca_file,
            deadline=timedelta(seconds=smtp.deadline_seconds),
        )
        channels[ContactKind.EMAIL] = MailChannel(server, clock)
    if sms.url:
        gateway = SmsGateway(
            url=sms.url,
            template=sms.template,
            authorization_file=sms.authorization_file,
            tls=Tls(ca_file=sms.ca_file),
            deadline=timedelta(seconds=sms.deadline_seconds),
        )
        channels[ContactKind.SMS] = SmsChannel(gateway)
    if webhook.url:
        hook = WebhookChannel(
            WebhookGateway(
                url=webhook.url,
                secret_file=webhook.secret_file,
                tls=Tls(ca_file=webhook.ca_file),
                deadline=timedelta(seconds=webhook.deadline_seconds),
            ),
            clock,
        )
        channels |= {ContactKind(kind): hook for kind in webhook.kinds}
    return channels
