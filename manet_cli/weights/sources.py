"""Sources of weights: ``hf://OWNER/REPO/FILE@REVISION`` and ``https://HOST/PATH``.

Either may end in ``#sha256=DIGEST``, the required digest of the file.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from manet_cli.errors import UsageError
from manet_cli.weights.files import WEIGHT_SUFFIXES

__all__ = ["HttpsSource", "HubSource", "Source", "is_source", "parse_source"]

_HUB = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)/(?P<file>[^@]+)@(?P<revision>[^@]+)")
# The form that the Hub's tools write.
_HUB_CANONICAL = re.compile(r"hf://(?:models/)?(?P<repo>[^/@]+/[^/@]+)@(?P<revision>[^/@]+)/(?P<file>[^@]+)")
_PATH_PART = re.compile(r"(?!\.{1,2}$)[^\x00-\x1f\x7f\\\ud800-\udfff]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """One file to download.

    Attributes:
        text: the source as text, without a digest.
        file: name of the file, with a suffix of weight files.
        sha256: required digest of the file; None if unknown.
    """

    text: str
    file: str
    sha256: str | None

    @property
    def suffix(self) -> str:
        """``.safetensors``, ``.pth`` or ``.pt``."""
        return "." + self.file.rpartition(".")[2].lower()

    @property
    def label(self) -> str:
        """The source for messages, without the query, which may hold secrets."""
        return self.text.partition("?")[0]

    @property
    def key(self) -> str:
        """A unique and readable file name for the source."""
        stem = re.sub(r"[^A-Za-z0-9._+-]", "_", self.file.rpartition(".")[0]).strip(".")[:60]
        return f"{stem or 'weights'}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class HubSource(Source):
    """A file of a repository on the Hugging Face Hub.

    Attributes:
        repo: ``OWNER/REPO``.
        path: path of the file in the repository.
        revision: branch, tag or commit.
    """

    repo: str
    path: str
    revision: str


@dataclass(frozen=True)
class HttpsSource(Source):
    """A file at an https address, which is ``text``."""


def is_source(text: str) -> bool:
    """Whether a text is a source, not a file or a family."""
    return "://" in text


def parse_source(text: str, sha256: str | None = None) -> Source:
    """Parse a source.

    Args:
        text: source from the user or the manifest.
        sha256: digest in the manifest.

    Raises:
        UsageError: the text is not an hf:// or https:// address of a weight file.
    """
    address, _, fragment = text.partition("#")
    if fragment:
        name, _, digest = fragment.partition("=")
        if name != "sha256" or not _DIGEST.fullmatch(digest.lower()):
            raise UsageError(f"{address}#{fragment}: after # expected sha256= and 64 hexadecimal digits")
        sha256 = digest.lower()
    source = _hub_source(address, sha256) if address.startswith("hf://") else _https_source(address, sha256)
    if source.suffix not in WEIGHT_SUFFIXES:
        raise UsageError(f"{source.label}: expected a file that ends in {', '.join(WEIGHT_SUFFIXES)}")
    return source


def _hub_source(address: str, sha256: str | None) -> HubSource:
    match = _HUB_CANONICAL.fullmatch(address) or _HUB.fullmatch(address)
    if match is None:
        raise UsageError(
            f"{address}: expected hf://OWNER/REPO/FILE@REVISION; the revision is a commit, a tag or a branch"
        )
    repo, path, revision = match["repo"], match["file"], match["revision"]
    for part in (repo, path, revision):
        if not all(_PATH_PART.fullmatch(step) for step in part.split("/")):
            raise UsageError(f"{address}: {part} is not a path inside a repository")
    text = f"hf://{repo}/{path}@{revision}"
    return HubSource(text, path.rpartition("/")[2], sha256, repo, path, revision)


def _https_source(address: str, sha256: str | None) -> HttpsSource:
    try:
        parts = urlsplit(address)
        host, secret = parts.hostname, parts.username or parts.password
        _ = parts.port, (host or "").encode("idna"), address.encode()
    except ValueError as error:
        raise UsageError(f"{address}: this address cannot be read ({error})") from error
    if parts.scheme != "https":
        raise UsageError(
            f"{address.partition('?')[0]}: weights are pulled from https:// or hf://, not from {parts.scheme}://"
        )
    if secret:
        raise UsageError(
            f"https://{host}/...: an address must not contain a user name or a password; leave them out"
        )
    if not host or any(character <= " " or character == "\x7f" for character in address):
        raise UsageError(f"{address!r}: this is not an https address")
    return HttpsSource(address, unquote(parts.path).rpartition("/")[2], sha256)
