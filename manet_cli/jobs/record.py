"""The record inside an output: its input, weights and settings, so that a later run can skip or replay it.

Equal runs write equal records: a record has no path, time, host or name of the output.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from manet_cli import __version__
from manet_cli.file_identity import is_file
from manet_cli.images import Finished, read_finished
from manet_cli.weights import file_sha256

__all__ = [
    "COMMAND",
    "SETTINGS",
    "Record",
    "agrees",
    "dial_of",
    "difference",
    "is_kept",
    "made_from",
    "parse_record",
]

_log = logging.getLogger(__name__)

Settings = Mapping[str, object]

COMMAND = "upscale"
"""The default command. Records do not name it."""


def _matches(pattern: str, longest: int = 200) -> Callable[[object], bool]:
    """Return a check for short text that matches a pattern."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: (
        isinstance(value, str) and len(value) <= longest and compiled.fullmatch(value) is not None
    )


def _whole(lowest: int, highest: int) -> Callable[[object], bool]:
    """Return a check for a whole number within bounds."""
    return lambda value: type(value) is int and lowest <= value <= highest


_NUMBER = r"-?\d+(\.\d+)?(e[-+]\d+)?"
_SIGMA = rf"{_NUMBER}(,{_NUMBER}){{0,2}}"
_DIGEST = r"[0-9a-f]{64}"
_TOOL = r"manet_cli [\w.+!-]{1,60}"
_LONGEST_NAME = 255

_digests = _matches(rf"{_DIGEST}(,{_DIGEST}){{0,9}}", longest=700)

SETTINGS: Mapping[str, Callable[[object], bool]] = {
    "scale": _whole(2, 4),
    "registration": _matches("input|protocol"),
    "blur": _matches(f"estimated|sigma {_SIGMA}|(kernel|kernel-map) {_DIGEST}"),
    "strength": lambda value: type(value) in (int, float) and 0 < value <= 10,  # type: ignore[operator]
    "smooth": _whole(0, 64),
    "flat-sigma": _matches(_SIGMA),
    "denoise": _matches(rf"(auto )?{_NUMBER}|auto"),
    "precision": _matches("auto|fp32|bf16|fp16|int8"),
    "tile": lambda value: value == "auto" or _whole(0, 10**9)(value),
    "exact": lambda value: isinstance(value, bool),
    "quality": _whole(1, 100),
    "size": _matches(r"x\d+\.\d+|\d*x\d*"),
    "depth": lambda value: value in (8, 16) and type(value) is int,
    "crop": _matches(r"\d+(,\d+){3}"),
    "model": _digests,
    "with": _digests,
    "shrink": lambda value: value == "auto" or _whole(1, 4)(value),
    "coarse-weights": _matches(_DIGEST),
}
"""Settings that a record may hold, and a check for each value: ``blur``, and names of options without dashes.

The checks are strict because anyone may have written the record. ``model`` and ``with`` hold digests of
further weights and files, separated by commas; ``coarse-weights`` holds the digest of the weights for a wide
blur. `replay` turns all others into options. Add each new option that changes pixels here.
"""


@dataclass(frozen=True)
class Record:
    """Origin of an output.

    Attributes:
        input_name: file name of the input, without its folder.
        input_sha256: digest of the input file.
        weights_sha256: digest of the weight file.
        settings: every setting that changes pixels, as given by the user: option names without dashes, and
            values. Options of later versions are stored only if they differ from their default, so that
            outputs of older versions are still recognised.
        tool: name and version of the program.
        command: command of the run.
    """

    input_name: str
    input_sha256: str
    weights_sha256: str
    settings: Settings
    tool: str = f"manet_cli {__version__}"
    command: str = COMMAND

    @classmethod
    def of(
        cls, name: str, data: bytes, weights_sha256: str, settings: Settings, command: str = COMMAND
    ) -> Record:
        """Make the record for an input's content.

        Raises:
            ValueError: a setting that `SETTINGS` does not know.
        """
        if unknown := settings.keys() - SETTINGS.keys():
            raise ValueError(f"settings that cannot be replayed: {sorted(unknown)}; add them to SETTINGS")
        digest = hashlib.sha256(data).hexdigest()
        return cls(Path(name).name, digest, weights_sha256, settings, command=command)

    def to_json(self) -> str:
        """Return the record as one line of ASCII JSON."""
        return json.dumps(self.fields())

    def fields(self) -> dict[str, object]:
        """Return the record as fields for JSON."""
        command = {} if self.command == COMMAND else {"command": self.command}
        return {
            "tool": self.tool,
            **command,
            "input": self.input_name,
            "input_sha256": self.input_sha256,
            "weights_sha256": self.weights_sha256,
            "settings": dict(self.settings),
        }


def made_from(
    output: Path, path: Path, weights_sha256: str, settings: Settings, command: str = COMMAND
) -> Finished | None:
    """Return the state of ``output`` if its record has this command, input, weights and settings; else None.

    The state says whether the file is truncated or edited. Names do not matter, so files can be renamed and
    moved. The input is read only if everything else agrees.

    Raises:
        OSError: the input cannot be read.
    """
    found = read_finished(output) if is_file(output) else None
    return found if found and agrees(found.record, path, weights_sha256, settings, command) else None


def dial_of(made: Finished) -> float | None:
    """Return the position of the dial in the record of a result; None for none."""
    record = parse_record(made.record)
    dial = record.settings.get("denoise") if record else None
    if not SETTINGS["denoise"](dial) or dial == "auto":
        return None
    number = float(str(dial).split()[-1])
    return number if 0 <= number <= 1 else None


def agrees(text: str | None, path: Path, weights_sha256: str, settings: Settings, command: str) -> bool:
    """Whether a record is that of a command, input, weights and settings; see `made_from`.

    Raises:
        OSError: the input cannot be read.
    """
    record = parse_record(text)
    if record is None or _other_run(record, weights_sha256, settings, command) is not None:
        return False
    return record.input_sha256 == file_sha256(path)


def difference(
    text: str | None, path: Path | None, weights_sha256: str, settings: Settings, command: str = COMMAND
) -> str:
    """Return why an existing file is not the result of a run: ``was made with other weights``.

    Args:
        text: record in the file.
        path: the input; None for standard input, which is not compared.
        weights_sha256: digest of the weights of the run.
        settings: of the run.
        command: of the run.

    Raises:
        OSError: the input cannot be read.
    """
    record = parse_record(text)
    if record is None:
        return "has no record that this tool made it"
    if path is not None and record.input_sha256 != file_sha256(path):
        same = " or version of it" if path.name == record.input_name else ""
        return f"was made from another picture{same}"
    if (other := _other_run(record, weights_sha256, settings, command)) is not None:
        return other
    return "has the same settings" + (", but standard input is not compared" if path is None else "")


def _other_run(record: Record, weights_sha256: str, settings: Settings, command: str) -> str | None:
    """Return how a record differs from a run, apart from the input; None if it agrees."""
    if record.command != command:
        return f"was made by 'manet {record.command}'"
    if record.weights_sha256 != weights_sha256:
        return "was made with other weights"
    # Through JSON, so that tuples become lists.
    wanted = json.loads(json.dumps(dict(settings)))
    found = _as_asked(record.settings, wanted)
    if found == wanted:
        return None
    # Records are untrusted: name only known settings.
    names = [name for name in SETTINGS if found.get(name) != wanted.get(name)]
    said = (f"{name} {_shown(found, name)}, not {_shown(wanted, name)}" for name in names)
    return f"was made with other settings ({'; '.join(said)})" if names else "was made with unknown settings"


def _shown(settings: Settings, name: str) -> str:
    return str(settings[name])[:60] if name in settings else "as by default"


def is_kept(output: Path, made: Finished | None) -> bool:
    """Whether to keep a file that `made_from` has found; log a warning if it must be made again."""
    if made is not None and not made.whole:
        _log.warning("%s is cut off before its end: it is made again", output)
    return made is not None and made.whole


def _as_asked(found: Settings, wanted: Settings) -> Settings:
    """Return recorded settings with the dial as in ``wanted``, if it agrees.

    A measured dial is recorded as ``auto 0.35``, which matches ``auto`` and ``0.35``.
    """
    words = str(found.get("denoise", "")).split()
    return {**found, "denoise": wanted["denoise"]} if wanted.get("denoise") in words else found


def parse_record(text: str | None) -> Record | None:
    """Parse a record; None if there is no text or it is not a record."""
    try:
        fields = json.loads(text or "")
        record = Record(
            fields["input"],
            fields["input_sha256"],
            fields["weights_sha256"],
            fields["settings"],
            fields["tool"],
            fields.get("command", COMMAND),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    digest, name = _matches(_DIGEST), record.input_name
    valid = (
        *(isinstance(name, str) and len(name) <= _LONGEST_NAME, isinstance(record.settings, dict)),
        *(digest(record.input_sha256), digest(record.weights_sha256), _matches(_TOOL)(record.tool)),
        _matches("[a-z]{1,20}")(record.command),
    )
    return record if all(valid) else None
