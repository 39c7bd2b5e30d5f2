"""Where in a document: paths of findings, and how many findings are worth giving."""

from lxml import etree

__all__ = ["MOST_FINDINGS", "path_of"]

MOST_FINDINGS = 50
"""Findings after which a check stops."""


def path_of(element: etree._Element) -> str:
    """Path from the root by local names; an index stands only where siblings share the name."""
    steps = []
    at: etree._Element | None = element
    while at is not None:
        parent = at.getparent()
        step = etree.QName(at).localname
        if parent is not None:
            twins = list(parent.iterchildren(str(at.tag)))
            if len(twins) > 1:
                step += f"[{twins.index(at) + 1}]"
        steps.append(step)
        at = parent
    return "/" + "/".join(reversed(steps))
