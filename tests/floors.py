"""Print the oldest versions allowed by pyproject.toml as constraints: ``python tests/floors.py``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def floors(project: dict[str, Any]) -> list[str]:
    """Return ``NAME==VERSION`` of the dependencies and of all extras except the developers'."""
    extras = project.get("optional-dependencies", {})
    users = [name for name in extras if name not in ("dev", "docs")]
    texts = project["dependencies"] + [text for name in users for text in extras[name]]
    found = []
    for text in texts:
        if (match := re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", text)) is None:
            raise ValueError(f"{text!r} names no oldest version")
        found.append(f"{match[1]}=={match[2]}{text[match.end() :]}")
    return found


if __name__ == "__main__":
    lines = floors(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"])
    sys.stdout.write("\n".join(lines) + "\n")
