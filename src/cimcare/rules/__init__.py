"""What a schema cannot say: conventions of messages, identity, business rules, lifecycles. Pure; returns findings."""

from cimcare.rules.check import check_rules
from cimcare.rules.conventions import check_reply
from cimcare.rules.report import MAX_FINDINGS

__all__ = ["MAX_FINDINGS", "check_reply", "check_rules"]
