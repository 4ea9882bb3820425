"""Valid and invalid sources."""

from __future__ import annotations

import pytest

from manet_cli.errors import UsageError
from manet_cli.weights.sources import HttpsSource, HubSource, is_source, parse_source

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        "hf://me/mine/x4.safetensors@main",
        "hf://me/mine@main/x4.safetensors",
        "hf://models/me/mine@main/x4.safetensors",
    ],
)
def test_the_hub(text: str) -> None:
    source = parse_source(text)
    assert isinstance(source, HubSource)
    assert (source.repo, source.path, source.revision) == ("me/mine", "x4.safetensors", "main")
    assert source.text == "hf://me/mine/x4.safetensors@main", "one spelling, so one place in the cache"


def test_the_hub_with_folders_and_a_digest() -> None:
    source = parse_source(f"hf://me/mine/a/b.PTH@refs/pr/1#sha256={DIGEST.upper()}")
    assert isinstance(source, HubSource)
    assert (source.path, source.revision, source.sha256) == ("a/b.PTH", "refs/pr/1", DIGEST)
    assert (source.file, source.suffix) == ("b.PTH", ".pth")


def test_https() -> None:
    source = parse_source("https://example.org:8443/a/stage3_MANet%2BRRDB_x4.pth?token=secret", DIGEST)
    assert isinstance(source, HttpsSource)
    assert (source.file, source.suffix, source.sha256) == ("stage3_MANet+RRDB_x4.pth", ".pth", DIGEST)
    assert "secret" in source.text
    assert "secret" not in source.label
    assert "secret" not in source.key


def test_keys_are_file_names_of_their_own() -> None:
    texts = [
        "https://a.org/w.pth",
        "https://b.org/w.pth",
        "https://b.org/..%2F..%2Fw.pth",
        "https://b.org/.pth",
    ]
    keys = [parse_source(text).key for text in texts]
    assert len(set(keys)) == len(keys)
    assert all("/" not in key and not key.startswith(".") for key in keys)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me/x4.safetensors@main", "OWNER/REPO/FILE@REVISION"),
        ("hf://me/mine/x4.safetensors", "OWNER/REPO/FILE@REVISION"),
        ("hf://me/mine/../x4.safetensors@main", "not a path inside"),
        ("hf://me/mine/x4.safetensors@../../x", "not a path inside"),
        ("hf://me/mine/x4.safetensors@/x", "not a path inside"),
        ("hf://../mine/x4.safetensors@main", "not a path inside"),
        ("hf://me/../x4.safetensors@main", "not a path inside"),
        ("hf://me/mine/a\\x4.safetensors@main", "not a path inside"),
        ("hf://me/mine/x4.safetensors@a\0b", "not a path inside"),
        ("hf://me/mine/x4.safetensors@\udcff", "not a path inside"),
        ("hf://me/mine/model.bin@main", "ends in .safetensors"),
        ("https://example.org/", "ends in .safetensors"),
        ("http://example.org/w.pth", "not from http://"),
        ("file:///w.pth", "not from file://"),
        ("ftp://example.org/w.pth", "not from ftp://"),
        ("https:///w.pth", "not an https address"),
        ("https://example.org:port/w.pth", "cannot be read"),
        (f"https://{'a' * 64}.org/w.pth", "cannot be read"),
        ("https://example.org/\udcff.pth", "cannot be read"),
        ("https://example.org/a w.pth", "not an https address"),
        ("https://me:secret@example.org/w.pth", r"^https://example.org/\.\.\.: an address must not contain"),
        ("https://example.org/w.pth#sha256=12", "64 hexadecimal digits"),
        (f"https://example.org/w.pth#md5={DIGEST}", "64 hexadecimal digits"),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    assert is_source(text)
    with pytest.raises(UsageError, match=expected):
        parse_source(text)


@pytest.mark.parametrize("text", ["default", "a/b.pth", "w.safetensors", "C:\\w.pth"])
def test_files_and_names_are_no_sources(text: str) -> None:
    assert not is_source(text)
