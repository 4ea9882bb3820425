"""Make the tables of formats in the docs from the list: ``python -m tests.format_tables``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from manet_cli.images.formats import FORMATS, ImageFormat

ROOT = Path(__file__).parents[1]
METADATA = {"exif": "EXIF", "icc_profile": "ICC", "xmp": "XMP", "iptc": "IPTC", "dpi": "DPI"}


def kept_table() -> str:
    """The table of metadata and depths kept by each format."""
    head = ["format", *METADATA.values(), "grey", "16 bits", "alpha", "record of the run"]
    rows = [
        [
            entry.title,
            *(_yes(field in entry.metadata) for field in METADATA),
            _grey(entry),
            _yes(entry.bits16),
            _yes(entry.alpha),
            entry.record or "none",
        ]
        for entry in FORMATS
    ]
    return _table(head, rows)


def written_table() -> str:
    """The table of each format's encoding."""
    head = [
        "format",
        "suffixes",
        "`--quality`",
        "needs",
        "encoded",
        "memory of the encoder",
        "file, at least",
        "longest side",
        "most pixels",
    ]
    rows = [
        [
            entry.title,
            " ".join(f"`{suffix}`" for suffix in entry.suffixes),
            "-" if entry.default_quality is None else f"1 to 100; {entry.default_quality}",
            _needs(entry),
            "row by row" if entry.streamed else "as a whole",
            _memory(entry),
            f"{entry.least_share:.0%}",
            f"{entry.largest_side:,}",
            "-" if entry.largest_area is None else f"{entry.largest_area:,}",
        ]
        for entry in FORMATS
    ]
    return _table(head, rows)


TABLES = {"kept": ("docs/photographers.md", kept_table), "written": ("docs/files.md", written_table)}
"""Name of a table -> its page, and the function that makes it."""


def documented_table(name: str) -> str:
    """The table in the page, after the comment with its name."""
    page = (ROOT / TABLES[name][0]).read_text(encoding="utf-8")
    match = re.search(rf"<!-- formats: {name} -->\n((?:\|.*\n)+)", page)
    assert match is not None, f"{TABLES[name][0]} has no table of formats called {name!r}"
    return match[1]


def write_tables() -> None:
    for name, (page, table) in TABLES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8").replace(documented_table(name), table())
        path.write_text(text, encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, *rows]
    return "".join(
        f"| {' | '.join(line)} |\n" + ("|---" * len(line) + "|\n") * (number == 0)
        for number, line in enumerate(lines)
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _grey(entry: ImageFormat) -> str:
    if not entry.grey:
        return "becomes RGB"
    return "with alpha becomes RGB" if entry.alpha and not entry.grey_with_alpha else "yes"


def _needs(entry: ImageFormat) -> str:
    if entry.extra is not None:
        return f"`pip install 'manet-cli[{entry.extra}]'`"
    return "-" if entry.pillow_feature is None else f"Pillow with {entry.title}"


def _memory(entry: ImageFormat) -> str:
    if entry.encoder_memory == 0:
        return "a few rows"
    limit = entry.encoder_memory_limit
    return f"{entry.encoder_memory:g} times the result" + (
        "" if limit is None else f", at most {limit // 10**6} MB"
    )


if __name__ == "__main__":
    write_tables()
    sys.stdout.write("".join(f"{page}: {name}\n" for name, (page, _) in TABLES.items()))
