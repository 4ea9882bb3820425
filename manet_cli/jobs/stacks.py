"""Small pictures of a run that go through the networks together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from manet_cli.errors import ManetError
from manet_cli.images import Header, read_photo
from manet_cli.inference import KernelTile, RestoredTile, memory_reported, restore_stack
from manet_cli.jobs.sources import read_input
from manet_cli.jobs.upscale.canvas import PhotoRows
from manet_cli.jobs.upscale.job import Ahead, Upscaler
from manet_cli.jobs.upscale.plan import Item
from manet_cli.stopping import end_if_stopped

__all__ = ["Stacks", "plan_stacks", "run_ahead"]

Stacks = list[list[int]]
"""Places in the plan, each in one stack; those of a stack go up, and so do the first ones of the stacks."""


def plan_stacks(items: Sequence[Item], size_of: Callable[[Item], int]) -> Stacks:
    """Put pictures of the same shape together, wherever they are in the plan.

    What is done already, or cannot be, has a place in a stack too: so a run that goes on where another was
    stopped has the same stacks, and gives the same bytes.

    Args:
        items: the plan.
        size_of: how many pictures like this one go together; 1 for alone.
    """
    stacks: Stacks = []
    latest: dict[tuple[int, int, bool], list[int]] = {}
    for place, item in enumerate(items):
        header = item.header
        size = size_of(item) if header else 1
        if header is None or size == 1:
            stacks.append([place])
            continue
        shape = header.height, header.width, header.has_alpha
        if shape not in latest or len(latest[shape]) == size:
            latest[shape] = []
            stacks.append(latest[shape])
        latest[shape].append(place)
    return stacks


def run_ahead(upscaler: Upscaler, items: Sequence[Item], go_on: Callable[[], None]) -> list[Upscaler]:
    """Run the networks over a stack.

    Args:
        upscaler: of the run.
        items: the stack.
        go_on: is called when a device is free, and raises if the run ends.

    Returns:
        What finishes each of the pictures: with its result if all went well, else the upscaler as it is,
        with which each goes through the networks alone and what is wrong with one is said of that one.
    """
    alone = [upscaler] * len(items)
    if len(items) == 1 or not any(map(_is_to_do, items)):
        return alone
    started = time.perf_counter()
    try:
        with memory_reported("a stack of small pictures"):
            images = _images(items, upscaler.max_pixels)
            if images is None:
                return alone

            def networks(on_device: Upscaler) -> list[tuple[KernelTile, RestoredTile]] | None:
                go_on()
                return restore_stack(on_device.engine, images, registered=upscaler.registered)

            results = upscaler.turn.run(upscaler, networks)
    except ManetError:
        end_if_stopped()
        return alone
    if results is None:
        return alone
    seconds = (time.perf_counter() - started) / len(items)
    return [
        replace(upscaler, ahead=Ahead(image, kernels if item.kernels else None, result, seconds))
        for item, image, (kernels, result) in zip(items, images, results, strict=True)
    ]


def _is_to_do(item: Item) -> bool:
    """Whether a picture is still to be made; another process may have been faster."""
    if item.error or item.done:
        return False
    return item.replaces or item.output is None or not os.path.lexists(item.output)


def _images(items: Sequence[Item], max_pixels: int) -> Tensor | None:
    """Read a stack's pictures, (B, N, 3, h, w); None if there is none.

    Those made already are read too, and what cannot be read is zeros: nobody's place and number of layers
    depends on how far a run got.
    """
    header = next((item.header for item in items if item.header), None)
    if header is None:
        return None
    rows = [_rows(item, header, max_pixels) for item in items]
    layers = max((len(each) for each in rows if each is not None), default=0)
    if layers == 0:
        return None
    images = torch.zeros(len(items), layers, 3, header.height, header.width)
    for image, each in zip(images, rows, strict=True):
        if each is not None:
            image[: len(each)] = each
    return images


def _rows(item: Item, header: Header, max_pixels: int) -> Tensor | None:
    """Read a picture as the networks see it; None if it cannot be read, or is not what was planned."""
    if item.error:
        return None
    try:
        lr = PhotoRows(
            read_photo(read_input(item.source.path, item.source.name), item.source.name, max_pixels)
        )
    except ManetError:
        end_if_stopped()
        return None
    return lr.rows(0, lr.height) if (lr.height, lr.width) == (header.height, header.width) else None
