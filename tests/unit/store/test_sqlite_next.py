"""Of several processes on one file one is the next to write, and whoever ends is it no more."""

import subprocess
import sys
from pathlib import Path

import pytest

from cimcare.store.errors import DatabaseError
from cimcare.store.sqlite_next import NextTurn

_CLAIM = """
import sys
import time
from pathlib import Path

from cimcare.store.sqlite_next import NextTurn

print(NextTurn(Path(sys.argv[1])).claim(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database, as far as this is concerned."""
    path = tmp_path / "hub.db"
    path.touch(0o640)
    return path


def test_one_has_it_at_a_time(path: Path) -> None:
    """Two that believe to be the next would both begin."""
    one, two = NextTurn(path), NextTurn(path)
    assert one.claim()
    assert one.claim()
    assert not two.claim()
    one.let_go()
    assert two.claim()
    two.close()
    assert one.claim()
    one.close()


def test_who_is_killed_has_it_no_more(path: Path) -> None:
    """A process that ends in the wrong moment must not stand before the others for good."""
    with subprocess.Popen([sys.executable, "-c", _CLAIM, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        turn = NextTurn(path)
        assert not turn.claim()
        other.kill()
    assert turn.claim()
    turn.close()


def test_whoever_may_use_the_database_may_take_part(path: Path) -> None:
    """A command tried by one user must not keep the hub of another one from starting."""
    NextTurn(path).close()
    beside = path.with_name("hub.db-next")
    assert beside.stat().st_mode & 0o777 == path.stat().st_mode & 0o777
    beside.chmod(0o400)  # to be read is enough
    turn = NextTurn(path)
    assert turn.claim()
    turn.close()


def test_says_which_file_cannot_be_made(tmp_path: Path) -> None:
    """The name is one that nobody has seen before."""
    with pytest.raises(DatabaseError, match=r"needs the file '.*gone/hub\.db-next'.*accepted: a file that may be read"):
        NextTurn(tmp_path / "gone" / "hub.db")
