"""The IEEE test feeders as CIM RDF: data of others, beside the project and not in it."""

from pathlib import Path

import pytest

__all__ = ["read_feeder"]

ROOT = Path(__file__).resolve().parents[2]


def read_feeder(name: str) -> tuple[str, bytes]:
    """Name and bytes of a feeder such as `IEEE13`. Skips the test where the data are not there."""
    for beside in (ROOT.parent, ROOT.parent.parent):  # the project itself, or one of several working trees of it
        file = beside / "shared" / "data" / "feeders" / f"{name}.xml"
        if file.exists():
            return file.name, file.read_bytes()
    pytest.skip(f"{name}.xml is not in ../shared/data/feeders; it comes from GRIDAPPSD/CIMHub, model_output_tests")
