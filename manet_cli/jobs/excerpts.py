"""A part of a photo, computed so that it comes out as in the whole."""

from __future__ import annotations

from manet_cli.images import CollectedPhoto, Photo
from manet_cli.inference import Engine
from manet_cli.jobs.explore.data import Region
from manet_cli.jobs.upscale.job import Progress, UpscaleOptions, upscale

__all__ = ["cut", "excerpt_of", "restored_part"]


def excerpt_of(shown: Region, photo: Photo, engine: Engine) -> Region:
    """Return what of a photo has to be computed, so that the part shown comes out as in the whole photo.

    It reaches further by what the networks look at, and starts on a multiple of the estimator's.
    """
    estimator = engine.estimator.footprint
    multiple = estimator.size_multiple
    margin = estimator.radius + engine.restorer.footprint.practical_radius + 1

    def span(start: int, size: int, whole: int) -> tuple[int, int]:
        first = max(start - margin, 0) // multiple * multiple
        last = min(-(-(start + size + margin) // multiple) * multiple, whole)
        return first, last - first

    left, width = span(shown.left, shown.width, photo.width)
    top, height = span(shown.top, shown.height, photo.height)
    return Region(left, top, width, height)


def cut(photo: Photo, region: Region) -> Photo:
    """Return a part of a photo, which shares its memory."""
    rows, columns = region.rows, region.columns
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    return Photo(photo.pixels[rows, columns], alpha, photo.metadata)


def restored_part(
    photo: Photo, shown: Region, engine: Engine, options: UpscaleOptions, progress: Progress
) -> Photo:
    """Return a part of the result of a photo; no more than that part and what it depends on is computed.

    Args:
        photo: the whole.
        shown: the part, in pixels of the photo.
        engine: runs the networks.
        options: how; a size is not applied.
        progress: is told the share done.

    Raises:
        ManetError: as `upscale`.
    """
    excerpt = excerpt_of(shown, photo, engine)
    piece = cut(photo, excerpt)
    rows = CollectedPhoto(options.result_of(piece.header))
    upscale(piece, engine, options, rows, progress)
    return cut(rows.photo(photo.metadata), shown.within(excerpt).times(options.scale))
