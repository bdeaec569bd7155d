"""The XML of S3: documents written from names and members, and read by name, in any namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast
from xml.etree.ElementTree import Element, SubElement, tostring

Members = Iterable[tuple[str, object]]
"""Names, each with a text or with members of its own."""

_NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'


def document(name: str, members: Members) -> bytes:
    """Return a document."""
    root = Element(name, xmlns=_NAMESPACE)
    _fill(root, members)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root)


def _fill(parent: Element, members: Members) -> None:
    for name, value in members:
        element = SubElement(parent, name)
        if isinstance(value, str):
            element.text = value
        else:
            _fill(element, cast('Sequence[tuple[str, object]]', value))


def children(parent: Element, name: str) -> Iterator[Element]:
    """Yield the elements of a name."""
    return (child for child in parent if child.tag.rpartition('}')[2] == name)


def text_of(parent: Element, name: str) -> str:
    """Return the text of the first element of a name, empty where there is none."""
    return next((child.text or '' for child in children(parent, name)), '')
