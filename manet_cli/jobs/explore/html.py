"""The page of ``manet explore`` as one self-contained file with pictures, kernels, style and script.

All text from the user is escaped (a file name may be ``<img onerror=...>``). A content security policy allows
only the page's style and script, by their digests, and forbids all requests.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import string
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manet_cli.file_identity import is_file
from manet_cli.jobs.explore.data import KernelBytes

__all__ = ["explore_page", "is_page", "page_record"]

_HEAD = 64 << 10  # bytes of a page that hold its record
_END = b"</html>\n"
_RECORD = re.compile(rb'<meta name="manet" content="([^"]*)">')
_OVERVIEW = """<figure class="overview">
<img id="overview" src="$source" alt="The whole photo, reduced; a frame marks the part that is shown">
<figcaption>The whole photo, reduced. The frame is the part that this page shows.</figcaption>
</figure>"""


def explore_page(
    name: str,
    summary: str,
    note: str,
    fields: Mapping[str, object],
    kernels: KernelBytes,
    pictures: list[bytes],
    overview: bytes | None,
    record: str,
) -> bytes:
    """Return the page.

    Args:
        name: of the picture.
        summary: a sentence about the content.
        note: sentences about its accuracy.
        fields: data for the script, besides the kernels.
        kernels: of the picture.
        pictures: bicubic enlargement and result, WebP.
        overview: the whole picture, reduced, with a frame around the part on the page, WebP; None if the page
            shows the whole picture.
        record: the record of the page, as `page_record` reads it.
    """
    style, script = (_part(file) for file in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    before, after = map(_source, pictures)
    data = {
        **fields,
        "step": kernels.step,
        "rows": kernels.planes.shape[1],
        "columns": kernels.planes.shape[2],
        "low": kernels.low.tolist(),
        "unit": kernels.unit.tolist(),
        "planes": _base64(kernels.planes.tobytes()),
        "basis": _base64(_little(np.vstack((kernels.inverse, kernels.rest))).tobytes()),
    }
    text = string.Template(_part("page.html")).substitute(
        policy=html.escape(policy),
        name=html.escape(name),
        record=html.escape(record),
        summary=html.escape(summary),
        note=html.escape(note),
        style=style,
        script=script,
        data=_script_json(data),
        before=before,
        after=after,
        overview="" if overview is None else string.Template(_OVERVIEW).substitute(source=_source(overview)),
    )
    return text.encode("utf-8")


def is_page(path: Path) -> bool:
    """Whether a file has the suffix of a page."""
    return path.suffix.lower() in (".html", ".htm")


def page_record(path: Path) -> str | None:
    """Return the record in a page of `explore_page`; None for another file or an incomplete page."""
    if not is_file(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(-min(len(head), len(_END)), os.SEEK_END)
            whole = file.read() == _END
    except OSError:
        return None
    found = _RECORD.search(head)
    return html.unescape(found[1].decode("ascii", "replace")) if found and whole else None


def _source(picture: bytes) -> str:
    return "data:image/webp;base64," + _base64(picture)


def _part(file: str) -> str:
    return (resources.files("manet_cli.jobs.explore") / "page" / file).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + _base64(hashlib.sha256(text.encode("utf-8")).digest())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _little(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    little: npt.NDArray[np.float32] = values.astype("<f4")
    return little


def _script_json(data: Mapping[str, object]) -> str:
    """Encode JSON for a script element: in ASCII, and without characters that could end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
