"""An independent binder: classes that xsdata generates from our XSD, for differential tests and for the benchmark."""

import importlib
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType

__all__ = ["generate_classes"]


def generate_classes(folder: Path, *schemas: str) -> dict[str, ModuleType]:
    """Module of dataclasses for each schema file (such as `Message.xsd`), generated below `folder`.

    `folder` is put on the import path; each schema gets a package of its own, since types of one name differ.
    """
    xsd = files("cimcare.schema") / "xsd" / "2013"
    tools = str(Path(sys.executable).parent)  # the generator calls `ruff`, which is installed beside Python
    sys.path.insert(0, str(folder))
    modules = {}
    for schema in schemas:
        package = f"generated_{Path(schema).stem.lower()}"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "xsdata",
                "generate",
                str(xsd / schema),
                "--package",
                package,
                "--structure-style",
                "single-package",
            ],
            cwd=folder,
            check=True,
            capture_output=True,
            env={**os.environ, "PATH": os.pathsep.join([tools, os.environ.get("PATH", "")])},
        )
        modules[schema] = importlib.import_module(package)
    return modules
