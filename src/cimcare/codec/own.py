"""Payload roots of our own: written like those of the nouns, read back as elements that the model does not know.

They travel in the standard's envelope, in a namespace of ours, so that nobody can take them for the standard's.
"""

from collections.abc import Callable

from cimcare.codec.binding import Binding
from cimcare.model.payment import OWN_NAMESPACE, Receipts
from cimcare.model.structure import Extension, Structure

__all__ = ["own_content"]

_WRITERS: dict[type[Structure], tuple[str, Callable[[Structure], str]]] = {
    root: (namespace, Binding(namespace).writer(root)) for root, namespace in ((Receipts, OWN_NAMESPACE),)
}


def own_content(root: Structure) -> Extension:
    """A payload root of our own as content of a payload.

    Raises:
        InputError: XML-109 or COD-102, a value that XML cannot carry.
    """
    namespace, write = _WRITERS[type(root)]
    name = root.XML_TYPE
    return Extension(xml=f'<{name} xmlns="{namespace}">{write(root)}</{name}>')
