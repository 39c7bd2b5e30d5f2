"""Reasons that operators give for what they do, as the audit trail keeps them."""

from cimcare.errors import CimcareError, finding_of

__all__ = ["LONGEST_REASON", "ReasonError", "require_reason"]

LONGEST_REASON = 2000
"""Characters of a reason."""


class ReasonError(CimcareError):
    """A reason that says nothing, or cannot be kept."""

    code = "EXC-136"

    def __init__(self, found: str) -> None:
        accepted = f"a few words for who reads the audit trail, up to {LONGEST_REASON} characters"
        self.finding = finding_of(self.code, "reason", found, accepted, "guarantee G10")
        super().__init__(self.finding.describe())


def require_reason(text: str) -> str:
    """The reason without blanks at its ends. Raises ReasonError if nothing is left, or if it is no text."""
    reason = text.strip()
    if not reason:
        raise ReasonError("blank")
    if len(reason) > LONGEST_REASON:
        raise ReasonError(f"{len(reason)} characters")
    if any(0xD800 <= ord(sign) <= 0xDFFF or sign == "\0" for sign in reason):  # bytes of a shell that are no UTF-8
        raise ReasonError("characters that are no text")
    return reason
