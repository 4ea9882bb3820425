"""Examine this installation and this machine, by trying the networks."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from manet_cli import __version__
from manet_cli.errors import DeviceError, ManetError, WeightsError
from manet_cli.evaluation.pictures import ImageRows
from manet_cli.file_identity import existing_folder, is_folder
from manet_cli.images import FORMATS
from manet_cli.inference import (
    PRECISIONS,
    AnyDevice,
    Engine,
    all_devices,
    available_memory,
    choose_device,
    choose_precision,
    describe_device,
    explain_auto,
    is_cpu,
    takes_int8,
    tensors_of,
)
from manet_cli.inference.estimated_codes import EstimatedCodes
from manet_cli.jobs.speed import measure_speed
from manet_cli.models import RESTORERS, BlindConfig, BlindModel, MANetConfig
from manet_cli.stopping import end_if_stopped
from manet_cli.weights import (
    DEFAULT_FAMILY,
    Weights,
    build_int8,
    cache_folder,
    list_weights,
    load_manifest,
    load_weights,
)

__all__ = ["PHOTO", "Device", "Estimate", "Examination", "Probe", "examine"]

PHOTO = (4000, 3000)
"""Width and height of a typical photo: 12 megapixels."""

_SIDE = 32  # of the test picture, LR pixels
# Largest error of any value, in levels of 255. On the test picture, half precision is off by 1 to 3 levels.
_TOLERANCE = 12.0

NewEngine = Callable[..., Engine]  # of a device, and perhaps a number format and a tile

_PACKAGES = ("torch", "numpy", "pillow", "typer", "rich", "huggingface-hub", "safetensors")
_FULL_SIZE = BlindConfig(MANetConfig(), RESTORERS[0].config())
_SETTINGS = re.compile(
    r"MANET_.+|HF_.+|XDG_CACHE_HOME|SSL_CERT_FILE|CUDA_VISIBLE_DEVICES|OMP_NUM_THREADS|.+_PROXY",
    re.IGNORECASE,
)
_SECRET = re.compile(r".*(TOKEN|_PROXY)", re.IGNORECASE)


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


def examine(progress: Callable[[float], None] = lambda share: None) -> Examination:
    """Examine the installation and the machine, and try the networks on every device; download nothing.

    Args:
        progress: callback for the share done, in [0, 1].
    """
    found = Examination(platform=f"{platform.platform()}, Python {platform.python_version()}")
    _look_at_software(found)
    _look_at_weights(found)
    new_engine, scale = _default_model(found)
    devices, problems = all_devices()
    found.problems += problems
    reference: Tensor | None = None
    for number, device in enumerate(devices):
        progress(number / (len(devices) + 1))
        examined, result = _examined(device, new_engine, reference)
        found.devices.append(examined)
        reference = reference if reference is not None else result
    progress(len(devices) / (len(devices) + 1))
    if not any(probe.error is None for device in found.devices for probe in device.probes):
        found.problems.append("the networks work on no device in any number format: see the reasons above")
        found.exit_code = DeviceError.exit_code
        return found
    _look_at_auto(found, new_engine, scale)
    progress(1.0)
    return found


def _look_at_software(found: Examination) -> None:
    found.versions = {"manet-cli": __version__, **{name: _version(name) for name in _PACKAGES}}
    for requirement in _requirements():
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        if name and extra and extra[1] != "dev":
            found.extras.setdefault(extra[1], {})[name[0]] = _version(name[0])
    from PIL import features

    needed = {fmt.name: fmt.pillow_feature for fmt in FORMATS if fmt.pillow_feature}
    needed |= {"jpeg 2000": "jpg_2000", "colour profiles": "littlecms2"}
    found.formats = {name: bool(features.check(feature)) for name, feature in needed.items()}
    found.settings = {
        name: "(set)" if _SECRET.fullmatch(name) else value
        for name, value in sorted(os.environ.items())
        if _SETTINGS.fullmatch(name) and value
    }


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("manet-cli") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return []


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _look_at_weights(found: Examination) -> None:
    from huggingface_hub import constants

    folder = cache_folder()
    existing = existing_folder(folder)
    found.cache = {
        "folder": str(folder),
        "writable": os.access(existing, os.W_OK | os.X_OK) and is_folder(existing),
        "hub": constants.HF_HUB_CACHE,
        "offline": constants.HF_HUB_OFFLINE,
    }
    found.weights = {
        str(row["name"]): str(row["where"]) for row in list_weights() if row["where"] != "pullable"
    }
    for entry in load_manifest():
        if entry.file:
            try:
                load_weights(entry.name)
            except WeightsError as error:
                found.problems.append(str(error))
                found.exit_code = WeightsError.exit_code


def _default_model(found: Examination) -> tuple[NewEngine, int | None]:
    """Return a factory of engines to test, and their scale; None without the default weights."""
    for scale in (4, 2, 3):
        try:
            weights, _ = load_weights(DEFAULT_FAMILY, scale)
        except ManetError:  # not in the manifest, not at this scale, or not here; damage is reported already
            end_if_stopped()
            continue
        return functools.partial(_engine, functools.partial(_built, weights), weights.code_stride), scale
    return functools.partial(_engine, _unshipped, 1), None


def _built(weights: Weights, precision: torch.dtype) -> BlindModel:
    return build_int8(weights) if precision == PRECISIONS["int8"] else weights.build()


def _unshipped(precision: torch.dtype) -> BlindModel:
    if precision == PRECISIONS["int8"]:
        raise WeightsError("there are no default weights, with which int8 could be tried")
    return BlindModel(_FULL_SIZE).eval().requires_grad_(False)


def _engine(
    build: Callable[[torch.dtype], BlindModel],
    code_stride: int,
    device: AnyDevice,
    precision: torch.dtype = torch.float32,
    tile: int | None = None,
) -> Engine:
    return Engine(build(precision), device, precision, tile=tile, code_stride=code_stride)


def _examined(
    device: AnyDevice, new_engine: NewEngine, reference: Tensor | None
) -> tuple[Device, Tensor | None]:
    """Try all number formats on a device; return the findings and the float32 result."""
    try:
        free = available_memory(tensors_of(device))
        name, total = describe_device(device)
    except Exception as error:  # noqa: BLE001 - a broken driver can raise anything
        end_if_stopped()
        name, free, total = f"unknown ({type(error).__name__})", 0, None
    probes = []
    for precision, dtype in PRECISIONS.items():
        if dtype == torch.int8 and not takes_int8(device):
            continue
        probed, result = _probed(new_engine, device, precision, reference)
        probes.append(probed)
        if reference is None:
            reference = result
    untiled = new_engine(torch.device("cpu"), tile=0)
    bytes_per_pixel = untiled.working_memory(1000, 1000, layers=1) / 1e6
    side = math.isqrt(int(free / 2 / bytes_per_pixel))
    threads = torch.get_num_threads() if is_cpu(device) else None
    return Device(str(device), name, threads, free, total, side, tuple(probes)), reference


def _look_at_auto(found: Examination, new_engine: NewEngine, scale: int | None) -> None:
    device = choose_device()
    dtype = choose_precision(device)
    precision = next(name for name, value in PRECISIONS.items() if value == dtype)
    found.auto = {"device": str(device), "precision": precision, "tile": None, "reason": explain_auto()}
    works = {
        examined.device: [probe.precision for probe in examined.probes if probe.error is None]
        for examined in found.devices
    }
    if precision not in works[str(device)]:
        other = next(name for name, working in works.items() if working)
        formats = works[str(device)]
        advice = f"--precision {formats[0]}" if formats else f"--device {other}"
        found.problems.append(
            f"auto would choose {precision} on {device}, which does not work: give {advice}"
        )
        return
    found.auto["tile"], _ = new_engine(device, dtype).restorer_tiles()
    chosen = next(
        probe
        for examined in found.devices
        for probe in examined.probes
        if (examined.device, probe.precision) == (str(device), precision)
    )
    if scale is not None and chosen.photo_seconds is not None:
        middle = sum(chosen.photo_seconds) / 2
        found.estimates.append(Estimate(DEFAULT_FAMILY, scale, middle, chosen.photo_seconds))
        for other, seconds in _faster(found, precision, middle).items():
            found.auto["reason"] = (
                f"{found.auto['reason']}; --device {other} took {seconds / middle:.2f} of its time"
            )


def _faster(found: Examination, precision: str, seconds: float) -> dict[str, float]:
    """Return the devices that took less than these seconds in a number format, and how many."""
    times = {
        device.device: sum(probe.photo_seconds) / 2
        for device in found.devices
        for probe in device.probes
        if probe.precision == precision and probe.photo_seconds is not None
    }
    return {name: time for name, time in times.items() if time < seconds}


def _probed(
    new_engine: NewEngine, device: AnyDevice, precision: str, reference: Tensor | None
) -> tuple[Probe, Tensor | None]:
    """Try a number format on a device.

    Args:
        new_engine: makes an engine.
        device: where to run it.
        precision: a name of `PRECISIONS`.
        reference: the result to compare with; None if there is none yet.

    Returns:
        The findings, and the values of the result if it is correct.
    """
    try:
        dtype = choose_precision(device, precision)
        result = _run(new_engine(device, dtype, tile=0), _SIDE)
        difference = None if reference is None else float((result - reference).abs().max()) * 255
        if difference is not None and difference > _TOLERANCE:
            error = f"its result is wrong: off by {difference:.0f} of 255 levels"
            return Probe(precision, error, difference), None
        return Probe(precision, None, difference, _photo_seconds(new_engine(device, dtype))), result
    except Exception as error:  # noqa: BLE001 - a broken driver can raise anything
        end_if_stopped()
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        return Probe(precision, reason), None


def _photo_seconds(engine: Engine) -> tuple[float, float]:
    width, height = PHOTO
    pixels = engine.computed_pixels(height, width, layers=1)

    def run(side: int) -> int:
        _run(engine, side)
        return engine.computed_pixels(side, side, layers=1)

    tile, _ = engine.restorer_tiles()
    speed = measure_speed(run, tile or max(PHOTO), pixels)
    return speed.fastest * pixels, speed.slowest * pixels


def _run(engine: Engine, side: int) -> Tensor:
    """Return the values of the result's first tile."""
    lr = ImageRows(_picture(side))
    tiles = list(engine.restore(lr, EstimatedCodes(engine, lr, None), registered=False))
    return tiles[0].pixels


def _picture(side: int) -> Tensor:
    """Return a test picture of waves in all directions, (1, 3, side, side), in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    waves = [torch.sin(x / 2), torch.sin((x + y) / 3), torch.cos(torch.hypot(x - side / 2, y) / 2)]
    return torch.stack(waves)[None] * 0.4 + 0.5
