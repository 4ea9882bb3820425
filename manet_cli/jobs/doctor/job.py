"""Examine this installation and this machine."""

from __future__ import annotations

import platform
from collections.abc import Callable

import torch
from torch import Tensor

from manet_cli.errors import DeviceError
from manet_cli.inference import PRECISIONS, all_devices, choose_device, choose_precision, explain_auto
from manet_cli.jobs.doctor.findings import Estimate, Examination, Probe
from manet_cli.jobs.doctor.installation import look_at_software, look_at_weights
from manet_cli.jobs.doctor.probes import NewEngine, default_model, examine_device
from manet_cli.weights import DEFAULT_FAMILY

__all__ = ["examine"]


def examine(progress: Callable[[float], None] = lambda share: None) -> Examination:
    """Examine the installation and the machine, and try the networks on every device; download nothing.

    Args:
        progress: callback for the share done, in [0, 1].
    """
    found = Examination(platform=f"{platform.platform()}, Python {platform.python_version()}")
    look_at_software(found)
    look_at_weights(found)
    new_engine, scale = default_model()
    devices, problems = all_devices()
    found.problems += problems
    reference: Tensor | None = None
    for number, device in enumerate(devices):
        progress(number / (len(devices) + 1))
        examined, result = examine_device(device, new_engine, reference)
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


def _look_at_auto(found: Examination, new_engine: NewEngine, scale: int | None) -> None:
    device, reason = choose_device(), explain_auto()
    dtype = choose_precision(device)
    precision = next(name for name, value in PRECISIONS.items() if value == dtype)
    works = {
        examined.device: [probe.precision for probe in examined.probes if probe.error is None]
        for examined in found.devices
    }
    if not isinstance(device, torch.device) and device.optional and precision not in works[str(device)]:
        reason = f"{device} does not work, so PyTorch goes on"
        device = torch.device("cpu")
    found.auto = {"device": str(device), "precision": precision, "tile": None, "reason": reason}
    if precision not in works[str(device)]:
        other = next(name for name, working in works.items() if working)
        formats = works[str(device)]
        advice = f"--precision {formats[0]}" if formats else f"--device {other}"
        found.problems.append(
            f"auto would choose {precision} on {device}, which does not work: give {advice}"
        )
        return
    found.auto["tile"], _ = new_engine(device, dtype).restorer_tiles()
    chosen = _probes(found, precision)[str(device)]
    if scale is not None and chosen.photo_seconds is not None:
        middle = sum(chosen.photo_seconds) / 2
        found.estimates.append(Estimate(DEFAULT_FAMILY, scale, middle, chosen.photo_seconds))
    found.auto["reason"] = "; ".join([reason, *_comparisons(found, str(device), precision)])


def _comparisons(found: Examination, chosen: str, precision: str) -> list[str]:
    """Compare the chosen device with the CPU, and with devices that were faster: a sentence for each."""
    probes = _probes(found, precision)
    ours = probes[chosen].photo_seconds
    sentences = []
    for name, probe in probes.items():
        if name == chosen or ours is None or probe.photo_seconds is None:
            continue
        ratio = sum(ours) / sum(probe.photo_seconds)
        if ratio > 1:
            sentences.append(f"--device {name} was faster: {1 / ratio:.2f} of the time of {chosen}")
        elif name == "cpu":
            sentences.append(f"{chosen} took {ratio:.2f} of the time of --device cpu")
            errors = {device: probes[device].difference for device in (chosen, name)}
            shown = [f"{device} {error:.1f}" for device, error in errors.items() if error is not None]
            if len(shown) == len(errors):
                sentences.append(f"largest pixel error, of 255: {', '.join(shown)}")
    return sentences


def _probes(found: Examination, precision: str) -> dict[str, Probe]:
    """Return each device's test in a number format."""
    return {
        device.device: probe
        for device in found.devices
        for probe in device.probes
        if probe.precision == precision
    }
