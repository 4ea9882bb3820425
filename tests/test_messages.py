"""Messages: one text for Python and for the command line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from manet_cli import open_model
from manet_cli.console import Reporter, to_text
from manet_cli.errors import ManetError, Message, Parameter, UsageError
from tests.commands.conftest import Manet, manet, photo

__all__ = ["manet", "photo"]


@pytest.mark.parametrize(
    ("parameter", "python", "option"),
    [
        (Parameter("precision", "fp32"), "precision='fp32'", "--precision fp32"),
        (Parameter("flat_sigma"), "flat_sigma", "--flat-sigma"),
        (Parameter("overwrite", True), "overwrite=True", "--overwrite"),
        (Parameter("strength", 12.0), "strength=12.0", "--strength 12"),
        (Parameter("tile", 0), "tile=0", "--tile 0"),
        (Parameter("kernel", Path("k.npy")), "kernel='k.npy'", "--kernel k.npy"),
        (Parameter("output"), "output", "-o"),
        (Parameter("scale", 2), "scale=2", "-s 2"),
    ],
)
def test_a_parameter_is_spelled_for_its_reader(parameter: Parameter, python: str, option: str) -> None:
    error = UsageError("try ", parameter, " and no more.")
    assert str(error) == f"try {python} and no more."
    assert to_text(error) == f"try {option} and no more."


def test_the_command_line_spells_results_and_logs(capfd: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(as_json=True)
    reporter.result({"error": ManetError("try ", Parameter("tile", 0))})
    logging.getLogger("manet_cli.test").warning("%s", Message("try ", Parameter("device", "cpu")))
    logging.getLogger("manet_cli.test").warning(Message("leave out ", Parameter("compile")))
    printed = capfd.readouterr()
    assert json.loads(printed.out) == {"error": "try --tile 0."}
    assert [line.rstrip() for line in printed.err.splitlines()] == ["try --device cpu", "leave out --compile"]


def test_python_and_the_command_line_name_the_same_parameter(manet: Manet, photo: Path) -> None:
    for name, value in (("device", "gpu"), ("precision", "fp8")):
        with pytest.raises(UsageError) as caught:
            open_model(**{name: value})  # type: ignore[arg-type]
        outcome = manet("upscale", photo, f"--{name}", value)
        assert str(caught.value).startswith(f"{name}={value!r}: expected auto, ")
        assert outcome.stderr == f"manet: {to_text(caught.value)}\n"
        assert outcome.stderr.startswith(f"manet: --{name} {value}: expected auto, ")


def test_python_reads_no_option_about_the_blur() -> None:
    model, picture = open_model(), Image.new("RGB", (8, 8))
    with pytest.raises(UsageError, match=r"^strength=20\.0: expected a number above 0"):
        model.upscale(picture, strength=20)
    with pytest.raises(UsageError, match=r"^sigma=-1\.0: expected standard deviations above 0"):
        model.upscale(picture, sigma=-1)
    with pytest.raises(UsageError, match=r"^smooth has no effect with sigma, which"):
        model.upscale(picture, sigma=(2, 1, 30), smooth=3)
