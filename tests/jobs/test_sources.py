"""From a user's inputs to pictures."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from manet_cli.errors import UsageError
from manet_cli.jobs.sources import Source, expand_sources
from tests.guard import guarded
from tests.jobs.conftest import make, make_result, nobody

NFC, NFD = (unicodedata.normalize(form, "fähre.png") for form in ("NFC", "NFD"))


def names(*inputs: str, recursive: bool = False) -> list[str]:
    """Names of the sources, with a ! before those with an error."""
    return [("!" if s.error else "") + s.name for s in expand_sources(list(inputs), recursive=recursive)]


def only(sources: list[Source]) -> str:
    """The error of the only source."""
    (source,) = sources
    return str(source.error)


def test_any_mix(here: Path) -> None:
    make("a.png", "b/x.png", "b/sub/y.png", "c1.png", "c2.png", "with space.png", "ü.png")
    Path("list.txt").write_text("with space.png\nü.png\n", encoding="utf-8")
    assert names("a.png", "b/", "c*.png", "@list.txt", "-", "./a.png", "none.png", "none?.png") == [
        *("a.png", "b/x.png", "c1.png", "c2.png", "with space.png", "ü.png", "-"),
        *("none.png", "!none?.png"),  # a missing file is an error only on reading
    ]
    assert names("b", recursive=True) == ["b/x.png", "b/sub/y.png"]


def test_names_typed_without_quotes(here: Path) -> None:
    """The words of one name give one error; words that are files stay files."""
    Path("My trip 2004").mkdir()
    for name in ("My trip 2004/at sea.png", "a b.png", "a"):
        Path(name).touch()
    words = ["x.png", "My", "trip", "2004/at", "sea.png", "a", "b.png"]
    sources = expand_sources(words)
    assert [source.name for source in sources] == ["x.png", "My trip 2004/at sea.png", "a", "b.png"]
    errors = [source.error for source in sources]
    assert errors.count(None) == 3
    assert str(errors[1]).endswith('has spaces: type it in quotes, "My trip 2004/at sea.png".')


def test_what_a_list_may_hold(here: Path) -> None:
    make("a.png", "-x.png", " b .png", "new\nline.png", "[c].png", "c.png", "folder/d.png", "-")
    cases = {
        b"a.png\n\n-x.png\n b .png\n": ["a.png", "-x.png", " b .png"],
        b"a.png\r\n-x.png": ["a.png", "-x.png"],
        b"new\nline.png\0a.png\0": ["new\nline.png", "a.png"],
        b"\xef\xbb\xbfa.png\n": ["a.png"],
        "a.png\r\nfolder\r\n".encode("utf-16"): ["a.png", "folder/d.png"],
        b"[c].png\n-\n": ["[c].png", "./-"],
        b"*.png\n@list\n": ["*.png", "@list"],  # names, and no such files
    }
    for content, expected in cases.items():
        Path("list").write_bytes(content)
        assert names("@list") == expected
    Path("a.png").rename(os.fsdecode(b"\xff.png"))
    Path("list").write_bytes(b"\xff.png\n")
    assert Path(names("@list")[0]).exists()


def test_a_list_from_standard_input(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("a.png", "b.png")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.png\0b.png\0")))
    assert names("@-", "a.png", "@-") == ["a.png", "b.png"]
    with pytest.raises(UsageError, match="both read standard input"):
        expand_sources(["-", "@-"])


def test_lists_that_cannot_be_read(here: Path) -> None:
    make("@me.png", "there.png")
    Path("empty").touch()
    Path("half").write_bytes(b"\xff\xfea")
    assert names("@me.png") == ["@me.png"], "a picture of that very name comes first"
    assert "cannot be read (No such file" in only(expand_sources(["@none"]))
    assert "text file" in only(expand_sources(["@there.png"]))
    assert "is empty" in only(expand_sources(["@empty"]))
    assert "cut off" in only(expand_sources(["@half"]))
    assert names("@none", "there.png") == ["!@none", "there.png"]


@pytest.mark.skipif(sys.platform == "darwin", reason="there both spellings are one file")
def test_both_spellings_of_unicode(here: Path) -> None:
    make(NFC)
    assert names(NFD) == [NFC]
    Path("list").write_text(NFD, encoding="utf-8")
    assert names("@list") == [NFC]
    assert names(NFD[:3] + "*.png") == [NFC]
    make(NFD, f"{NFC}.d/{NFD}")
    assert names(NFC, NFD) == [NFC, NFD], "two files, if both are there"
    assert names(f"{NFD}.d/{NFC}") == [f"{NFC}.d/{NFD}"]


def test_links_and_loops(here: Path) -> None:
    make("in/a.png", "elsewhere/b.png")
    Path("in/again").symlink_to("..")
    Path("in/self").symlink_to("self")
    Path("in/out").symlink_to(here / "elsewhere")
    Path("in/second.png").symlink_to("a.png")
    Path("in/gone.png").symlink_to("nowhere.png")
    expected = ["in/a.png", "in/gone.png", "in/second.png"]
    assert names("in", recursive=True) == expected
    assert names("in/**/*.png") == expected
    assert names("in", "in/out", recursive=True) == [*expected, "in/out/b.png"]
    assert names("in/out", "elsewhere") == ["in/out/b.png"]


def test_patterns(here: Path) -> None:
    make("in/a.png", "in/b/c.png", "in/b/d/e.png", "in/.hidden/f.png", "in/.g.png", "in/[x].png", "h.png")
    Path("in/.a.png.manet-tmp").touch()
    assert names("in/**/*.png") == ["in/[x].png", "in/a.png", "in/b/c.png", "in/b/d/e.png"]
    assert names("**/b/**/*.png") == ["in/b/c.png", "in/b/d/e.png"]
    assert names(f"{here}/**/e.*") == [f"{here}/in/b/d/e.png"]
    assert names("in/b/**") == ["in/b/c.png", "in/b/d/e.png"]
    assert names("in/.*") == ["in/.g.png", "in/.hidden/f.png"], "asked for, but no temporary files"
    assert names("in/[x].png") == ["in/[x].png"]
    assert names("*.gif") == ["!*.gif"]


def test_results_are_left_out_of_folders(here: Path) -> None:
    make("a.png", "plain_x4.png", "b.png")
    for name in ("a_x4.png", "renamed.png"):
        make_result(name)
    foreign = Image.Exif()
    foreign[0x9213] = "cropped by another program"
    Image.new("RGB", (8, 8)).save("history.jpg", exif=foreign)
    Path("out").mkdir()
    for name in ("a_x4.bmp", "other_x4.bmp", "out/b_x4.bmp"):
        Image.new("RGB", (8, 8)).save(name)
    assert names(".") == ["a.png", "b.png", "history.jpg", "other_x4.bmp", "plain_x4.png"]
    assert names(".", recursive=True) == names("."), "not even in a folder of results"
    assert names("renamed.png") == ["renamed.png"], "named itself it is wanted"
    for name in (*names("."), "a_x4.bmp"):
        Path(name).unlink()
    assert "no pictures but 2 that this tool made" in only(expand_sources(["."]))


def test_what_a_folder_holds_besides_is_said(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    make("in/a.png", "in/below/b.jpg")
    for name in ("in/1.PSD", "in/2.psd", "in/notes", "in/.hidden.psd", "in/below/film.mov"):
        Path(name).write_text("no picture")
    assert names("in") == ["in/a.png"]
    assert caplog.messages == ["in: skipped 2 .psd and 1 without a suffix files"]
    caplog.clear()
    names("in", recursive=True)
    assert caplog.messages == ["in: skipped 2 .psd, 1 without a suffix and 1 .mov files"]
    Path("in/a.png").unlink()
    assert "holds no pictures, only 2 .psd and 1 without a suffix files" in only(expand_sources(["in"]))


def test_folders_that_cannot_be_read(here: Path) -> None:
    make("in/a.png", "in/shut/b.png")
    here.parent.chmod(0o755)
    Path("in/shut").chmod(0)
    try:
        # Relative, since the parent folders may be unreadable too.
        with nobody():
            assert names("in", recursive=True) == ["in/a.png", "!in/shut"]
            assert names("in/shut") == ["!in/shut"]
    finally:
        Path("in/shut").chmod(0o755)
    make("deep/er/a.png")
    assert "try recursive=True" in only(expand_sources(["deep"]))


def test_of_raw_and_jpeg_pairs_in_a_folder_the_jpeg_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one.jpg", "one.NEF", "two.nef", "Three.JPG", "three.dng", "sub/one.cr3", "sub/four.raf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    sources = expand_sources([str(tmp_path)], recursive=True)
    found = sorted(str(source.path.relative_to(tmp_path)) for source in sources if source.path)
    assert found == ["Three.JPG", "one.jpg", "sub/four.raf", "sub/one.cr3", "two.nef"]
    assert f"{tmp_path}: skipped raw files with a picture of the same name beside them: 2" in caplog.text
    named = expand_sources([str(tmp_path / "one.NEF"), str(tmp_path / "one.jpg")])
    assert [source.path for source in named] == [tmp_path / "one.NEF", tmp_path / "one.jpg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_lists_without_an_end(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is read up to a limit, without waiting for a FIFO or reading a device."""
    monkeypatch.setattr("manet_cli.jobs.sources._LONGEST_LIST", 1 << 20)
    monkeypatch.setattr("manet_cli.jobs.sources._MOST_NAMES", 3)
    os.mkfifo(here / "fifo")
    with (here / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (here / "long.txt").write_text("a\nb\nc\nd\n")
    with guarded():
        for name, reason in (
            ("@fifo", "it is not a regular file"),
            ("@/dev/zero", "it is not a regular file"),
            ("@sparse", "it has more than 1 MiB"),
            ("@long.txt", "the list has more than 3 names: split it"),
        ):
            (source,) = expand_sources([name])
            assert reason in str(source.error)
        with Path("/dev/zero").open("rb") as zero:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(zero))
            (source,) = expand_sources(["@-"])
        assert "it has more than 1 MiB" in str(source.error)


def test_results_that_are_left_out_are_counted(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    make("in/a.png", "in/b/c.png")
    for name in ("in/a_x4.png", "in/other.png"):
        make_result(name)
    assert names("in", recursive=True) == ["in/a.png", "in/b/c.png"]
    assert caplog.messages == ["in: skipped 2 pictures that this tool made"]
    caplog.clear()
    Path("in/other.png").unlink()
    assert names("in") == ["in/a.png"]
    assert caplog.messages == ["in: skipped 1 picture that this tool made"]
    caplog.clear()
    assert names("in/b") == ["in/b/c.png"]
    assert not caplog.messages


def test_folders_of_thumbnails(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    make("in/a.png", "in/@eaDir/a.png/thumb.png", "in/b/c.png", "in/b/@eaDir/thumb.png")
    assert names("in", recursive=True) == ["in/a.png", "in/b/c.png"]
    (message,) = caplog.messages
    assert message.startswith("in: skipped 2 folders named @eaDir")
    caplog.clear()
    assert names("in") == ["in/a.png"]
    assert not caplog.messages
    assert names("in/**/*.png", "in/*/*.png") == ["in/a.png", "in/b/c.png"]
    assert names("in/b/@eaDir") == ["in/b/@eaDir/thumb.png"], "named itself it is wanted"
    assert names("in/*/@eaDir/*.png") == ["in/b/@eaDir/thumb.png"]
    assert names("in/b/@eaDir/thumb.png") == ["in/b/@eaDir/thumb.png"]
    make("only/@eaDir/thumb.png")
    assert only(expand_sources(["only"])) == "only holds no pictures."
