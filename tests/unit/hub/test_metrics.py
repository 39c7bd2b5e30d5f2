"""Counters of one process, and of several that share a folder."""

import subprocess
import sys
from pathlib import Path

from prometheus_client import Gauge

from cimcare.hub.metrics import Metrics, forget_worker

# In processes of their own, since the library decides once for a process how it keeps numbers.
_PROGRAM = """
import sys
from pathlib import Path
from cimcare.hub.metrics import Metrics, share_metrics
share_metrics(Path(sys.argv[1]), int(sys.argv[2]))
metrics = Metrics()
metrics.count_message(verb="create", noun="Incidents", outcome="OK", transport="soap")
metrics.observe_commit(int(sys.argv[2]))
metrics.set_waiting(5)
metrics.know_partners(["oms"])
metrics.set_circuits({"oms": sys.argv[2] == "1"})
metrics.set_missing(int(sys.argv[2]))
metrics.set_alarms([("ledger", "oms")] if sys.argv[2] == "1" else [])
print(metrics.render().decode())
"""
COUNT = 'cimcare_messages_total{noun="Incidents",outcome="OK",transport="soap",verb="create"}'


def count_in(folder: Path, worker: int) -> list[str]:
    """Lines of the page that a new process shows after it has counted one message."""
    shown = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder), str(worker)], capture_output=True, text=True, check=True
    )
    return shown.stdout.splitlines()


def test_each_gauge_says_how_several_become_one() -> None:
    """Else each process would be shown for itself, and which one is meant nobody knows."""
    gauges = [one for one in Metrics()._registry._collector_to_names if isinstance(one, Gauge)]
    assert gauges
    assert [one._name for one in gauges if one._multiprocess_mode in ("all", "liveall")] == []


def test_processes_that_share_a_folder_show_the_sum(tmp_path: Path) -> None:
    """A count that falls back makes every rate that is derived from it wrong."""
    assert f"{COUNT} 1.0" in count_in(tmp_path, 1)
    both = count_in(tmp_path, 2)
    assert f"{COUNT} 2.0" in both
    assert "cimcare_commit_batch_sum 3.0" in both
    assert "cimcare_queue_depth 10.0" in both
    assert "cimcare_workers 2.0" in both
    assert 'cimcare_circuit_open{partner="oms"} 1.0' in both, "one that spares the partner is enough"
    assert "cimcare_ledger_missing 2.0" in both, "all look at one ledger, so the last look counts"
    assert 'cimcare_alarm{name="ledger",partner="oms"} 1.0' in both
    forget_worker(tmp_path, 1)
    again = count_in(tmp_path, 2)  # one that takes its place goes on with its counters
    assert f"{COUNT} 3.0" in again
    assert "cimcare_queue_depth 5.0" in again
    assert "cimcare_workers 1.0" in again
    assert len(list(tmp_path.iterdir())) == 7, "files of one that is gone are used again"
