"""The page of `manet explore` in a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.browser.conftest import EXAMPLE, Shown, write_page
from tests.browser.driver import Browser

WIDTH, HEIGHT = 112, 75
SHIFT, PAGE_UP, PAGE_DOWN, ESCAPE, HOME = "\ue008", "\ue00e", "\ue00f", "\ue00c", "\ue011"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"
HOSTILE = "<img src=x onerror='window.pwned=1'><script>window.pwned=1<\N{DIVISION SLASH}script>&$.png"


@pytest.fixture
def page(browser: Browser, shown: Shown) -> Iterator[Browser]:
    """The loaded page; after the test its console must be empty, without any request."""
    browser.command("Emulation.clearDeviceMetricsOverride")
    browser.open(shown.page)
    yield browser
    assert browser.logs() == []
    assert browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)"
                       ".filter((name) => !name.startsWith('data:'))") == []  # fmt: skip


def text(page: Browser, selector: str) -> str:
    found: str = page.run("return document.querySelector(arguments[0]).textContent", selector)
    return found


def point(page: Browser) -> tuple[int, int]:
    x, y = page.run("return [Number(document.getElementById('x').value), document.getElementById('y').value]")
    return int(x), int(y)


def painted_kernel(page: Browser) -> npt.NDArray[np.float64]:
    """The values of the colours in the kernel's picture, scaled to a largest value of 1."""
    return shares(page, canvas(page, "#kernel"))


def shares(page: Browser, picture: Image.Image) -> npt.NDArray[np.float64]:
    """The positions of colours on the scale from low (0) to high (1)."""
    stops = np.array(page.run("return JSON.parse(document.getElementById('data').textContent).colours"))
    fine = np.linspace(0, 1, 1001)
    scale = np.stack([np.interp(fine, np.linspace(0, 1, len(stops)), part) for part in stops.T], axis=1)
    colours = np.asarray(picture, np.float64)[..., :3]
    distance = np.abs(colours[..., None, :] - scale).sum(axis=-1)
    return np.asarray(fine[distance.argmin(axis=-1)], np.float64)


def canvas(page: Browser, selector: str) -> Image.Image:
    """The pixels of a canvas, RGBA."""
    return of_url(page.run("return document.querySelector(arguments[0]).toDataURL()", selector))


def embedded(page: Browser, selector: str) -> Image.Image:
    """A picture in the page."""
    return of_url(page.run("return document.querySelector(arguments[0]).src", selector))


def of_url(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))).convert("RGBA")


def hover(page: Browser, x: float, y: float, **how: object) -> None:
    """Put the pointer on an input pixel."""
    page.point(place(page, x, y), **how)  # type: ignore[arg-type]


def place(page: Browser, x: float, y: float) -> tuple[str, float, float]:
    _, _, width, height = page.box("#stage")
    return "#stage", (x + 0.5) / WIDTH * width, (y + 0.5) / HEIGHT * height


def test_kernels_are_those_of_manet_kernels(page: Browser, shown: Shown) -> None:
    places = [(0, 0), (111, 74), (40, 40), (78, 37), (5, 70), (110, 3)]
    script = "return arguments[0].map(([x, y]) => Array.from(explore.kernelAt(x, y)))"
    for (x, y), values in zip(places, page.run(script, places), strict=True):
        kernel = np.array(values).reshape(21, 21)
        assert kernel.sum() == pytest.approx(1, abs=1e-6)
        assert np.abs(kernel - shown.kernels[y, x]).max() <= 1.01 * shown.largest_error


def test_the_kernel_under_the_pointer_is_shown(page: Browser, shown: Shown) -> None:
    for x, y in ((80, 20), (20, 60), (95, 5)):
        hover(page, x, y)
        assert point(page) == (x, y)
        kernel = shown.kernels[y, x]
        tolerance = 0.01 + 2 * shown.largest_error / kernel.max()
        assert np.abs(painted_kernel(page) - kernel / kernel.max()).max() < tolerance
        assert float(text(page, "#peak")) == pytest.approx(kernel.max(), abs=shown.largest_error + 1e-4)
        shape = page.run("return explore.shapeAt(arguments[0], arguments[1])", x, y)
        sigma = f"{shape['sigmaX']:.2f} × {shape['sigmaY']:.2f}"
        assert text(page, "#sigma") == sigma
        assert text(page, "#option").startswith(f"--sigma {sigma.replace(' × ', ',')},")
        assert f"Pixel {x}, {y}: standard deviations" in page.run(
            "return document.getElementById('kernel').getAttribute('aria-label')"
        )


def test_a_click_holds_the_point(page: Browser) -> None:
    page.point(place(page, 80, 20), down=0)
    assert page.run("return document.getElementById('held').hidden") is False
    hover(page, 20, 60)
    assert point(page) == (80, 20)
    page.point(place(page, 30, 50), down=0)
    assert point(page) == (30, 50)
    hover(page, 20, 60)
    assert point(page) == (20, 60)


def test_a_finger_points(page: Browser) -> None:
    page.command("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        for x, y in ((81, 22), (25, 61)):
            hover(page, x, y, kind="touch", down=0)
            assert point(page) == (x, y)
            assert page.run("return document.getElementById('held').hidden") is True
    finally:
        page.command("Emulation.setTouchEmulationEnabled", enabled=False)


def test_arrow_keys_move_the_point(page: Browser) -> None:
    start = point(page)
    page.press("#stage", RIGHT, RIGHT, DOWN)
    assert point(page) == (start[0] + 2, start[1] + 1)
    page.press("#stage", SHIFT, LEFT, UP)
    assert point(page) == (start[0] - 8, start[1] - 9)
    page.press("#stage", *[UP] * 40)
    assert point(page) == (start[0] - 8, 0)
    assert page.run("return document.getElementById('held').hidden") is False
    page.press("#stage", ESCAPE)
    assert page.run("return document.getElementById('held').hidden") is True
    page.run("document.getElementById('x').value = 500")
    page.press("#x", "\ue003", "\ue007")  # backspace, enter: 50
    assert point(page) == (50, 0)


def test_the_slider(page: Browser) -> None:
    def clips() -> list[str]:
        script = "return ['#before', '#after'].map((one) => getComputedStyle(document.querySelector(one))"
        return list(page.run(f"{script}.clipPath)"))

    def share() -> float:
        return float(page.run("return document.getElementById('share').value"))

    assert clips() == ["inset(0px 50% 0px 0px)", "inset(0px 0px 0px 50%)"]
    page.press("#share", RIGHT, RIGHT)
    assert clips() == ["inset(0px 48% 0px 0px)", "inset(0px 0px 0px 52%)"]
    page.press("#stage", PAGE_UP, PAGE_UP, PAGE_DOWN)
    assert share() == 62
    _, _, width, _ = page.box("#stage")
    page.point(("#handle", 8, 200), ("#stage", 0.9 * width, 200), down=0)
    assert share() == pytest.approx(90, abs=1)
    assert page.run("return document.getElementById('share').getAttribute('aria-valuetext')") == (
        f"{share():g} % bicubic, {100 - share():g} % manet"
    )
    # The picture changes too: 0 shows the result, the other end shows the bicubic enlargement.
    page.press("#share", HOME)
    after = picture(page)
    page.press("#share", *[PAGE_UP] * 10)
    assert share() == 100
    before = picture(page)
    _, _, width, height = page.box("#stage")
    references = [fitted(embedded(page, one), int(width), int(height)) for one in ("#after", "#before")]
    for seen, own, other in ((after, *references), (before, *references[::-1])):
        assert np.abs(seen - own).mean() < 0.5 * np.abs(seen - other).mean()


def picture(page: Browser) -> npt.NDArray[np.float64]:
    """The visible lower left of the picture, without handle, mark and labels."""
    left, top, width, height = (round(side) for side in page.box("#stage"))
    with Image.open(io.BytesIO(page.screenshot())) as window:
        seen = np.asarray(window.convert("RGB"), np.float64)[top : top + height, left : left + width]
    return middle(seen)


def fitted(image: Image.Image, width: int, height: int) -> npt.NDArray[np.float64]:
    return middle(np.asarray(image.convert("RGB").resize((width, height)), np.float64))


def middle(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    height, width = pixels.shape[:2]
    return pixels[height // 4 : height * 3 // 4, width // 4 : width // 2]


def test_overlays(page: Browser) -> None:
    def visible(selector: str) -> bool:
        return bool(page.run("return document.querySelector(arguments[0]).checkVisibility()", selector))

    assert not any(visible(part) for part in ("#colours", "#legend", "#ellipses-note"))
    page.click("[value=size]")
    assert visible("#colours")
    assert text(page, "#legend-title") == "Blur size"
    shapes = page.run("return [[20, 60], [80, 20], [50, 33]].map(([x, y]) => explore.shapeAt(x, y))")
    low, high = 0.7**0.5, 10**0.5  # the range of training at x4
    painted = shares(page, canvas(page, "#colours").crop((0, 0, 90, 70)))[[60, 20, 33], [20, 80, 50]]
    for shape, share in zip(shapes, painted, strict=True):
        assert share == pytest.approx(
            ((shape["sigmaX"] * shape["sigmaY"]) ** 0.5 - low) / (high - low), abs=0.02
        )
    page.click("[value=angle]")
    assert text(page, "#ticks") == "0°45°90°135°180°"
    before = picture(page)
    page.click("#ellipses")
    assert visible("#ellipses-note")
    assert np.abs(picture(page) - before).mean() > 1
    page.click("[value=none]")
    assert not visible("#colours")


def test_zoom_keeps_the_point_in_view(page: Browser) -> None:
    page.run("explore.goTo(100, 70)")
    page.click("#zoom option[value='4']")
    left, top, width, height = page.box("#stage")
    assert (width, height) == (WIDTH * 16, HEIGHT * 16)
    window = page.box("#scroller")
    x, y = left + 100.5 * 16, top + 70.5 * 16
    assert window[0] < x < window[0] + window[2]
    assert window[1] < y < window[1] + window[3]
    page.click("#zoom option[value='fit']")
    assert page.box("#stage")[2] <= window[2]


def test_light_and_dark_are_readable(page: Browser) -> None:
    script = "return ['body', 'footer', 'aside'].flatMap((name) => ["
    script += "getComputedStyle(document.querySelector(name)).color,"
    script += "getComputedStyle(document.querySelector(name === 'aside' ? name : 'html')).backgroundColor])"
    grounds = []
    try:
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            page.command("Emulation.setEmulatedMedia", features=[feature])
            colours = [luminance(colour) for colour in page.run(script)]
            grounds.append(colours[1])
            for ink, ground in zip(colours[::2], colours[1::2], strict=True):
                assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 4.5
    finally:
        page.command("Emulation.setEmulatedMedia", features=[])
    assert grounds[0] > 0.8
    assert grounds[1] < 0.1


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `rgb(r, g, b)`."""
    parts = np.array([int(part) for part in colour[4:-1].split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_everything_that_takes_the_focus_has_a_name(page: Browser) -> None:
    page.command("Accessibility.enable")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    focusable = [node for node in nodes if not node.get("ignored") and is_focusable(node)]
    names = {node["role"]["value"]: node.get("name", {}).get("value", "") for node in focusable}
    assert all(names.values()), names
    assert {"slider", "radio", "checkbox", "spinbutton", "combobox", "application"} <= set(names)
    pictures = [
        node for node in nodes if node.get("role", {}).get("value") == "image" and not node["ignored"]
    ]
    assert all(node["name"]["value"] for node in pictures)
    assert len(pictures) >= 3


def is_focusable(node: dict[str, list[dict[str, dict[str, object]]]]) -> bool:
    return any(one["name"] == "focusable" and one["value"]["value"] for one in node.get("properties", []))  # type: ignore[comparison-overlap]


def test_a_narrow_window_needs_no_sideways_scrolling(page: Browser) -> None:
    page.command(
        "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True
    )
    wide, room = page.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= room == 360
    _, top, _, height = page.box("#kernel")
    assert top + height < 740  # kernel and picture are visible together


def test_a_hostile_name_is_text_and_foreign_scripts_do_not_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / HOSTILE
    with Image.open(EXAMPLE) as photo:
        photo.save(path)
    out = tmp_path / "part.html"
    write_page(path, out, (50, 20, 30, 25))
    browser.open(out)
    assert browser.run("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.run("return document.title") == f"{HOSTILE}: blur"
    assert browser.run("return document.images.length") == 2
    assert browser.run("return explore.kernelAt(60, 30).length") == 441
    assert browser.run("explore.goTo(0, 0); return document.getElementById('x').value") == "50"
    assert browser.logs() == []
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.pwned = 1'}))"
    )
    browser.run("document.body.insertAdjacentHTML('beforeend', arguments[0])", HOSTILE)
    assert browser.run("return window.pwned ?? null") is None
    assert any("Content Security Policy" in line for line in browser.logs())


def test_without_javascript_both_pictures_are_there(browser: Browser, shown: Shown) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(shown.page)
        with Image.open(io.BytesIO(browser.screenshot())) as window:
            assert len(set(window.convert("RGB").resize((60, 45)).tobytes())) > 60
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
