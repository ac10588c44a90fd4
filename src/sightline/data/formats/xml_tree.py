"""XML as a small tree that knows its lines, read without entities or external references."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml.common import DefusedXmlException

from sightline.core.errors import FormatError


@dataclass(slots=True)
class Element:
    """One element: its tag, attributes, own text, children in order, and the line it starts on."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Children of a tag."""
        return [child for child in self.children if child.tag == tag]

    def first(self, tag: str) -> Element | None:
        """The first child of a tag, or None."""
        return next((child for child in self.children if child.tag == tag), None)

    def value(self, tag: str, default: str = "") -> str:
        """Text of the first child of a tag, stripped."""
        child = self.first(tag)
        return default if child is None else child.text.strip()


class _Builder(ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.root: Element | None = None
        self._open: list[Element] = []
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        line = (self._locator.getLineNumber() if self._locator else None) or 0
        element = Element(name, dict(attrs.items()), line)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def endElement(self, name: str) -> None:
        self._open.pop()

    def characters(self, content: str) -> None:
        if self._open:
            self._open[-1].text += content


def parse_xml(path: Path) -> Element:
    """The root element of an XML file.

    Raises:
        FormatError: absent, malformed (names the line), or it declares entities or external references.
    """
    builder = _Builder()
    try:
        with path.open("rb") as file:
            defusedxml.sax.parse(file, builder)
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror})", where=path) from error
    except SAXParseException as error:
        where = f"{path}:{error.getLineNumber()}"
        raise FormatError(f"is not well-formed XML: {error.getMessage()}", where=where) from error
    except DefusedXmlException as error:
        raise FormatError(
            "declares entities or external references, which are not read", where=path
        ) from error
    except (SAXException, ValueError, LookupError) as error:
        raise FormatError(f"is not well-formed XML: {error}", where=path) from error
    if builder.root is None:
        raise FormatError("is empty", where=path)
    return builder.root
