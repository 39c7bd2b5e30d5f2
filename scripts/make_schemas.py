"""Writes the committed schema documents anew from the model (`python scripts/make_schemas.py`)."""

from pathlib import Path

import cimcare.schema
from cimcare.schema.documents import derive_documents

if __name__ == "__main__":
    folder = Path(cimcare.schema.__file__).parent
    documents = derive_documents()
    for stale in {*folder.glob("xsd/**/*.*"), *folder.glob("wsdl/**/*.*")} - {folder / path for path in documents}:
        stale.unlink()
    for path, content in documents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    print(f"{len(documents)} documents written to {folder.name}")
