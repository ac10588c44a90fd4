"""Writes what an operator installs: alert rules for Prometheus and dashboards for Grafana.

python -m sightline.monitor.shipped FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from sightline.core.files import write_json, write_text
from sightline.monitor.alerts import rules

HEAD = "# Made by `make dashboards` from sightline.monitor.alerts; edit that, not this.\n"


def alert_text() -> str:
    """The rule file."""
    return HEAD + yaml.safe_dump(rules(), sort_keys=False, allow_unicode=True, width=110)


def write(folder: Path) -> list[Path]:
    """Write every file, and return their places."""
    from sightline.monitor.dashboards import DASHBOARDS

    written = [folder / "prometheus" / "sightline_alerts.yaml"]
    write_text(written[0], alert_text())
    for name, build in DASHBOARDS.items():
        written.append(folder / "grafana" / f"sightline_{name}.json")
        write_json(written[-1], build())
    return written


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        print(path)
