"""A network in files, whatever form they have: CIM RDF/XML or tables."""

from collections.abc import Sequence

from cimcare.codec.limits import require_size
from cimcare.codec.network_csv import parse_network_csv
from cimcare.codec.network_rdf import RDF_LIMITS, parse_network_rdf
from cimcare.errors import finding_of
from cimcare.model.network import NetworkReading

__all__ = ["parse_network"]


def parse_network(files: Sequence[tuple[str, bytes]]) -> NetworkReading:
    """Read a network. XML is what begins with a `<`, in whatever encoding; anything else is a table.

    Args:
        files: Names and contents; all of one form.

    Raises:
        InputError: A file of XML is none, or a file is over a limit (XML-101 to XML-110).
    """
    for _, raw in files:
        require_size(raw, RDF_LIMITS)
    tables = [name for name, raw in files if not _is_xml(raw)]
    if tables and len(tables) < len(files):
        names = ", ".join(tables)
        found = f"XML together with other files ({names})"
        finding = finding_of("REF-120", "network", found, "files of CIM RDF/XML, or tables", "docs/guides/network.md")
        return NetworkReading(network=None, findings=(finding,))
    return parse_network_csv(files) if tables else parse_network_rdf(files)


def _is_xml(raw: bytes) -> bool:
    return raw[:64].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n").startswith(b"<")
