"""The demo page: three files, no build, nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def _read(name: str) -> bytes:
    return files("sightline.serve").joinpath("web", name).read_bytes()


# Path -> text and media type.
FILES = {
    "/": (_read("page.html"), "text/html; charset=utf-8"),
    "/page.js": (_read("page.js"), "text/javascript; charset=utf-8"),
    "/page.css": (_read("page.css"), "text/css; charset=utf-8"),
}
