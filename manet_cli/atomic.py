"""Atomic writing: a file gets its name only when it is complete."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manet_cli.errors import OutputError
from manet_cli.file_identity import is_folder, stored_name, stored_path

try:
    import fcntl
except ImportError:  # Windows: an open file cannot be removed, which serves as the lock
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "atomic_path",
    "check_folder",
    "check_name",
    "disk_reported",
    "exclusive",
    "is_temporary",
    "not_written",
    "prepare_folder",
    "remove_held",
    "remove_leftovers",
]

_log = logging.getLogger(__name__)

_PREFIX, _SUFFIX = ".", ".manet-tmp"
_LONGEST_NAME = 255  # bytes, on the usual file systems
_LONGEST_PATH = 4000  # bytes; Linux allows 4095, and temporary files have longer names
_ATTEMPTS = 100
_WAIT = 0.1  # seconds between two attempts to lock
_HELD_ELSEWHERE = (errno.EWOULDBLOCK, errno.EACCES)
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_DISK_ERRORS = (*_FULL_ERRORS, errno.EFBIG, errno.EIO, errno.EROFS)
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # some network and user-space file systems

# Temporary files and locks of this process, to remove if it ends without unwinding.
_held: set[Path] = set()


@contextmanager
def atomic_path(final: Path, *, name: str | None = None, advice: tuple[object, ...] = ()) -> Iterator[Path]:
    """Yield the path of an empty temporary file beside `final`; rename it to `final` when the block ends.

    The block writes to that path; it must not rename or remove it. At its end the content is flushed to the
    disk, and an existing `final` is replaced in one step. After any exception the temporary file is removed
    and `final` is unchanged. The temporary file is `.NAME.manet-tmp` (a long NAME is shortened). It is locked
    while in use and has the umask's permissions. If `final` is a link, its target is replaced.

    `name` and `advice` go into the message, see `not_written`; by default the name is `final.name`.

    Raises OutputError if another process or thread is writing the same file (also under a name in another
    case where the disk ignores case), if the file cannot be made, if `final` is no regular file, and if the
    disk fails or is full while the block writes.
    """
    shown = final.name if name is None else name
    check_name(final)
    final = _followed(final, shown)
    try:
        claim = _claimed(final.with_name(_temporary_name(final.name)))
    except OSError as error:
        raise not_written(shown, error, *advice) from error
    if claim is None:
        raise OutputError(f"another process is writing {final.name}: wait for it, or choose another output")
    descriptor, temporary = claim
    _held.add(temporary)
    try:
        try:
            yield temporary
        except OSError as error:
            # Other errors may come from reading.
            if error.errno in _DISK_ERRORS:
                raise not_written(shown, error, *advice) from error
            raise
        try:
            os.fsync(descriptor)
            if fcntl is None:  # an open file cannot be renamed there
                os.close(descriptor)
                descriptor = -1
            temporary.replace(final)
        except OSError as error:
            raise not_written(shown, error, *advice) from error
    except BaseException:
        with suppress(OSError):
            if fcntl is None and descriptor >= 0:
                os.close(descriptor)
                descriptor = -1
            temporary.unlink()
        raise
    finally:
        _held.discard(temporary)
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def disk_reported(name: str, *advice: object) -> Iterator[None]:
    """Turn an OSError of the block into the OutputError of `not_written`.

    Only for a block that reads nothing: an error from reading would be reported as one from writing.
    """
    try:
        yield
    except OSError as error:
        raise not_written(name, error, *advice) from error


def not_written(name: str, error: OSError, *advice: object) -> OutputError:
    """Return the error for an output that cannot be written.

    `name`: the output in the message. `advice`: parts of a message that say what to do; by default choose
    another place, and free space if the disk is full.
    """
    reason = error.strerror or "the system gave no reason"
    room = "free some space, or " if error.errno in _FULL_ERRORS else ""
    parts = advice or (f"{room}choose another name or folder",)
    return OutputError(f"{name} cannot be written ({reason}): ", *parts)


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, in an existing folder, while the block runs.

    The file exists only while it is held. `wait`: wait while another process holds it. Raises OSError if the
    file cannot be made; OutputError if another process holds it and `wait` is False.
    """
    path = _in_stored_folder(path)
    claim = _claimed(path)
    if claim is None and not wait:
        raise OutputError(
            f"another process is at work in {path.parent}: wait for its end, or choose another folder"
        )
    if claim is None:
        _log.warning("waiting for another process that is at work in %s", path.parent)
    while claim is None:
        time.sleep(_WAIT)
        claim = _claimed(path)
    descriptor, path = claim
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        if fcntl is None:  # an open file cannot be removed there
            os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        if fcntl is not None:
            os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether `path` has the name of one of our temporary files."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


def remove_held() -> None:
    """Remove the temporary files and locks of this process, before it ends without unwinding."""
    for path in tuple(_held):
        with suppress(OSError):
            path.unlink()


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files in `folder` (not below it) that no live process holds; return their paths.

    Files that cannot be read or removed stay. Raises nothing.
    """
    removed = []
    try:
        candidates = sorted(path for path in folder.iterdir() if is_temporary(path))
    except OSError:
        return []
    for path in candidates:
        try:
            if stat.S_ISREG(path.lstat().st_mode) and _remove_if_free(path):
                removed.append(path)
        except OSError as error:
            _log.debug("%s cannot be removed: %s", path.name, error.strerror)
    return removed


def prepare_folder(path: Path) -> None:
    """Make the folder `path` and its missing parents.

    Raises OutputError if a file is in the way, or if the folder is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(
            f"{path} cannot be a folder, a file is in the way: choose another folder"
        ) from error
    except OSError as error:
        reason = error.strerror or "the system gave no reason"
        raise OutputError(f"the folder {path} cannot be made ({reason}): choose another one") from error
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise OutputError unless the existing `path` is a writable folder."""
    if not is_folder(path):
        raise OutputError(f"{path} cannot be a folder, a file is in the way: choose another folder")
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OutputError(
            f"the folder {path} cannot be written to: choose another one or change its permissions"
        )


def check_name(path: Path) -> None:
    """Raise OutputError if a path, or one of the names in it, is too long for the usual disks."""
    for name in path.parts:
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise OutputError(
                f"{name[:40]}... is a name of more than {_LONGEST_NAME} bytes: choose a shorter one"
            )
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise OutputError(
            f"{str(path)[:40]}... is a path of more than {_LONGEST_PATH} bytes: choose a shorter one"
        )


def _followed(final: Path, shown: str) -> Path:
    """Resolve a link, and spell the folder as the disk stores it."""
    if final.is_symlink():
        final = Path(os.path.realpath(final))
    final = _in_stored_folder(final)
    with suppress(OSError):
        mode = final.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            kind = "a link that leads nowhere" if stat.S_ISLNK(mode) else "not a regular file"
            raise OutputError(f"{shown} is {kind}: choose another name")
    return final


def _in_stored_folder(path: Path) -> Path:
    """Spell the folder of a path as the disk stores it: a lock holds for one spelling only."""
    folder = stored_path(path.parent)
    return path if folder == Path(os.path.realpath(path.parent)) else folder / path.name


def _temporary_name(name: str) -> str:
    room = _LONGEST_NAME - len(_PREFIX + _SUFFIX)
    encoded = os.fsencode(name)
    if len(encoded) > room:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        start = encoded[: room - len(digest) - 1].decode(errors="ignore")
        name = f"{start}-{digest}"
    return _PREFIX + name + _SUFFIX


def _claimed(path: Path) -> tuple[int, Path] | None:
    """Create `path`, or take it over from a dead process, empty and locked; None if a live process holds it.

    Returns the open file and its path, in the stored case where the disk ignores case.
    """
    for _ in range(_ATTEMPTS):
        if fcntl is None:
            try:
                path.unlink(missing_ok=True)
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), path
            except (PermissionError, FileExistsError):
                if path.exists():
                    return None
                raise
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            stored = path.with_name(stored_name(path.parent, path.name))
            locked = _locked(descriptor)
            if locked and stored == path and _is_at(descriptor, path):
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise FileExistsError(errno.EEXIST, f"{path.name} is not a file", str(path))
                if status.st_nlink <= 1:
                    os.ftruncate(descriptor, 0)
                    return descriptor, path
                path.unlink()  # a hard link: the file stays under its other name
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not locked:
            return None
        # Retry: the last owner renamed or removed the file before we locked it, so the lock is void; or the
        # disk stores the name in another case, and other processes lock that name.
        path = stored
    return None


def _remove_if_free(path: Path) -> bool:
    """Remove `path` unless a live process holds it."""
    if fcntl is None:
        path.unlink()
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _locked(descriptor) or not _is_at(descriptor, path):
            return False
        path.unlink()
        return True
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock an open file without waiting; False if another process or thread holds the lock.

    True on a file system without locks: there two processes may write the same file.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_ELSEWHERE:
            return False
        if error.errno in _NO_LOCKS:
            return True
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
