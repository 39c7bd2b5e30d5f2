"""The program of a hub process with the console, as `cimcare serve --workers` starts it."""

from cimcare.console.pages import console_pages
from cimcare.hub.serving import workers

__all__ = ["run_worker"]


def run_worker(descriptor: int) -> int:
    """Be a worker with the console; see `cimcare.hub.serving.workers.run_worker`."""
    return workers.run_worker(descriptor, console_pages)
