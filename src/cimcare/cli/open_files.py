"""How many files a process may have open, which bounds its connections: as many as the system grants.

The usual soft limit of 1,024 is there for programs that use select(). A storm opens more connections than that, and a
hub that may open no more accepts nobody, hazards included.
"""

import resource

__all__ = ["allow_open_files"]


def allow_open_files() -> int:
    """Raise the soft limit of open files to the hard one, for this process and those that it starts; the limit now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # a hard limit that the system does not honour, as macOS has
        return soft
    return hard
