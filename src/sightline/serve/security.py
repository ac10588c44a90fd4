"""Who may ask, and how often: bearer tokens, token buckets, origins."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sightline.core.errors import UsageError
from sightline.serve.refusals import Refused

VARIABLE = "SIGHTLINE_TOKENS"
SHORTEST = 16
MOST_BUCKETS = 10_000
Headers = Mapping[bytes, bytes]


class Tokens:
    """Bearer tokens by the name of their owner; only their hashes are kept.

    Args:
        owners: owner's name -> token.

    Raises:
        UsageError: a token that is too short to be safe, or given twice.
    """

    def __init__(self, owners: Mapping[str, str]) -> None:
        for owner, token in owners.items():
            if len(token) < SHORTEST:
                raise UsageError(
                    f"token of {owner!r} has {len(token)} characters, at least {SHORTEST} are needed",
                    remedy="make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
                )
        if len(set(owners.values())) < len(owners):
            raise UsageError("a token is given twice", remedy="one for each owner")
        self._hashes = [(owner, _hash(token)) for owner, token in owners.items()]

    def __len__(self) -> int:
        return len(self._hashes)

    def owner(self, token: str) -> str | None:
        """Whose token it is; takes as long for a wrong one as for a right one, wherever it differs."""
        given, found = _hash(token), None
        for owner, known in self._hashes:
            if hmac.compare_digest(given, known):
                found = owner
        return found

    @classmethod
    def read(cls, file: Path | None, environment: Mapping[str, str] = os.environ) -> Tokens:
        """Tokens of a file (a line each, `name:token` or a bare token, `#` comments) and the environment.

        The environment's `SIGHTLINE_TOKENS` holds the same, divided by commas.

        Raises:
            UsageError: the file cannot be read, or a token is too short or given twice.
        """
        lines = environment.get(VARIABLE, "").split(",")
        if file is not None:
            try:
                lines += file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"tokens cannot be read ({error})", where=file) from error
        owners: dict[str, str] = {}
        for line in (text.strip() for text in lines):
            if not line or line.startswith("#"):
                continue
            owner, colon, token = line.partition(":")
            owner, token = (owner, token) if colon else (f"token{len(owners) + 1}", line)
            if owner in owners:
                raise UsageError(f"two tokens are of {owner!r}", where=file or VARIABLE)
            owners[owner] = token
        if file is not None and not owners:
            raise UsageError("holds no token", where=file)
        return cls(owners)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def token_of(headers: Headers) -> str:
    """The token a request carries: `Bearer`, or the password of `Basic`, which some callers only know.

    A browser cannot add headers to a WebSocket: there it may be the subprotocol `bearer.TOKEN`.
    """
    kind, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            pair = base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return pair.partition(":")[2]
    offered = headers.get(b"sec-websocket-protocol", b"").decode("latin-1").split(",")
    return next((word.strip()[7:] for word in offered if word.strip().startswith("bearer.")), "")


class Rates:
    """A token bucket for each owner, or each address where there are no tokens.

    Args:
        per_s: requests a second that go on for ever; 0 sets no limit.
        burst: requests that may come at once.
    """

    def __init__(self, per_s: float, burst: float | None = None) -> None:
        self._per_s, self._burst = per_s, burst if burst is not None else max(1.0, per_s)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float | None = None) -> None:
        """Count one request.

        Raises:
            Refused: 429 with the seconds until the next one is let in.
        """
        if self._per_s <= 0:
            return
        now = time.monotonic() if now is None else now
        left, at = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = (1 - left) / self._per_s
            raise Refused(429, "rate", f"over {self._per_s:g} requests a second", retry_after_s=wait_s)


def check_origin(headers: Headers, allowed: frozenset[str]) -> None:
    """Refuse what a page of another site makes a browser send.

    Raises:
        Refused: 403, the `Origin` is neither the service's own host nor allowed.
    """
    origin = headers.get(b"origin", b"").decode("latin-1")
    if not origin or origin in allowed:
        return
    if urlsplit(origin).netloc != headers.get(b"host", b"").decode("latin-1"):
        raise Refused(403, "origin", "this origin may not call the service; see --origin")
