"""Records of results, compared with a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from manet_cli.images import Finished
from manet_cli.jobs.record import Record, dial_of, difference

WEIGHTS = "0" * 64


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ({"tile": 64}, {"tile": "auto"}, "was made with other settings (tile 64, not auto)"),
        ({"depth": 8}, {}, "was made with other settings (depth 8, not as by default)"),
        ({}, {"size": "x2.5"}, "was made with other settings (size as by default, not x2.5)"),
        (
            {"denoise": "auto 0.3"},
            {"denoise": "auto"},
            "has the same settings, but standard input is not compared",
        ),
        ({"later": "\x1b[2J" * 999}, {}, "was made with unknown settings"),
    ],
)
def test_what_differs(found: dict[str, object], wanted: dict[str, object], said: str) -> None:
    record = Record("a.png", WEIGHTS, WEIGHTS, found).to_json()
    assert difference(record, None, WEIGHTS, wanted).startswith(said)


def test_another_file_of_the_same_name(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"other")
    record = Record("a.png", WEIGHTS, WEIGHTS, {}).to_json()
    assert difference(record, photo, WEIGHTS, {}) == "was made from another picture or version of it"
    renamed = photo.rename(tmp_path / "b.png")
    assert difference(record, renamed, WEIGHTS, {}) == "was made from another picture"


@pytest.mark.parametrize(
    ("text", "dial"),
    [
        ("auto 0.35", 0.35),
        ("0", 0.0),
        ("1", 1.0),
        ("auto", None),
        ("auto 9e+999", None),
        ("-5", None),
        (7, None),
    ],
)
def test_the_dial_in_a_record(text: object, dial: float | None) -> None:
    fields = Record("a.png", WEIGHTS, WEIGHTS, {"denoise": text}).fields()
    assert dial_of(Finished(json.dumps(fields), (1, 1), True)) == dial
