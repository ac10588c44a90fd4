"""YAML as plain values, refused with one line where it is not."""

from __future__ import annotations

import json
from typing import Any

import yaml

from sightline.core.errors import ProblemError


def plain_yaml(text: str, where: object) -> Any:
    """The values of a YAML text, which must be such that JSON can hold them; `where` names it in errors.

    Raises:
        ProblemError: no YAML, nested too deeply, or a value that JSON cannot hold.
    """
    try:
        value = yaml.safe_load(text)
        json.dumps(value, default=str, skipkeys=True, ensure_ascii=False).encode()
    except RecursionError:
        raise ProblemError("is nested too deeply", where=where) from None
    except yaml.YAMLError as error:
        raise ProblemError(f"is not YAML: {_one_line(error)}", where=where) from error
    except (ValueError, AttributeError) as error:  # what PyYAML lets through: 2026-02-30, !!int abc
        raise ProblemError(
            f"holds a value that cannot be taken ({_one_line(error)})", where=where, remedy="put it in quotes"
        ) from error
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
