"""The dial between weights for clean pictures (0) and for photos from cameras (1)."""

from __future__ import annotations

from manet_cli.errors import Parameter, UsageError
from manet_cli.images import Photo
from manet_cli.inference import Engine
from manet_cli.inference.dial import AUTO, Denoise, position
from manet_cli.weights import DEFAULT_FAMILY

__all__ = ["check_denoise", "parse_denoise", "recorded", "turn_to_photo"]


def parse_denoise(text: str | None) -> Denoise | None:
    """Parse a position of the dial: a number from 0 to 1, or ``auto``; None without text.

    Raises:
        UsageError: the text is neither ``auto`` nor a number from 0 to 1.
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
    """Check a position of the dial against the weights.

    Args:
        denoise: 0 to 1, or ``auto``; None for the default of the weights.
        engine: runs the weights.
        model: name of the weights, as given by the user.
        scale: 2, 3 or 4.

    Returns:
        The position of the dial; None for weights without a dial.

    Raises:
        UsageError: the position is invalid, or the weights have no dial.
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
            *("leave it out, or give ", Parameter("scale", 2), " or ", Parameter("scale", 4)),
        )
    raise UsageError(
        *(Parameter("denoise", denoise), f" works only with the weights {DEFAULT_FAMILY!r}; "),
        *("leave it out with ", Parameter("model", model)),
    )


def turn_to_photo(engine: Engine, photo: Photo, denoise: Denoise | None = AUTO) -> dict[str, object]:
    """Set the dial for a photo.

    Args:
        engine: engine to set.
        photo: photo to measure for ``auto``.
        denoise: position of the dial, from `check_denoise`.

    Returns:
        ``{"denoise": text}`` for the record; empty without a dial.
    """
    if denoise is None or not engine.has_dial:
        return {}
    stands = position(denoise, photo)
    engine.turn(stands)
    return {"denoise": recorded(denoise, stands)}


def asked(denoise: Denoise) -> str:
    """Return the dial's position as the user gave it: ``0.35`` or ``auto``."""
    return denoise if denoise == AUTO else f"{denoise:g}"


def recorded(denoise: Denoise, stands: float) -> str:
    """Return the dial's position as text for the record: ``0.35``, or ``auto 0.35`` if measured."""
    return f"{AUTO} {stands:g}" if denoise == AUTO else f"{stands:g}"


def _checked(number: float) -> float:
    if not 0 <= number <= 1:  # also true for NaN
        raise _unknown(number)
    return number


def _unknown(given: object) -> UsageError:
    return UsageError(
        Parameter("denoise", given),
        ": expected auto, or a number from 0 (clean pictures) to 1 (photos from cameras)",
    )
