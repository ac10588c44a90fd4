"""One HTTP request that cannot be led astray: to a checked address, with limits, resumed where it broke off.

The host is looked up once, every address it has is judged, and the connection goes to an address that was
judged, so that a name which changes its mind in between (DNS rebinding) gains nothing. Redirects are judged
like first requests. No proxy, cookie or credential is ever used.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from sightline.core.errors import MediaError, UsageError

CHUNK = 1 << 16
CALLER = "sightline"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What fetching may cost, and where it may go.

    Attributes:
        file_bytes: the most for one file.
        total_bytes: the most for all files of an import.
        attempts: tries for one file, the first included.
        wait_s: wait before the second try; doubled each time.
        timeout_s: silence that ends an attempt.
        file_s: the most time for one attempt.
        redirects: the most redirects to follow.
        workers: files at once.
        allow_private: go to loopback, private and link-local addresses too.
    """

    file_bytes: int = 1 << 30
    total_bytes: int = 1 << 40
    attempts: int = 4
    wait_s: float = 1.0
    timeout_s: float = 30.0
    file_s: float = 900.0
    redirects: int = 5
    workers: int = 4
    allow_private: bool = False


class Passing(Exception):
    """A fault that may be gone at the next try.

    Attributes:
        after_s: how long the server asks to wait.
    """

    def __init__(self, what: str, after_s: float = 0.0) -> None:
        super().__init__(what)
        self.after_s = after_s


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; those that wrap another are judged by it."""
    ip: Any = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6:
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return bool(ip.is_global and not ip.is_multicast and not ip.is_reserved)


def checked_address(parts: SplitResult, limits: FetchLimits) -> tuple[str, int]:
    """An address of a URL's host, and the port, after every address it has was judged.

    Raises:
        UsageError: the host has an address that is not public.
        Passing: the name cannot be looked up now.
    """
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Passing(f"host {parts.hostname!r} is not found ({error})") from error
    addresses = [str(entry[4][0]) for entry in found]
    private = [address for address in addresses if not is_public(address)]
    if private and not limits.allow_private:
        raise UsageError(
            f"host {parts.hostname!r} is at {private[0]}, which is not a public address",
            remedy="pass --fetch-private if these pictures are on your own network",
        )
    return addresses[0], port


def checked_url(url: str, before: SplitResult | None = None) -> SplitResult:
    """A URL in its parts, with only what a request may hold.

    Raises:
        MediaError: another scheme than http and https, no host, a password, or a step down from https.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise MediaError(f"is no URL ({error})", where=url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MediaError("only http and https are fetched", where=url)
    if parts.username or parts.password:
        raise MediaError("holds a user name or password, which are not sent", where=parts.hostname)
    if before is not None and before.scheme == "https" and parts.scheme == "http":
        raise MediaError("redirects from https down to http", where=url)
    return parts


class _Pinned(http.client.HTTPConnection):
    """A connection to one checked address, whatever the name says by now."""

    def __init__(self, parts: SplitResult, address: str, port: int, timeout: float) -> None:
        super().__init__(parts.hostname or "", port, timeout=timeout)
        self._address, self._is_tls = address, parts.scheme == "https"

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        if self._is_tls:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        else:
            self.sock = plain


def attempt(url: str, part: Path, limits: FetchLimits) -> None:
    """Bring a URL's bytes to `part`, going on after what is there if the server can say it is the same.

    Raises:
        Passing: it may work at the next try.
        MediaError: it will not.
        UsageError: the address may not be visited.
    """
    parts = checked_url(url)
    for _ in range(limits.redirects + 1):
        try:
            with closing(_Pinned(parts, *checked_address(parts, limits), limits.timeout_s)) as connection:
                onward = _ask(connection, parts, part, limits)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, ssl.SSLCertVerificationError):
                raise MediaError(f"has no valid certificate ({error.verify_message})", where=url) from error
            raise Passing(f"{type(error).__name__}: {error}") from error
        if onward is None:
            return
        parts = checked_url(urljoin(parts.geturl(), onward), parts)
    raise MediaError(f"redirects more than {limits.redirects} times", where=url)


def _ask(connection: _Pinned, parts: SplitResult, part: Path, limits: FetchLimits) -> str | None:
    """One request; gives where it redirects to, or None where the bytes have come."""
    have, mark = _left_over(part)
    headers = {"User-Agent": CALLER, "Accept": "image/*, video/*, */*;q=0.1", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
    )
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    where = parts.geturl()
    if answer.status in REDIRECTS:
        location = answer.getheader("Location")
        if not location:
            raise MediaError(f"answers {answer.status} without saying where to", where=where)
        return location
    if answer.status == 416:
        forget(part)
        raise Passing("the server has fewer bytes than we do")
    if answer.status in PASSING:
        raise Passing(f"answers {answer.status} {answer.reason}", _asked_wait(answer))
    if answer.status not in (200, 206):
        raise MediaError(f"answers {answer.status} {answer.reason}", where=where)
    if answer.getheader("Content-Encoding", "identity").lower() != "identity":
        raise MediaError("comes packed though it was asked for plain", where=where)
    start = _start(answer, have) if answer.status == 206 else 0
    _receive(answer, part, start, limits, where)
    return None


def _start(answer: http.client.HTTPResponse, have: int) -> int:
    found = _RANGE.fullmatch(answer.getheader("Content-Range", ""))
    if found is None or int(found.group(1)) != have:
        raise Passing(f"asked for byte {have}, got {answer.getheader('Content-Range')!r}")
    return have


def _receive(
    answer: http.client.HTTPResponse, part: Path, start: int, limits: FetchLimits, where: str
) -> None:
    length = answer.length
    if length is not None and start + length > limits.file_bytes:
        raise MediaError(f"has {start + length} bytes, the limit is {limits.file_bytes}", where=where)
    mark = answer.getheader("ETag", "")
    # A weak tag or none at all does not promise the same bytes: then the next try starts anew.
    strong = mark if mark.startswith('"') else answer.getheader("Last-Modified", "")
    _mark_path(part).write_text(json.dumps({"mark": strong}), encoding="utf-8")
    end, got = time.monotonic() + limits.file_s, start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        while chunk := answer.read(CHUNK):
            got += len(chunk)
            if got > limits.file_bytes:
                raise MediaError(f"has more bytes than the limit of {limits.file_bytes}", where=where)
            file.write(chunk)
            if time.monotonic() > end:
                raise Passing(f"took longer than {limits.file_s:g} s")
    if length is not None and got - start < length:
        raise Passing(f"broke off after {got} of {start + length} bytes")


def _left_over(part: Path) -> tuple[int, str]:
    """Bytes that an earlier try left, and the server's mark for them; (0, "") where they are no use."""
    try:
        mark = json.loads(_mark_path(part).read_text(encoding="utf-8"))["mark"]
        size = part.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""
    return (size, mark) if size and mark and isinstance(mark, str) else (0, "")


def _mark_path(part: Path) -> Path:
    return part.with_name(part.name + ".mark")


def forget(part: Path) -> None:
    """Remove what an attempt left."""
    part.unlink(missing_ok=True)
    _mark_path(part).unlink(missing_ok=True)


def _asked_wait(answer: http.client.HTTPResponse) -> float:
    text = answer.getheader("Retry-After", "")
    return min(60.0, float(text)) if text.isascii() and text.isdecimal() else 0.0
