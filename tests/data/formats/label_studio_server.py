"""A real Label Studio on loopback, for making fixtures and for the live round trip.

The program is found through `SIGHTLINE_LABEL_STUDIO` (its path) or on PATH; it belongs in an environment of
its own: `pip install label-studio==1.23.*`. Analytics, error reports and the look for newer versions are
turned off. Legacy tokens are off in this version, so requests carry a login cookie and its CSRF token.
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

STARTS_WITHIN_S = 240.0
PASSWORD = "fixtures-only-1"


def find_program() -> str | None:
    """The label-studio program, or None where there is none."""
    return os.environ.get("SIGHTLINE_LABEL_STUDIO") or shutil.which("label-studio")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """One signed-in user."""

    def __init__(self, base: str) -> None:
        self.base, self.cookies = base, http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def sign_in(self, email: str, *, page: str = "login") -> Client:
        """Log in, or with `page="signup"` make the account first."""
        self.raw("GET", f"/user/{page}/")
        form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": self._csrf()}
        self.raw("POST", f"/user/{page}/", urllib.parse.urlencode(form).encode())
        assert self.api("GET", "/api/current-user/whoami")["email"] == email
        return self

    def _csrf(self) -> str:
        return next((str(c.value) for c in self.cookies if c.name == "csrftoken"), "")

    def raw(self, method: str, path: str, body: bytes | None = None, kind: str | None = None) -> bytes:
        headers = {"X-CSRFToken": self._csrf(), "Referer": self.base}
        if kind:
            headers["Content-Type"] = kind
        request = urllib.request.Request(self.base + path, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=120) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:2000]!r}") from error

    def api(self, method: str, path: str, value: Any = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        answer = self.raw(method, path, body, "application/json")
        return json.loads(answer) if answer else None

    def new_project(self, title: str, config: str) -> int:
        return int(self.api("POST", "/api/projects/", {"title": title, "label_config": config})["id"])

    def upload(self, project: int, paths: list[Path]) -> None:
        """Each file becomes a task, named /data/upload/PROJECT/HASH-NAME by the server."""
        edge = uuid.uuid4().hex
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{p.name}"; filename="{p.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + p.read_bytes()
            + b"\r\n"
            for p in paths
        ]
        body = b"".join(parts) + f"--{edge}--\r\n".encode()
        self.raw("POST", f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={edge}")

    def tasks(self, project: int) -> list[dict[str, Any]]:
        page = self.api("GET", f"/api/tasks?project={project}&fields=all&page_size=1000")
        return sorted(page["tasks"], key=lambda task: task["id"])

    def annotate(self, task: int, result: list[dict[str, Any]], *, skip: bool = False) -> int:
        path = f"/api/tasks/{task}/annotations/"
        return int(self.api("POST", path, {"result": result, "was_cancelled": skip})["id"])

    def export(self, project: int, kind: str, **query: str) -> bytes:
        text = urllib.parse.urlencode({"exportType": kind, "download_all_tasks": "true", **query})
        return self.raw("GET", f"/api/projects/{project}/export?{text}")


class Server:
    """Starts label-studio in a folder of its own; use it as a context."""

    def __init__(self, program: str, folder: Path, **settings: str) -> None:
        self.program, self.folder, self.settings, self.port = program, folder, settings, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        quiet = {
            "COLLECT_ANALYTICS": "False",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "LATEST_VERSION_CHECK": "False",
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder / "server"),
        }
        words = [self.program, "start", "--no-browser", "--internal-host", "127.0.0.1"]
        words += ["--port", str(self.port), "--username", "first@example.org", "--password", PASSWORD]
        with (self.folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                words, env=os.environ | quiet | self.settings, stdout=log, stderr=log
            )
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end:
            try:
                Client(self.base).raw("GET", "/user/login/")
                return self
            except (OSError, RuntimeError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.5)
        self.__exit__()
        raise RuntimeError(f"the server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def user(self, email: str = "first@example.org") -> Client:
        """The owner, or another user whose account is made on the way."""
        page = "login" if email == "first@example.org" else "signup"
        return Client(self.base).sign_in(email, page=page)
