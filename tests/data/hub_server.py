"""A small Hub on loopback: as much of its API as pushing and pulling a dataset asks for.

Repositories, commits (every one a whole tree), large files by hash, the tree, and files by commit with
ranges. It counts what arrives and can be told to fail, so that the real client meets interrupted transfers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit


class FakeHub:
    """Holds repositories; use it as a context.

    Attributes:
        commits: trees by commit, the newest last: path -> content.
        large: contents that came by hash, before a commit names them.
        counts: requests by kind.
        refuse: kinds of request that fail, with how many times.
        cut: bytes after which a download of a shard is cut short, once.
        agents: what clients said they were.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.counts: Counter[str] = Counter()
        self.refuse: Counter[str] = Counter()
        self.cut = 0
        self.agents: set[str] = set()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def head(self) -> str:
        return next(reversed(self.commits), "")

    @property
    def tree(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def add_commit(self, tree: dict[str, bytes]) -> str:
        name = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[name] = tree
        return name


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            out = b""
            while size := int(self.rfile.readline(), 16):
                out += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return out
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, value: Any, status: int = 200, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refused(self, kind: str) -> bool:
        hub = self.server_hub
        hub.agents.add(self.headers.get("User-Agent", ""))
        hub.counts[kind] += 1
        if hub.refuse[kind] <= 0:
            return False
        hub.refuse[kind] -= 1
        self._answer({"error": "told to refuse"}, 403, X_Error_Message="told to refuse")
        return True

    def do_POST(self) -> None:
        path, hub, body = urlsplit(self.path).path, self.server_hub, self._body()
        kind = next(
            (k for k in ("create", "preupload", "commit", "batch", "validate-yaml") if k in path), "?"
        )
        if self._refused(kind):
            return
        if kind == "create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if name in hub.private:
                self._answer({"error": "exists", "url": f"{hub.endpoint}/datasets/{name}"}, 409)
                return
            hub.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            hub.add_commit({})
            self._answer({"url": f"{hub.endpoint}/datasets/{name}"})
        elif kind == "preupload":
            files = json.loads(body)["files"]
            modes = [
                (f["path"], "lfs" if f["path"].endswith((".tar", ".parquet")) else "regular") for f in files
            ]
            rows = [{"path": p, "uploadMode": m, "shouldIgnore": False, "oid": None} for p, m in modes]
            self._answer({"files": rows})
        elif kind == "batch":
            rows = []
            for item in json.loads(body)["objects"]:
                action = {"upload": {"href": f"{hub.endpoint}/upload/{item['oid']}"}}
                rows.append(dict(item) if item["oid"] in hub.large else item | {"actions": action})
            self._answer({"transfer": "basic", "objects": rows})
        elif kind == "commit":
            self._commit(body)
        else:
            self._answer({"errors": [], "warnings": []})

    def _commit(self, body: bytes) -> None:
        hub = self.server_hub
        tree = dict(hub.tree)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                tree[value["path"]] = hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del tree[value["path"]]
        name = hub.add_commit(tree)
        url = f"{hub.endpoint}/{urlsplit(self.path).path.removeprefix('/api/')}".replace("main", name)
        self._answer({"success": True, "commitOid": name, "commitUrl": url})

    def do_PUT(self) -> None:
        data, hub = self._body(), self.server_hub
        if self._refused("upload"):
            return
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        hub.large[hashlib.sha256(data).hexdigest()] = data
        self._answer(b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, hub = unquote(urlsplit(self.path).path), self.server_hub
        resolve = re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        api = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/(tree|revision)/([^/]+)", path)
        found = resolve or api
        if found is None or found[1] not in hub.private:
            self._answer({"error": "no repository"}, 404, X_Error_Code="RepoNotFound")
        elif resolve is not None:
            self._file(resolve[2], resolve[3])
        elif api is not None and api[2] == "revision":
            if not self._refused("revision"):
                self._answer({"id": api[1], "sha": hub.head, "siblings": [], "private": True})
        elif not self._refused("tree"):
            rows = [
                {"type": "file", "path": p, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                for p, d in hub.tree.items()
            ]
            self._answer(rows)

    def _file(self, commit: str, path: str) -> None:
        hub = self.server_hub
        commit = hub.head if commit == "main" else commit
        data = hub.commits.get(commit, {}).get(path)
        if data is None:
            self._answer({"error": "no entry"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            return
        if self._refused("head" if self.command == "HEAD" else "download"):
            return
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X_Repo_Commit": commit}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if start:
            hub.counts["resumed"] += 1
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET" and hub.cut and path.endswith(".tar") and len(data) > hub.cut:
            cut, hub.cut = hub.cut, 0
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", headers["ETag"])
            self.end_headers()
            self.wfile.write(data[:cut])
            self.wfile.flush()
            self.close_connection = True
            return
        self._answer(data[start:], 206 if start else 200, **headers)
