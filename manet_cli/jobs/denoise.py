"""The dial between weights for clean pictures (0) and for photos from cameras (1)."""

from __future__ import annotations

from manet_cli.errors import Parameter, UsageError
from manet_cli.images import Photo
from manet_cli.inference import Engine
from manet_cli.inference.dial import AUTO, Denoise, position
from manet_cli.weights import DEFAULT_FAMILY

__all__ = ["check_denoise", "parse_denoise", "recorded", "turn_to_photo"]


def parse_denoise(text: str | None) -> Denoise | None:
    """Return what a text says about the dial; None for no text.

    Raises:
        UsageError: it is neither ``auto`` nor a number from 0 to 1.
    """
    if text is None:
        return None
    if text == AUTO:
        return AUTO
    try:
        return _checked(float(text))
    except ValueError as error:
        raise _unknown(text) from error


def check_denoise(denoise: Denoise | str | None, engine: Engine, model: str, scale: int) -> Denoise | None:
    """Check that the weights have the dial that is asked for.

    Args:
        denoise: 0 to 1, or ``auto``; None for what suits the weights.
        engine: with the weights.
        model: what the weights were asked for by.
        scale: of the run.

    Returns:
        Where the dial stands; None for weights without one.

    Raises:
        UsageError: no such position, or weights without a dial.
    """
    if isinstance(denoise, str):
        denoise = parse_denoise(denoise)
    elif denoise is not None:
        denoise = _checked(float(denoise))
    if engine.has_dial:
        return AUTO if denoise is None else denoise
    if denoise is None or (model == DEFAULT_FAMILY and denoise in (0, AUTO)):
        return None
    if model == DEFAULT_FAMILY:
        raise UsageError(
            *(
                Parameter("denoise", denoise),
                f": there are no weights for photos from cameras at x{scale} yet; ",
            ),
            *("leave it out, or give ", Parameter("scale", 4)),
        )
    raise UsageError(
        *(Parameter("denoise", denoise), f" sets the weights {DEFAULT_FAMILY!r} between clean and camera; "),
        *("leave it out with ", Parameter("model", model)),
    )


def turn_to_photo(engine: Engine, photo: Photo, denoise: Denoise | None = AUTO) -> dict[str, object]:
    """Set the dial for a photo.

    Args:
        engine: whose dial is set.
        photo: that is measured for ``auto``.
        denoise: where the dial is to stand, as `check_denoise` returns it.

    Returns:
        What a record says of it, as a setting; nothing without a dial.
    """
    if denoise is None or not engine.has_dial:
        return {}
    stands = position(denoise, photo)
    engine.turn(stands)
    return {"denoise": recorded(denoise, stands)}


def recorded(denoise: Denoise, stands: float) -> str:
    """Return how a record tells where the dial stands: ``0.35``, or ``auto 0.35`` where it was measured."""
    return f"{AUTO} {stands:g}" if denoise == AUTO else f"{stands:g}"


def _checked(number: float) -> float:
    if not 0 <= number <= 1:  # not-a-number is neither
        raise _unknown(number)
    return number


def _unknown(given: object) -> UsageError:
    return UsageError(
        Parameter("denoise", given),
        ": expected auto, or a number from 0 (clean pictures) to 1 (photos from cameras)",
    )
