"""Structured logs: one JSON object a line, with a request's id and never a token or a body."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO


class Log:
    """Writes lines of JSON; thread-safe, and silent where nobody reads any more.

    Args:
        to: a text stream; standard error by default.
        requests: whether every request gets a line.
    """

    def __init__(self, to: TextIO | None = None, *, requests: bool = True) -> None:
        self._to, self.requests = to if to is not None else sys.stderr, requests
        self._lock = threading.Lock()

    def line(self, event: str, **values: Any) -> None:
        """One event."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps({"at": at, "event": event, **values}, ensure_ascii=True, default=str)
        with self._lock:
            try:
                self._to.write(text + "\n")
                self._to.flush()
            except (OSError, ValueError):  # the reader of a pipe has gone: serving goes on
                return

    def fault(self, event: str, error: BaseException, **values: Any) -> None:
        """A fault of ours, with its traceback; clients get the request's id only."""
        trace = "".join(traceback.format_exception(error))[-8000:]
        self.line(event, error=type(error).__name__, trace=trace, **values)
