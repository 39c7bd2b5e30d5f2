"""Findings, exceptions, and the one table of error codes.

A `Finding` is one result of a check: where, what was found, what would pass, which clause. An exception carries a
Finding when input was refused. The table says for each code how it leaves: reply code and level, SOAP fault, HTTP
status, and who has to act.

Source of reply codes: IEC 61968-100:2013 and the code list of IEC 61968-9:2013; the codes of this table are ours.
"""

import re
from enum import StrEnum
from typing import Literal

import msgspec

__all__ = ["ERRORS", "CimcareError", "ErrorRow", "Finding", "InputError", "Level", "finding_of"]


_BREAKS = re.compile(r"[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]")


class Level(StrEnum):
    """Severity of a finding, with the literals of Reply/Error/level."""

    INFORM = "INFORM"
    WARNING = "WARNING"
    FATAL = "FATAL"


class ErrorRow(msgspec.Struct, frozen=True):
    """One row of the error table.

    `reply_code` goes into Reply/Error/code, `soap` is the side at fault in a SOAP fault, `http` the status where the
    transport must speak for itself (a FAILED reply travels with 200 over SOAP), `acts` says who has to do something.
    """

    code: str
    title: str
    reply_code: str
    level: Level
    soap: Literal["Client", "Server"]
    http: int
    acts: Literal["sender", "operator", "nobody"]


def _row(
    code: str,
    title: str,
    reply_code: str,
    http: int = 400,
    *,
    level: Level = Level.FATAL,
    soap: Literal["Client", "Server"] = "Client",
    acts: Literal["sender", "operator", "nobody"] = "sender",
) -> ErrorRow:
    return ErrorRow(code, title, reply_code, level, soap, http, acts)


_TABLE = (
    # XML-1xx: input as bytes
    _row("XML-101", "not well-formed", "1.8"),
    _row("XML-102", "document type declaration", "1.8"),
    _row("XML-103", "too large", "3.1", 413),
    _row("XML-104", "nested too deeply", "3.1"),
    _row("XML-105", "too many attributes or namespaces", "3.1"),
    _row("XML-106", "wrong encoding", "1.8"),
    _row("XML-107", "decompressed content too large", "3.1", 413),
    _row("XML-108", "compressed content unreadable", "1.8"),
    _row("XML-109", "character that XML cannot carry", "1.8"),
    _row("XML-110", "too many elements", "3.1"),
    _row("XML-111", "namespace is no absolute URI", "1.8"),
    # ENV-1xx: envelope
    _row("ENV-101", "root is no message", "1.8"),
    _row("ENV-102", "header missing", "1.5"),
    _row("ENV-103", "verb missing", "1.5"),
    _row("ENV-104", "noun missing", "1.5"),
    _row("ENV-105", "unknown verb", "2.9"),
    _row("ENV-106", "unknown noun", "2.5"),
    _row("ENV-107", "namespace of another edition", "1.8"),
    _row("ENV-108", "body of the SOAP envelope holds no message", "1.8"),
    _row("ENV-109", "revision not supported", "1.9"),
    _row("ENV-110", "operation and message do not belong together", "2.9"),
    _row("ENV-111", "version of SOAP not served", "1.8"),
    _row("ENV-112", "block of the SOAP header not understood", "1.8"),
    # COD-1xx: values the model cannot hold
    _row("COD-101", "value cannot be read as its type", "1.8"),
    _row("COD-102", "value outside the range that can be held", "1.8"),
    _row("COD-103", "element with text has children", "1.8"),
    _row("COD-104", "mandatory element missing", "1.8"),
    _row("COD-105", "JSON does not fit", "1.8"),
    _row("COD-106", "parts that exclude one another", "1.8"),
    # SCH-1xx: schema
    _row("SCH-101", "element not expected here", "1.8"),
    _row("SCH-102", "element missing", "1.8"),
    _row("SCH-103", "value not of its type", "1.8"),
    _row("SCH-104", "value not in the enumeration", "1.8"),
    _row("SCH-105", "attribute not allowed or missing", "1.8"),
    _row("SCH-106", "no schema for this element", "1.8"),
    _row("SCH-107", "other breach of the schema", "1.8"),
    # LEN-1xx: forgiven in lenient mode
    _row("LEN-101", "spelling of a verb forgiven", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("LEN-102", "older namespace forgiven", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("LEN-103", "wrapper shape forgiven", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("LEN-104", "alias of a noun forgiven", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("LEN-105", "spelling of a result or level forgiven", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("LEN-106", "spelling of an element forgiven", "0.0", 200, level=Level.INFORM, acts="nobody"),
    # CNV-1xx: which verb, noun and parts go together
    _row("CNV-101", "verb does not belong to this kind of message", "2.9"),
    _row("CNV-102", "payload missing", "1.7"),
    _row("CNV-103", "payload not allowed", "1.8"),
    _row("CNV-104", "request section missing", "1.6"),
    _row("CNV-105", "identifiers missing", "1.6"),
    _row("CNV-106", "payload is of another noun", "2.5"),
    _row("CNV-107", "asynchronous reply cannot be sent", "1.5"),
    _row("CNV-108", "instant without time zone", "1.8"),
    _row("CNV-109", "error code missing in the reply", "5.8"),
    _row("CNV-110", "payload empty", "1.7"),
    _row("CNV-111", "operation set malformed", "1.8"),
    _row("CNV-112", "period ends before it starts", "1.8"),
    _row("CNV-113", "more than one payload root", "1.8"),
    _row("CNV-114", "section of the message not allowed", "1.8"),
    _row("CNV-115", "reply section missing", "1.8"),
    _row("CNV-116", "noun and verb do not belong together", "2.5"),
    _row("CNV-117", "verb not allowed in an operation", "2.9"),
    _row("CNV-118", "operation identifier used twice", "1.8"),
    _row("CNV-119", "partial reply does not say whether more follows", "5.8"),
    _row("CNV-120", "asynchronous reply cannot be linked", "1.5"),
    _row("CNV-121", "content of an operation missing", "1.7"),
    # REF-1xx: references
    _row("REF-101", "object has no identity", "5.8"),
    _row("REF-102", "two objects with one identity", "6.1"),
    _row("REF-103", "object unknown", "2.15", 404),
    _row("REF-104", "name means several objects", "2.15"),
    _row("REF-105", "place unknown", "2.16", level=Level.WARNING),
    _row("REF-106", "customer unknown", "2.22", level=Level.WARNING),
    _row("REF-107", "objects do not belong together", "2.29"),
    _row("REF-108", "several names without a type", "1.8", level=Level.WARNING),
    _row("REF-109", "identifier without text", "5.8"),
    _row("REF-110", "nothing there to remove", "2.15"),
    # REF-120 to REF-130: the network, and tables
    _row("REF-120", "table or file of no known form", "1.8", acts="operator"),
    _row("REF-121", "value of a file missing or unreadable", "1.8", acts="operator"),
    _row("REF-122", "identity used twice", "1.8", acts="operator"),
    _row("REF-123", "reference of a network file leads nowhere", "1.8", acts="operator"),
    _row("REF-124", "network without a source", "1.8", acts="operator"),
    _row("REF-125", "no way to a source", "1.8", level=Level.WARNING, acts="operator"),
    _row("REF-126", "loop", "1.8", level=Level.WARNING, acts="operator"),
    _row("REF-127", "device joins nothing", "1.8", level=Level.WARNING, acts="operator"),
    _row("REF-128", "name made unique", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("REF-129", "too many devices in a row", "1.8", acts="operator"),
    _row("REF-130", "device unknown, or without contacts", "2.15", 404, acts="operator"),
    _row("REF-140", "meter unknown", "2.15", 404),
    # LIF-1xx: lifecycle
    _row("LIF-101", "state does not allow this verb", "6.1"),
    _row("LIF-102", "state change not allowed", "6.1"),
    _row("LIF-103", "object exists already", "6.1"),
    _row("LIF-104", "work has begun", "6.1"),
    _row("LIF-105", "object has ended already", "6.1"),
    _row("LIF-106", "member cannot be removed", "6.1"),
    # BUS-1xx: business rules of the profiles
    _row("BUS-101", "mandatory content missing", "5.8"),
    _row("BUS-102", "resolved before it was reported", "1.8"),
    _row("BUS-103", "notification without contact", "5.8"),
    _row("BUS-104", "period ends before it starts", "1.8"),
    _row("BUS-105", "neither customer nor place nor hazard", "5.8"),
    _row("BUS-106", "far end missing", "5.8"),
    _row("BUS-107", "appointment cannot be kept", "6.1"),
    _row("BUS-108", "agreement overlaps another", "6.1"),
    _row("BUS-109", "neither customer nor place", "5.8"),
    # BUS-120 to BUS-129: grouping of tickets
    _row("BUS-120", "where a ticket belongs", "0.0", 200, level=Level.INFORM, acts="nobody"),
    # BUS-130 to BUS-139: outages, their estimates and their restoration
    _row("BUS-130", "nobody is named who knows it", "5.8"),
    _row("BUS-131", "evidence does not cover all who are believed out", "6.1"),
    _row("BUS-132", "estimate not taken", "6.1"),
    _row("BUS-133", "somebody in it is still without supply", "6.1"),
    _row("BUS-134", "cannot have been restored then", "1.8"),
    _row("BUS-135", "an outage goes on there", "6.1", level=Level.WARNING),
    _row("BUS-136", "an outage above it goes on", "6.1"),
    # BUS-140 to BUS-149: call intake, notices and call-backs
    _row("BUS-140", "call-back not available", "6.1", 409),
    _row("BUS-141", "call cannot be taken", "5.8"),
    _row("BUS-142", "owner of the tickets refused", "5.3", 502, soap="Server"),
    _row("BUS-143", "several callers fit", "2.22", 409),
    _row("BUS-144", "preferences cannot be kept", "1.8"),
    # BUS-15x: field work
    _row("BUS-150", "crew without the skill", "6.1"),
    _row("BUS-151", "crew is at other work", "6.1"),
    _row("BUS-152", "no crew for the work", "6.1"),
    _row("BUS-153", "reason missing why the visit was not completed", "5.8"),
    _row("BUS-154", "meters or readings of the work missing", "5.8"),
    _row("BUS-155", "work is carried out by its orders", "6.1"),
    _row("BUS-156", "dig notice without place or time", "5.8"),
    _row("BUS-157", "what lies where digging is planned", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("BUS-158", "crews cannot be read", "1.8"),
    _row("BUS-160", "consent missing", "7.7", 403),
    _row("BUS-161", "another switch of supplier waits", "6.1"),
    _row("BUS-162", "waits for its date", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("BUS-163", "not open to third parties", "7.7", 403),
    _row("BUS-164", "consent cannot be read", "1.8"),
    _row("BUS-165", "receipt does not balance", "1.8"),
    _row("BUS-166", "number used for something else", "6.1", 409),
    _row("BUS-167", "no open shift", "6.1", 409),
    _row("BUS-168", "account not fit for it", "2.15"),
    _row("BUS-169", "receipt reversed already", "6.1", 409),
    # EXC-1xx: exchange
    _row("EXC-101", "message identifier used for other content", "2.29"),
    _row("EXC-102", "verb not served for this noun", "2.9"),
    _row("EXC-103", "noun not served", "2.5"),
    _row("EXC-104", "created too far from receipt", "7.7"),
    _row("EXC-105", "context does not match", "7.7", 403),
    _row("EXC-106", "asynchronous reply not served", "5.2"),
    _row("EXC-107", "no request for this reply", "2.15"),
    _row("EXC-108", "too busy", "5.1", 503, soap="Server", acts="nobody"),
    _row("EXC-109", "internal error", "5.3", 500, soap="Server", acts="operator"),
    _row("EXC-110", "filter not served", "1.6"),
    _row("EXC-111", "could not be stored", "5.1", 503, soap="Server", acts="operator"),
    _row("EXC-112", "answer cut off", "0.2", 200, level=Level.WARNING, acts="nobody"),
    _row("EXC-113", "operation undone because of another", "5.9"),
    _row("EXC-114", "operation not attempted", "5.2"),
    _row("EXC-115", "operations belong to several systems", "5.2"),
    _row("EXC-116", "reply address not allowed", "7.7", 403),
    _row("EXC-117", "the system that owns the noun failed", "5.3", 502, soap="Server", acts="operator"),
    _row("EXC-118", "own event came back", "0.0", 200, level=Level.INFORM, acts="nobody"),
    _row("EXC-119", "no reply within the time agreed", "4.1", 504, soap="Server", acts="operator"),
    _row("EXC-120", "too many streams", "5.1", 503, soap="Server", acts="nobody"),
    _row("EXC-121", "subscription refused", "1.8"),
    _row("EXC-122", "address not allowed", "1.8", 403),
    _row("EXC-123", "subscription exists already", "6.1", 409),
    _row("EXC-124", "subscription stands in the file of settings", "6.1", 409),
    _row("EXC-125", "the system that owns the noun holds the message to be wrong", "1.8"),
    _row("EXC-126", "sent by a page from elsewhere", "7.7", 403, acts="nobody"),
    _row("EXC-127", "the console may only show here", "7.7", 403, acts="operator"),
    _row("EXC-128", "field of a form not understood", "1.8"),
    _row("EXC-130", "row of the audit trail missing or moved", "5.3", 500, soap="Server", acts="operator"),
    _row("EXC-131", "row of the audit trail altered", "5.3", 500, soap="Server", acts="operator"),
    _row("EXC-132", "message altered after it was kept", "5.3", 500, soap="Server", acts="operator"),
    _row("EXC-133", "message missing from the log", "5.3", 500, soap="Server", acts="operator"),
    _row("EXC-134", "not covered by the audit trail", "5.3", 500, soap="Server", acts="operator"),
    # EXC-135 to EXC-137: operators
    _row("EXC-135", "no dead letter", "1.6", 404, acts="operator"),
    _row("EXC-136", "reason missing", "1.6", acts="operator"),
    _row("EXC-137", "ledger does not balance", "5.3", 500, soap="Server", acts="operator"),
    # EXC-138 to EXC-149: tables, and work that no message asks for
    _row("EXC-138", "system not built in here", "5.2", 409),
    # SIM-101 to SIM-109: simulated partners
    _row("SIM-101", "behaviour cannot be used", "1.8", acts="operator"),
    _row("SIM-102", "scenario cannot be played", "1.8", acts="operator"),
    _row("SIM-103", "expectation of a scenario not met", "1.8", acts="operator"),
    # DRL-1xx: drills and readiness
    _row("DRL-101", "drill: nothing was done", "0.0", 200, level=Level.INFORM, acts="nobody"),
    # NET-1xx: transport
    _row("NET-101", "method not allowed", "1.8", 405),
    _row("NET-102", "media type not served", "1.8", 415),
    _row("NET-103", "no such service", "1.8", 404),
    _row("NET-104", "answer is no message", "1.8", 502, soap="Server", acts="operator"),
    _row("NET-105", "no answer", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-106", "request incomplete", "1.8"),
    # NET-107 to NET-115: sending to partners, and what receivers of webhooks check
    _row("NET-107", "no connection", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-108", "TLS refused", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-109", "no answer in time", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-110", "connection broke off", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-111", "HTTP status without a message", "5.3", 502, soap="Server", acts="operator"),
    _row("NET-112", "answer too large", "5.3", 502, soap="Server", acts="operator"),
    _row("NET-113", "fault in the answer", "5.3", 502, soap="Server", acts="operator"),
    _row("NET-114", "cannot be sent", "5.3", 500, soap="Server", acts="operator"),
    _row("NET-115", "webhook not authentic", "7.4", 401),
    # NET-120 to NET-139: brokers
    _row("NET-120", "broker not reached", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-121", "broker refused the session", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-122", "not confirmed by the broker in time", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-123", "connection to the broker broke off", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-124", "broker refused the message or the consumer", "5.3", 502, soap="Server", acts="operator"),
    _row("NET-125", "no reply over the broker in time", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-126", "destination cannot be used", "1.8"),
    _row("NET-127", "message expired before it was served", "4.1"),
    _row("NET-128", "broker message holds no text", "1.8"),
    _row("NET-129", "consumer not attached", "5.3", 503, soap="Server", acts="operator"),
    _row("NET-130", "broker has no room for messages", "4.1", 504, soap="Server", acts="operator"),
    _row("NET-131", "message begun too often without an end", "4.1", 504, soap="Server", acts="operator"),
    # SIM-111 to SIM-119: storms
    _row("SIM-111", "profile of a storm cannot be used", "1.8", acts="operator"),
    _row("SIM-112", "storm cannot begin", "4.1", 504, soap="Server", acts="operator"),
    # SET-1xx: settings and files
    _row("SET-101", "setting unknown or of the wrong type", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-102", "file cannot be read", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-103", "schema file unusable", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-104", "database cannot be used", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-105", "address cannot be listened on", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-106", "name cannot be used, or used twice", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-107", "address cannot be used", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-108", "noun without one owner", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-109", "source used twice", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-110", "partner unknown", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-111", "verb or noun unknown", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-112", "edition not spoken", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-113", "file of a partner cannot be used", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-114", "settings do not go together", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-115", "kept for too short a time", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-116", "setting missing", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-117", "cannot be changed alone", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-118", "value of a setting cannot be used", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-119", "changed meanwhile by somebody else", "6.1", 409, acts="operator"),
    _row("SET-120", "workers cannot start", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-121", "workers end at once", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-122", "worker did not end as it should", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-130", "address of a broker cannot be used", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-131", "library for brokers not installed", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-132", "broker unknown", "5.3", 500, soap="Server", acts="operator"),
    _row("SET-133", "destination at a broker cannot be used", "5.3", 500, soap="Server", acts="operator"),
)

ERRORS: dict[str, ErrorRow] = {row.code: row for row in _TABLE}
"""The table by code. A code is never used again for something else."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One result of a check.

    `path` says where (an XPath-like path from the root, such as `/RequestMessage/Header/Verb`), `line` the line in
    the input where there is one, `accepted` what would pass, `clause` the source. `object_id` names the object
    concerned where a message holds several, `operation_id` the operation of an OperationSet. `forgiven` marks what
    lenient reading let pass.
    """

    code: str
    path: str
    found: str
    accepted: str
    clause: str = ""
    line: int | None = None
    level: Level = Level.FATAL
    object_id: str | None = None
    operation_id: int | None = None
    forgiven: bool = False

    def describe(self, file: str = "") -> str:
        """The finding in one line: `file:line: path: CODE found; accepted; clause`."""
        place = ":".join(part for part in (file, str(self.line) if self.line else "") if part)
        clause = f"; {self.clause}" if self.clause else ""
        text = f"{place + ': ' if place else ''}{self.path}: {self.code} {self.found}; {self.accepted}{clause}"
        return " ".join(text.split()) if _BREAKS.search(text) else text  # what was found may have several lines


def finding_of(
    code: str,
    path: str,
    found: str,
    accepted: str,
    clause: str = "",
    *,
    line: int | None = None,
    object_id: str | None = None,
) -> Finding:
    """Finding with the level that the table gives its code."""
    return Finding(
        code=code,
        path=path,
        found=found,
        accepted=accepted,
        clause=clause,
        line=line,
        level=ERRORS[code].level,
        object_id=object_id,
    )


class CimcareError(Exception):
    """Root of all errors raised on purpose. `code` is a row of the error table."""

    code = "EXC-109"

    @property
    def row(self) -> ErrorRow:
        """Row of the error table."""
        return ERRORS[self.code]


class InputError(CimcareError):
    """Input that was refused: not well-formed, over a limit, or holding a value that cannot be read."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.code = finding.code
