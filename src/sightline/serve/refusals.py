"""What a client is refused with: one type, one JSON body, no traceback."""

from __future__ import annotations

import json

from sightline.core.errors import ContractError, SightlineError


class Refused(Exception):
    """A request that is not answered as it asked.

    Args:
        status: HTTP status, 4xx or 5xx.
        code: a short word a program can compare (`too_large`, `queue_full`).
        message: what is wrong, the limit, the remedy.
        retry_after_s: seconds after which trying again makes sense.
        allow: methods to name where the method was wrong.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_s: float | None = None, allow: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after_s, self.allow = retry_after_s, allow

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers besides the content's; whole seconds, at least one, as RFC 9110 has it."""
        found = []
        if self.retry_after_s is not None:
            found.append((b"retry-after", b"%d" % max(1, round(self.retry_after_s + 0.5))))
        if self.status == 401:
            found.append((b"www-authenticate", b'Bearer realm="sightline"'))
        if self.allow:
            found.append((b"allow", self.allow.encode()))
        return found

    def body(self, request_id: str) -> bytes:
        """The reason as JSON; `error` is text, as the Open Inference Protocol wants it."""
        return json.dumps({"error": self.message, "code": self.code, "id": request_id}).encode()


def refusal_of(error: SightlineError) -> Refused:
    """An error of the library as a refusal: what came in is the client's, a broken contract is ours."""
    if isinstance(error, ContractError):
        return Refused(500, "contract", str(error))
    return Refused(422, "bad_input", str(error))
