"""A dataset repository on the Hugging Face Hub, through its own client (the `hub` extra).

Nothing here runs unless a command names an `hf://` address; telemetry is turned off before the client loads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sightline.core.errors import DatasetError, MissingExtra, UsageError

SCHEME = "hf://"
NAME = re.compile(r"(?:datasets/)?([\w.-]+/[\w.-]+)")
AGAIN = "run the same command again: it goes on where it stopped"


def repository_name(address: str) -> str:
    """`ORG/NAME` of `hf://ORG/NAME`; raises UsageError for another address."""
    found = NAME.fullmatch(address.removeprefix(SCHEME).strip("/")) if address.startswith(SCHEME) else None
    if found is None:
        raise UsageError(f"{address!r} names no repository", remedy="write hf://ORGANISATION/NAME")
    return found[1]


class HubRepository:
    """See `hub.Repository`.

    Args:
        address: `hf://ORG/NAME`.
        revision: branch, tag or commit.
        endpoint: of the Hub; else `HF_ENDPOINT` or the public one.

    Raises:
        UsageError: an address of another form.
        MissingExtra: the client is not installed.
    """

    def __init__(self, address: str, *, revision: str = "main", endpoint: str | None = None) -> None:
        self.id, self.revision, self.endpoint = repository_name(address), revision, endpoint
        self.name = f"{SCHEME}{self.id}"
        self._api: Any = _client().HfApi(endpoint=endpoint, library_name="sightline")

    def create(self, *, private: bool) -> None:
        """Make it, where it is not there; one that is keeps its visibility."""
        with self._told():
            self._api.create_repo(self.id, repo_type="dataset", private=private, exist_ok=True)

    def head(self) -> str:
        """The commit that the revision stands at."""
        with self._told():
            return str(self._api.dataset_info(self.id, revision=self.revision).sha)

    def files(self) -> set[str]:
        """Paths of its files."""
        with self._told():
            tree = self._api.list_repo_tree(
                self.id, repo_type="dataset", revision=self.revision, recursive=True
            )
            return {str(item.path) for item in tree if hasattr(item, "size")}

    def commit(self, message: str, add: Mapping[str, Path], delete: list[str]) -> None:
        """One commit with files from disk, and without others."""
        hub = _client()
        operations = [hub.CommitOperationAdd(name, str(path)) for name, path in add.items()]
        operations += [hub.CommitOperationDelete(name) for name in delete]
        with self._told():
            self._api.create_commit(
                self.id, operations, commit_message=message, repo_type="dataset", revision=self.revision
            )

    def download(self, path: str, commit: str, folder: Path) -> Path:
        """A file of a commit below `folder`; the client goes on with one that was cut short."""
        with self._told(path):
            found = _client().hf_hub_download(
                self.id, path, repo_type="dataset", revision=commit, local_dir=folder, endpoint=self.endpoint
            )
            return Path(found)

    @contextmanager
    def _told(self, path: str = "") -> Iterator[None]:
        """Errors of the client and of the network as ours."""
        hub = _client()
        errors = hub.errors
        where = f"{self.name}/{path}" if path else self.name
        try:
            yield
        except errors.EntryNotFoundError as error:
            what = "is not there: the repository holds no whole dataset of sightline"
            raise DatasetError(what, where=where, remedy="end the push that was cut short") from error
        except errors.RepositoryNotFoundError as error:
            what = "is not there, or not for this account"
            remedy = "check the name, and log in with: hf auth login"
            raise DatasetError(what, where=where, remedy=remedy) from error
        except errors.RevisionNotFoundError as error:
            raise DatasetError(f"has no revision {self.revision!r}", where=where) from error
        except (errors.HfHubHTTPError, OSError, RuntimeError, _transport()) as error:
            line = " ".join(str(error).split())[:300] or type(error).__name__
            raise DatasetError(f"the Hub failed ({line})", where=where, remedy=AGAIN) from error


def _client() -> Any:
    """The client's module, loaded without telemetry."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise MissingExtra("huggingface_hub", "hub") from error
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True  # it may have been loaded before
    import_module("huggingface_hub.utils").disable_progress_bars()  # the commands draw their own
    return huggingface_hub


def _transport() -> type[Exception]:
    """What the client's transport raises when nobody answers."""
    session = import_module("huggingface_hub.utils").get_session()
    for parent in type(session).__mro__:
        module = parent.__module__.partition(".")[0]
        if module.startswith("httpx"):
            found: type[Exception] = import_module(module).HTTPError
            return found
    return OSError
