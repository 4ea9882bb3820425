"""What `examine` finds out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

__all__ = ["PHOTO", "Device", "Estimate", "Examination", "Probe"]

PHOTO = (4000, 3000)
"""Width and height of a typical photo: 12 megapixels."""


@dataclass(frozen=True)
class Probe:
    """Test of the networks on a device in one number format.

    Attributes:
        precision: a name of `PRECISIONS`.
        error: why it does not work; None if it works.
        difference: largest difference of any value from float32 on the CPU, in levels of 255.
        photo_seconds: shortest and longest computing time in seconds for a photo of `PHOTO` pixels.
    """

    precision: str
    error: str | None = None
    difference: float | None = None
    photo_seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Device:
    """A device, and the tests of the networks on it.

    Attributes:
        device: value for ``--device``.
        name: of the product.
        threads: number of PyTorch's threads on a CPU; None elsewhere.
        memory_free: bytes available now.
        memory_total: bytes in total; None if unknown.
        largest_untiled: side of the largest square input that fits half the free memory without tiles.
        probes: one for each number format.
    """

    device: str
    name: str
    threads: int | None
    memory_free: int
    memory_total: int | None
    largest_untiled: int
    probes: tuple[Probe, ...]


@dataclass(frozen=True)
class Estimate:
    """Estimated time for a typical photo with a family of weights, with the settings of ``auto``.

    Attributes:
        model: the family.
        scale: of the tested entry.
        seconds: computing time.
        seconds_range: shortest and longest computing time in seconds.
    """

    model: str
    scale: int
    seconds: float
    seconds_range: tuple[float, float]


@dataclass
class Examination:
    """All findings.

    Attributes:
        versions: package -> version; None if not installed.
        platform: the system and the processor's architecture.
        devices: the CPU first.
        auto: choice of ``auto``: device, precision, tile (0: none; None: it does not work), reason.
        photo: width and height of the photo in the estimates.
        estimates: time for this photo.
        weights: name -> shipped, cached or missing.
        cache: folder of pulled weights, and whether it is writable.
        extras: optional packages by extra, with versions; None if not installed.
        formats: optional picture formats of Pillow, and whether they are available.
        settings: relevant environment variables; values that may be secret are hidden.
        problems: problems, a sentence each.
        exit_code: 0; 3 if shipped weights are missing or damaged, 4 if nothing works on any device.
    """

    versions: dict[str, str | None] = field(default_factory=dict)
    platform: str = ""
    devices: list[Device] = field(default_factory=list)
    auto: dict[str, object] = field(default_factory=dict)
    photo: tuple[int, int] = PHOTO
    estimates: list[Estimate] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    cache: dict[str, object] = field(default_factory=dict)
    extras: dict[str, dict[str, str | None]] = field(default_factory=dict)
    formats: dict[str, bool] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    exit_code: int = 0

    def fields(self) -> dict[str, object]:
        """Return all findings for a script."""
        return asdict(self)
