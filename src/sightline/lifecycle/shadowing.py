"""What a challenger did as a shadow of the version in use, asked of the service and weighed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from sightline.core.errors import UsageError
from sightline.core.problem import ShadowSection

ANSWER_S = 3.0
# A bearer token for a service that wants one.
TOKEN = "SIGHTLINE_TOKEN"
Plain = dict[str, Any]


def asked(service: str, path: str) -> Any:
    """What a running service answers, as plain values.

    Args:
        service: its address, `http://HOST:PORT`.
        path: of the route, beginning with a slash.

    Raises:
        OSError: it does not answer, or refuses.
        ValueError: no address, or the answer is no JSON.
    """
    token = os.environ.get(TOKEN, "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(service.rstrip("/") + path, headers=headers), timeout=ANSWER_S) as answer:
        return json.load(answer)


def shadow_of(service: str) -> Plain | None:
    """What the shadow of a running service found; None where it has none.

    Raises:
        UsageError: the service does not answer.
    """
    try:
        found: Plain = asked(service, "/shadow")
        return found
    except HTTPError as error:
        if error.code == 404:
            return None
        raise UsageError(f"refuses to tell of its shadow ({error})", where=service) from error
    except (URLError, OSError, ValueError) as error:
        raise UsageError(f"does not answer ({error})", where=service) from error


def weighed(
    section: ShadowSection | None, found: Mapping[str, Any] | None, mark: str, champion: str
) -> tuple[Plain, list[str]]:
    """What a shadow's answers say for a promotion, for the log, and what speaks against it.

    Args:
        section: what the problem wants of a shadow; None where it wants none.
        found: what `shadow_of` gave.
        mark: `packages.package_mark` of the package that is to be promoted.
        champion: version in use.
    """
    if found is None:
        if section is None:
            return {}, []
        asked_for = f"{section.pictures} pictures are asked for by retrain.shadow"
        return {}, [f"was not tried as a shadow, {asked_for} (serve --shadow, then promote --shadow ADDRESS)"]
    if found["package"] != mark:
        return {}, [f"the service's shadow is another package, version {found['version']}"]
    beside: Plain = found["against"].get(champion, {"pictures": 0, "share": 0.0})
    told = {"version": found["version"], "champion": champion, **beside}
    wanted = section or ShadowSection(pictures=1)
    against = []
    if beside["pictures"] < wanted.pictures:
        seen = f"{beside['pictures']} pictures beside version {champion}"
        against.append(f"as a shadow it has answered {seen}, wanted {wanted.pictures}")
    elif beside["share"] < wanted.at_least:
        agreed = f"on {beside['share']:.1%} of {beside['pictures']} pictures"
        against.append(f"as a shadow it agreed {agreed}, wanted {wanted.at_least:.0%}")
    return told, against


def sentence(found: Mapping[str, Any], champion: str) -> str:
    """One line on a shadow for a person."""
    if found["fault"]:
        return f"shadow {found['version']} does not run: {found['fault']}"
    beside = found["against"].get(champion)
    if beside is None:
        return f"shadow {found['version']} has answered nothing beside version {champion}"
    low, high = (f"{100 * value:.0f}" for value in beside["interval"])
    told = f"shadow {found['version']} agrees on {beside['share']:.0%} of {beside['pictures']} pictures"
    told += f" (95%: {low} to {high}%)"
    if beside["moves"]:
        was, now, count = beside["moves"][0]
        told += f", most often not: {was} is {now} to it ({count} times)"
    return told
