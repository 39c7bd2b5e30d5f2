"""Personal data as it is listed: enough to tell one from another, not enough to use. Pure."""

__all__ = ["MASK", "mask_address", "mask_contact"]

MASK = "•••"
_DIGITS_SHOWN = 2


def mask_contact(text: str) -> str:
    """A telephone number by its last two digits, an address of mail by its first letter; empty stays empty."""
    if not text.strip():
        return ""
    if "@" in text:
        return f"{text.strip()[0]}{MASK}@{MASK}"
    digits = "".join(sign for sign in text if sign.isdigit())
    return f"{MASK} {digits[-_DIGITS_SHOWN:]}" if len(digits) > 2 * _DIGITS_SHOWN else MASK


def mask_address(text: str) -> str:
    """An address by its street: whatever has a digit in it is hidden."""
    return " ".join(MASK if any(sign.isdigit() for sign in word) else word for word in text.split())
