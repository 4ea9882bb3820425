"""``manet doctor``: what this installation and this machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from manet_cli.commands import options as shared
from manet_cli.commands.help import SCRIPTS

if TYPE_CHECKING:
    from manet_cli.jobs.doctor.findings import Examination

__all__ = ["doctor"]


def doctor(
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print everything as one JSON object on stdout.", rich_help_panel=SCRIPTS
        ),
    ] = False,
    quiet: shared.Quiet = False,
) -> None:
    """Show what this machine can do: devices, number formats, speed, memory, weights, caches.

    Runs the networks on every device in every number format, which takes some seconds. Exit code 4 means that
    nothing works, 3 that the shipped weights are damaged.
    """
    from manet_cli.console import Reporter, print_error, print_json
    from manet_cli.jobs.doctor.job import examine

    reporter = Reporter(quiet=quiet)
    with reporter.progress("trying the devices") as progress:
        found = examine(progress)
    if as_json:
        print_json(found.fields(), indent=2)
    else:
        _print(found)
    for problem in found.problems:
        print_error(problem)
    raise typer.Exit(found.exit_code)


def _print(found: Examination) -> None:
    from manet_cli.console import print_lines, print_table
    from manet_cli.jobs.durations import time_range

    versions = ", ".join(f"{name} {version or 'MISSING'}" for name, version in found.versions.items())
    print_lines([versions, found.platform, ""])
    width, height = found.photo
    rows = []
    for device in found.devices:
        plural = "" if device.threads == 1 else "s"
        threads = f", {device.threads} thread{plural}" if device.threads else ""
        of_total = f" of {device.memory_total / 2**30:.1f}" if device.memory_total else ""
        print_lines(
            [f"{device.device}: {device.name}{threads}, {device.memory_free / 2**30:.1f}{of_total} GiB free"]
        )
        side = device.largest_untiled
        print_lines(
            [f"  without tiles: inputs up to about {side}x{side} (half of the free memory); with tiles: any"]
        )
        for probe in device.probes:
            time = time_range(*probe.photo_seconds) if probe.photo_seconds else ""
            off = f"{probe.difference:.1f}" if probe.difference is not None else ""
            rows.append([device.device, probe.precision, probe.error or "works", time, off])
    print_lines([""])
    print_table(
        ["device", "precision", "result", f"time for {width}x{height}", "largest error (0-255)"], rows
    )
    lines = [""]
    if found.auto:
        tile = f"tiles of {found.auto['tile']}" if found.auto["tile"] else "no tiles"
        lines.append(
            f"auto: {found.auto['device']}, {found.auto['precision']}, {tile}; {found.auto['reason']}"
        )
    for estimate in found.estimates:
        time = time_range(*estimate.seconds_range)
        lines.append(
            f"a photo of {width}x{height} takes about {time} at x{estimate.scale} with {estimate.model!r}"
        )
    here = ", ".join(f"{name} ({where})" for name, where in found.weights.items())
    state = ("" if found.cache["writable"] else ", not writable") + (
        ", offline" if found.cache["offline"] else ""
    )
    lines += [f"weights: {here}", f"cache: {found.cache['folder']}{state}; of the Hub: {found.cache['hub']}"]
    for extra, packages in found.extras.items():
        described = ", ".join(f"{name} {version or 'not installed'}" for name, version in packages.items())
        advice = "" if all(packages.values()) else f"; pip install 'manet-cli[{extra}]'"
        lines.append(f"extra {extra!r}: {described}{advice}")
    lines.append(
        "Pillow: " + ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in found.formats.items())
    )
    lines += [f"set: {name}={value}" for name, value in found.settings.items()]
    print_lines(lines)
