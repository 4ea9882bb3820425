from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manet_cli import atomic
from manet_cli.atomic import (
    atomic_path,
    disk_reported,
    is_temporary,
    not_written,
    prepare_folder,
    remove_leftovers,
)
from manet_cli.errors import OutputError, Parameter

HOLDER = """
import sys, time
from pathlib import Path
from manet_cli.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("held", flush=True)
    sys.stdin.readline()
    temporary.write_bytes(b"whole")
"""


@contextmanager
def holder(final: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing `final`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(final)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def fail(temporary: Path, error: type[BaseException]) -> None:
    temporary.write_bytes(b"half")
    raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_whole_under_its_name(tmp_path: Path) -> None:
    final = tmp_path / "a.png"
    with atomic_path(final) as temporary:
        assert temporary == tmp_path / ".a.png.manet-tmp"
        assert temporary.read_bytes() == b""
        assert is_temporary(temporary)
        temporary.write_bytes(b"new")
        assert not final.exists()
    assert final.read_bytes() == b"new"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    final = tmp_path / "a.png"
    final.write_bytes(b"old")
    with pytest.raises(error), atomic_path(final) as temporary:
        fail(temporary, error)
    assert final.read_bytes() == b"old"
    assert names(tmp_path) == ["a.png"]


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    final = tmp_path / "a.png"
    final.write_bytes(b"old")
    with atomic_path(final) as temporary:
        temporary.write_bytes(b"new")
    assert final.read_bytes() == b"new"


def test_a_file_that_a_live_process_writes_is_refused_and_kept(tmp_path: Path) -> None:
    final = tmp_path / "a.png"
    with holder(final) as process:
        with pytest.raises(OutputError, match=r"another process is writing a\.png"), atomic_path(final):
            pass
        assert remove_leftovers(tmp_path) == []
        assert (tmp_path / ".a.png.manet-tmp").read_bytes() == b"half"
        with atomic_path(tmp_path / "b.png") as other:
            other.write_bytes(b"other")
        finish(process)
    assert final.read_bytes() == b"whole"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    with holder(tmp_path / "a.png") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert names(tmp_path) == [".a.png.manet-tmp"]
    assert remove_leftovers(tmp_path) == [tmp_path / ".a.png.manet-tmp"]
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_taken_over_empty(tmp_path: Path) -> None:
    with holder(tmp_path / "a.png") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with atomic_path(tmp_path / "a.png") as temporary:
        assert temporary.read_bytes() == b""
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["a.png"]


def test_two_threads_do_not_share_a_temporary(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.png"):
        with pytest.raises(OutputError, match="another process"), atomic_path(tmp_path / "a.png"):
            pass
        assert remove_leftovers(tmp_path) == []


def test_many_writers_of_one_name_never_mix(tmp_path: Path) -> None:
    final = tmp_path / "a.bin"
    wrong: list[bytes] = []

    def write(letter: bytes) -> None:
        for _ in range(50):
            try:
                with atomic_path(final) as temporary:
                    temporary.write_bytes(letter * 4096)
            except OutputError:
                continue
            content = final.read_bytes()
            if len(content) != 4096 or len(set(content)) != 1:
                wrong.append(content)

    threads = [threading.Thread(target=write, args=(bytes([65 + number]),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_temporary_that_vanishes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    locked = atomic._locked
    vanished: list[int] = []

    def lock_late(descriptor: int) -> bool:
        if len(vanished) < times:
            (tmp_path / ".a.png.manet-tmp").unlink()
            vanished.append(descriptor)
        return locked(descriptor)

    monkeypatch.setattr(atomic, "_locked", lock_late)
    with atomic_path(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"new")
        assert remove_leftovers(tmp_path) == []
    assert len(vanished) == times
    assert names(tmp_path) == ["a.png"]


def test_a_temporary_that_always_vanishes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_is_at", lambda descriptor, path: False)
    with pytest.raises(OutputError, match="another process"), atomic_path(tmp_path / "a.png"):
        pass


def test_only_our_regular_files_are_leftovers(tmp_path: Path) -> None:
    (tmp_path / "kept.png").write_bytes(b"x")
    (tmp_path / ".other.tmp").write_bytes(b"x")
    (tmp_path / ".folder.manet-tmp").mkdir()
    (tmp_path / ".link.manet-tmp").symlink_to(tmp_path / "kept.png")
    (tmp_path / ".dead.manet-tmp").write_bytes(b"x")
    assert remove_leftovers(tmp_path) == [tmp_path / ".dead.manet-tmp"]
    assert names(tmp_path) == [".folder.manet-tmp", ".link.manet-tmp", ".other.tmp", "kept.png"]
    assert remove_leftovers(tmp_path / "missing") == []


def test_a_link_in_the_place_of_the_temporary_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".a.png.manet-tmp").symlink_to(victim)
    with pytest.raises(OutputError, match=r"a\.png cannot be written"), atomic_path(tmp_path / "a.png"):
        pass
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "é" * 125 + ".png"])
def test_the_longest_names_work(tmp_path: Path, name: str) -> None:
    final = tmp_path / name
    with atomic_path(final) as temporary:
        assert len(os.fsencode(temporary.name)) <= 255
        assert is_temporary(temporary)
        temporary.write_bytes(b"new")
    assert names(tmp_path) == [name]


def test_long_names_that_differ_at_the_end_have_different_temporaries(tmp_path: Path) -> None:
    with (
        atomic_path(tmp_path / ("n" * 250 + "1.png")) as one,
        atomic_path(tmp_path / ("n" * 250 + "2.png")) as two,
    ):
        assert one != two


def test_a_name_that_no_file_can_have_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="more than 255 bytes"), atomic_path(tmp_path / ("n" * 256)):
        pytest.fail("the block ran")


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"a\.png cannot be written \(No such file"),
        atomic_path(tmp_path / "x" / "a.png"),
    ):
        pass


def test_a_folder_under_the_final_name_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match=r"a\.png cannot be written"), atomic_path(tmp_path / "a.png"):
        pass
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "free some space"), (errno.EIO, "choose another")]
)
def test_a_disk_that_fails_in_the_block_is_a_sentence(tmp_path: Path, number: int, words: str) -> None:
    (tmp_path / "a.png").write_bytes(b"before")
    with (
        pytest.raises(OutputError, match=rf"a\.png cannot be written \(.*\): .*{words}"),
        atomic_path(tmp_path / "a.png"),
    ):
        raise OSError(number, os.strerror(number))
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.png"):
        (tmp_path / "missing").read_bytes()  # not an error of the written file
    assert names(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"before"


def test_the_umask_decides_the_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.png") as temporary:
            temporary.write_bytes(b"new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_folders_are_made_and_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    prepare_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"x")
    for path in [tmp_path / "file", tmp_path / "file" / "below"]:
        with pytest.raises(OutputError, match="a file is in the way"):
            prepare_folder(path)
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_folder(tmp_path / ("n" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written to"):
        prepare_folder(folder)
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_folder(folder / "below")


def test_an_unwritable_folder_is_refused_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, **rest: False)
    with pytest.raises(OutputError, match="cannot be written to"):
        prepare_folder(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"


def test_the_sentence_names_the_output_and_what_to_do(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    advice = ("go on with ", Parameter("resume", True))
    expected = rf"the map cannot be written \({full.strerror}\): go on with resume=True\."
    with pytest.raises(OutputError, match=expected), disk_reported("the map", *advice):
        raise full
    path = tmp_path / "a.npy"
    with pytest.raises(OutputError, match=expected), atomic_path(path, name="the map", advice=advice):
        raise full
    with pytest.raises(OutputError, match=r"the map cannot be written \(the system gave no reason\): choose"):
        raise not_written("the map", OSError())


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target.png"
    target.write_bytes(b"old")
    for link, to in (("one", target), ("two", tmp_path / "one"), ("new", Path("far/not yet.png"))):
        (tmp_path / link).symlink_to(to)
    for link, to in (("one", target), ("two", target), ("new", tmp_path / "far" / "not yet.png")):
        with atomic_path(tmp_path / link) as temporary:
            assert temporary.parent == to.parent
            temporary.write_bytes(link.encode())
        assert (tmp_path / link).is_symlink()
        assert to.read_bytes() == link.encode()
    before = target.read_bytes()
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "two") as temporary:
        fail(temporary, KeyboardInterrupt)
    assert target.read_bytes() == before
    assert sorted(os.listdir(tmp_path / "far")) == ["not yet.png", "target.png"]


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in (
        ("fifo", "not a regular file"),
        ("null", "not a regular"),
        ("loop", "leads nowhere"),
    ):
        with pytest.raises(OutputError, match=reason), atomic_path(tmp_path / name):
            pytest.fail("it was opened")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "loop", "null"]


def test_a_temporary_file_with_another_name_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious.pth"
    precious.write_bytes(b"precious")
    os.link(precious, tmp_path / ".a.png.manet-tmp")
    os.mkfifo(tmp_path / ".b.png.manet-tmp")
    with atomic_path(tmp_path / "a.png") as temporary:
        temporary.write_bytes(b"whole")
    assert precious.read_bytes() == b"precious"
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    with pytest.raises(OutputError, match=r"b\.png cannot be written"), atomic_path(tmp_path / "b.png"):
        pytest.fail("it was opened")


def test_a_lock_is_on_the_spelling_that_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that ignores case, where another process has locked the file in another case."""
    stored = tmp_path / ".Photo.png.manet-tmp"
    with holder(tmp_path / "Photo.png") as process:
        monkeypatch.setattr(atomic, "stored_name", lambda folder, name: stored.name)
        busy = pytest.raises(OutputError, match="another process is writing")
        with busy, atomic_path(tmp_path / "photo.png"):
            pytest.fail("it was opened")
        finish(process)
    with atomic_path(tmp_path / "photo.png") as temporary:
        assert temporary == stored
        temporary.write_bytes(b"mine")
    assert (tmp_path / "photo.png").read_bytes() == b"mine"
