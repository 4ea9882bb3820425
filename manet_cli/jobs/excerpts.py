"""Compute a part of a photo with the same result as in the whole photo."""

from __future__ import annotations

from manet_cli.images import CollectedPhoto, Photo
from manet_cli.inference import Engine
from manet_cli.jobs.explore.data import Region
from manet_cli.jobs.upscale.job import Progress, UpscaleOptions, upscale

__all__ = ["cut", "excerpt_of", "restored_part"]


def excerpt_of(shown: Region, photo: Photo, engine: Engine) -> Region:
    """Return the excerpt to compute, so that the shown part is the same as in the whole photo.

    The excerpt includes the networks' context; its sides are on multiples of the estimator's `size_multiple`.
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
    """Return a part of a photo, as a view."""
    rows, columns = region.rows, region.columns
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    return Photo(photo.pixels[rows, columns], alpha, photo.metadata)


def restored_part(
    photo: Photo, shown: Region, engine: Engine, options: UpscaleOptions, progress: Progress
) -> Photo:
    """Return a part of a photo's result; compute only this part and its context.

    Args:
        photo: the whole.
        shown: the part, in pixels of the photo.
        engine: runs the networks.
        options: options of the run; the size is ignored.
        progress: callback for the share done.

    Raises:
        ManetError: as in `upscale`.
    """
    excerpt = excerpt_of(shown, photo, engine)
    piece = cut(photo, excerpt)
    rows = CollectedPhoto(options.result_of(piece.header))
    upscale(piece, engine, options, rows, progress)
    return cut(rows.photo(photo.metadata), shown.within(excerpt).times(options.scale))
