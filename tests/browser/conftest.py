"""A browser, and pages with their expected kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manet_cli import open_model
from manet_cli.jobs import models
from manet_cli.jobs.explore.job import plan_explore
from tests.browser.driver import Browser, missing_browser

EXAMPLE = Path(__file__).parents[2] / "examples" / "chelsea_small.png"


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests. Without one they are skipped, or fail with --require-browser."""
    missing = missing_browser()
    if not missing:
        try:
            window = Browser(tmp_path_factory.mktemp("browser") / "driver.log")
        except RuntimeError as error:  # such as a browser and a driver of different versions
            missing = str(error)
    if missing and pytestconfig.getoption("--require-browser"):
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)
    yield window
    window.close()


@dataclass(frozen=True)
class Shown:
    """A page, and the kernels of its picture from `manet kernels`: (H, W, 21, 21)."""

    page: Path
    kernels: npt.NDArray[np.float32]
    largest_error: float


@pytest.fixture(scope="session")
def shown(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The page of the example photo (112x75 pixels, x4)."""
    page = tmp_path_factory.mktemp("page") / "chelsea.html"
    error = write_page(EXAMPLE, page)
    with Image.open(EXAMPLE) as photo:
        kernels = open_model(device="cpu", precision="fp32").kernels(photo)
    return Shown(page, kernels, error)


def write_page(photo: Path, page: Path, crop: tuple[int, int, int, int] | None = None) -> float:
    """Make a page in fp32 on the CPU, and return the largest error of its kernels."""
    options = models.ModelOptions("default", None, "cpu", "fp32", None)
    model = models.open_model(options)
    job = plan_explore(str(photo), str(page), model, options, crop=crop, overwrite=False)
    return float(str(job.run(model, lambda share: None)["largest_error"]))
