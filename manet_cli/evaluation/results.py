"""Lines of results, and the file from which a long run resumes.

The file has one line, a JSON object, per picture, kernel and model; every line is flushed to the disk before
the next picture starts. So that a later run can resume, a line contains the digests of the picture and of the
weights, the kernel, and every setting that changes a figure.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from manet_cli import __version__
from manet_cli.atomic import check_name, disk_reported, prepare_folder
from manet_cli.errors import OutputError, Parameter
from manet_cli.evaluation.measuring import FIGURES, Figures
from manet_cli.file_identity import is_file, is_folder, stored_path
from manet_cli.inference.dial import Denoise
from manet_cli.regular_file import read_stream

try:
    import fcntl
except ImportError:  # Windows: no lock against a second run with the same file
    fcntl = None  # type: ignore[assignment]

__all__ = ["Key", "Measurement", "Results", "Settings", "open_results"]

Key = tuple[str, str, str, str]
"""Picture name, its sha256, kernel, sha256 of the weights."""

_OUTPUT = Parameter("output")
_LONGEST = 1 << 30  # bytes of a results file
_LINE_START = b'{"image": '


@dataclass(frozen=True)
class Settings:
    """Settings of a run, the same in every line.

    Attributes:
        scale: HR pixels per LR pixel along a side.
        protocol: name of the test.
        steps: settings of the steps after the blur, in the syntax of their options, by step name.
        seed: random seed.
        device: cpu, cuda, mps, or the device of a runtime.
        precision: number format in use: fp32, bf16, fp16 or int8.
        tile: the user's tile size.
        denoise: amount of denoising, 0 to 1, or ``auto``; None for weights without this setting.
    """

    scale: int
    protocol: str
    steps: Mapping[str, str]
    seed: int
    device: str
    precision: str
    tile: str
    denoise: Denoise | None = None


@dataclass(frozen=True)
class Measurement:
    """One line: the figures of a model on one picture degraded by one kernel.

    Attributes:
        image: path of the picture, relative to the given folder and with ``/``.
        image_sha256: digest of its file.
        kernel: ``SIG1,SIG2,THETA`` or ``modeN``, with the steps after it in the protocol ``camera``.
        model: name of the model, as given by the user.
        weights_sha256: digest of its weight file.
        width: width of the HR image, cropped to a multiple of the scale, in pixels.
        height: likewise.
        figures: the measured figures.
        settings: settings of the run.
    """

    image: str
    image_sha256: str
    kernel: str
    model: str
    weights_sha256: str
    width: int
    height: int
    figures: Figures
    settings: Settings

    @property
    def key(self) -> Key:
        """Unique key of the line in a run."""
        return self.image, self.image_sha256, self.kernel, self.weights_sha256

    def fields(self) -> dict[str, object]:
        """Return the line as a flat mapping for a script, without infinities."""
        fields: dict[str, object] = {
            "image": self.image,
            "image_sha256": self.image_sha256,
            "kernel": self.kernel,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "width": self.width,
            "height": self.height,
        }
        fields |= dataclasses.asdict(self.figures)
        return fields | {
            "settings": dataclasses.asdict(self.settings),
            "tool": f"manet_cli {__version__}",
            "error": None,
        }

    def encoded(self) -> bytes:
        """Encode the line for the file."""
        return json.dumps(self.fields(), allow_nan=False).encode() + b"\n"


class Results:
    """The lines of a run: those found in its file, and new ones.

    Args:
        file: file to append lines to; None for no file.
        found: lines already in the file.
    """

    def __init__(self, file: BinaryIO | None, found: Mapping[Key, Measurement]) -> None:
        self._file = file
        self._found = found

    def find(self, key: Key) -> Measurement | None:
        """Return a line of an earlier run; None if there is none."""
        return self._found.get(key)

    def append(self, measurement: Measurement) -> None:
        """Append a line and flush it to the disk.

        Raises:
            OutputError: the line cannot be written.
        """
        if self._file is None:
            return
        with disk_reported(self._file.name, "free some space; its lines are kept"):
            rest = measurement.encoded()
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())


@contextmanager
def open_results(path: Path | None, settings: Settings) -> Iterator[Results]:
    """Open or create a results file, and read its lines.

    An incomplete last line is removed; nothing else in the file changes.

    Args:
        path: the file; None for no file.
        settings: settings of this run.

    Raises:
        OutputError: the file has other content or results of other settings, another run is writing it, or
            it cannot be written.
    """
    if path is None:
        yield Results(None, {})
        return
    check_name(path)
    if is_folder(path):
        raise OutputError(
            f"{path} is a folder: choose a file for ", _OUTPUT, f", such as {path / 'results.jsonl'}"
        )
    if os.path.exists(path) and not is_file(path):  # noqa: PTH110 - as is_file
        raise OutputError(f"{path} is not a regular file: choose another ", _OUTPUT)
    prepare_folder(path.parent)
    stored = stored_path(path)
    if stored != Path(os.path.realpath(path)):
        path = stored  # so that the lock is the same for all spellings on a disk that ignores case
    with disk_reported(str(path), "choose another ", _OUTPUT):
        # Unbuffered: after a full disk, closing a buffered file would try to write, and fail, again.
        file = path.open("a+b", buffering=0)
    with file:
        _lock(file, path)
        file.seek(0)
        try:
            content = read_stream(file, _LONGEST)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be read ({error.strerror}): choose another ", _OUTPUT
            ) from error
        whole = content[: content.rfind(b"\n") + 1]
        _check_rest(content[len(whole) :], path)
        found = _read_lines(whole, path, settings)
        file.truncate(len(whole))
        yield Results(file, found)


def _lock(file: BinaryIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"another run is writing {path}: wait for it, or choose another ", _OUTPUT
        ) from error
    except OSError:  # a file system without locks
        return


def _check_rest(rest: bytes, path: Path) -> None:
    """Raise OutputError if an incomplete last line cannot be the start of one of our lines."""
    length = min(len(rest), len(_LINE_START))
    if rest[:length] != _LINE_START[:length]:
        raise _foreign(path)


def _read_lines(content: bytes, path: Path, settings: Settings) -> dict[Key, Measurement]:
    found = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            fields = json.loads(line)
            theirs = dict(fields["settings"])
            measurement = _measurement(fields, settings)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _foreign(path, number) from error
        differences = _differences(theirs, dataclasses.asdict(settings))
        if differences:
            raise OutputError(
                f"{path} has results of other settings ({differences}): choose another ",
                _OUTPUT,
                ", or give the settings of that file",
            )
        found[measurement.key] = measurement
    return found


def _measurement(fields: Mapping[str, object], settings: Settings) -> Measurement:
    """Decode a line from `Measurement.fields`; raise KeyError, TypeError or ValueError for any other line."""
    texts = [fields[name] for name in ("image", "image_sha256", "kernel", "model", "weights_sha256")]
    width, height = fields["width"], fields["height"]
    figures = {name: fields[name] for name in FIGURES}
    if not (isinstance(width, int) and isinstance(height, int)):
        raise TypeError
    if not all(value is None or isinstance(value, float | int) for value in figures.values()):
        raise TypeError
    numbers = {name: value for name, value in figures.items() if isinstance(value, float | int)}
    image, image_sha256, kernel, model, weights_sha256 = (_text(value) for value in texts)
    return Measurement(
        image, image_sha256, kernel, model, weights_sha256, width, height, Figures(**numbers), settings
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _differences(theirs: Mapping[str, object], ours: Mapping[str, object]) -> str:
    """Return the differences of two runs' settings as text; empty if there are none."""
    names = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    return "; ".join(f"{name} {theirs.get(name)}, now {ours.get(name)}" for name in names)


def _foreign(path: Path, line: int | None = None) -> OutputError:
    where = "" if line is None else f" (line {line})"
    return OutputError(f"{path} does not hold results of this command{where}: choose another ", _OUTPUT)
