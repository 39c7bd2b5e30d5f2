"""URLs of databases: which kind they name, and how they may be shown."""

import re

__all__ = ["is_postgres", "shown_url"]

_POSTGRES = re.compile(r"postgres(?:ql)?://")
_WELL_FORMED = re.compile(
    r"(?P<scheme>postgres(?:ql)?)://(?:(?P<user>[^:@/?#]*)(?::[^@/?#]*)?@)?(?P<host>[^@/?#]*)(?P<name>/[^@/?#]*)?"
    r"(?:\?[^@#]*)?"
)


def is_postgres(url: str) -> bool:
    """Whether a URL names a database of PostgreSQL."""
    return _POSTGRES.match(url) is not None


def shown_url(url: str) -> str:
    """The URL as logs and messages may show it: without password and options.

    Of a URL that cannot be read with certainty nothing but its beginning is shown, for the rest may hold a password.
    """
    if is_postgres(url):
        found = _WELL_FORMED.fullmatch(url)
        if found is not None:
            user = f"{found['user']}@" if found["user"] else ""
            return f"{found['scheme']}://{user}{found['host']}{found['name'] or ''}"
    elif url.startswith("sqlite:") or "@" not in url:
        return url
    return f"{url.partition('://')[0]}://..." if "://" in url else "..."
