"""Storms open more connections than the usual soft limit of open files lets a process have."""

import json
import resource
import subprocess
import sys

import pytest

from cimcare.cli.open_files import allow_open_files

LIMITED = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
from cimcare.cli.open_files import allow_open_files
told = allow_open_files()
child = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"]
import subprocess
print(json.dumps([told, resource.getrlimit(resource.RLIMIT_NOFILE), int(subprocess.check_output(child))]))
"""


def test_the_soft_limit_becomes_the_hard_one_here_and_in_processes_that_are_started() -> None:
    found = json.loads(subprocess.check_output([sys.executable, "-c", LIMITED]))
    assert found == [512, [512, 512], 512]


def test_a_limit_that_the_system_does_not_grant_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 10**12))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert allow_open_files() == 256


def test_every_command_asks_for_it_before_it_begins() -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
from cimcare.cli import main
try:
    main(["simulate", "--behaviour", "no-such"])
except SystemExit:
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    assert subprocess.check_output([sys.executable, "-c", code], stderr=subprocess.DEVNULL) == b"512\n"
