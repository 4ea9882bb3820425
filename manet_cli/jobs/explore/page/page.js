"use strict";
{
  const get = (id) => document.getElementById(id);
  const data = JSON.parse(get("data").textContent);
  const bytes = (text) => {
    const characters = atob(text);
    const array = new Uint8Array(characters.length);
    for (let i = 0; i < array.length; i += 1) array[i] = characters.charCodeAt(i);
    return array;
  };
  const limited = (value, low, high) => Math.min(Math.max(value, low), high);

  // Data from Python: planes of bytes (the code's numbers, sigma_x, sigma_y, theta, flat), each with the values
  // of byte 0 and of a step of 1; and little-endian floats, a kernel for every number of the code and the rest.
  const { width, height, left, top, scale, step, rows, columns } = data;
  const planes = bytes(data.planes);
  const raw = new DataView(bytes(data.basis).buffer);
  const length = data.low.length - 4;
  const size = Math.sqrt(raw.byteLength / 4 / (length + 1));
  const basis = Float32Array.from({ length: raw.byteLength / 4 }, (_, i) => raw.getFloat32(4 * i, true));
  const plane = (number, place) => data.low[number] + data.unit[number] * planes[number * rows * columns + place];

  /** The place in the planes of the input pixel (x, y) of the whole picture. */
  const placeOf = (x, y) => {
    const column = Math.floor(limited(x - left, 0, width - 1) / step);
    const row = Math.floor(limited(y - top, 0, height - 1) / step);
    return row * columns + column;
  };

  /** The kernel of an input pixel: size * size values, row by row, that sum to 1. */
  const kernelAt = (x, y) => {
    const place = placeOf(x, y);
    const kernel = basis.slice(length * size * size);
    for (let number = 0; number < length; number += 1) {
      const factor = plane(number, place);
      for (let i = 0; i < kernel.length; i += 1) kernel[i] += factor * basis[number * kernel.length + i];
    }
    let sum = 0;
    for (let i = 0; i < kernel.length; i += 1) sum += kernel[i] = Math.max(kernel[i], 0);
    return kernel.map((value) => value / sum);
  };

  /** The shape of an input pixel's kernel: standard deviations in result pixels, degrees, and whether it is flat there. */
  const shapeOfPlace = (place) => ({
    sigmaX: plane(length, place),
    sigmaY: plane(length + 1, place),
    theta: plane(length + 2, place),
    flat: plane(length + 3, place) > 0,
  });
  const shapeAt = (x, y) => shapeOfPlace(placeOf(x, y));

  // Colours that people with any common colour deficiency can distinguish: a scale from dark to light, and a
  // circle from blue over light and orange to dark.
  const RISING = data.colours;
  const CIRCLE = [[0, 95, 185], [240, 238, 230], [220, 105, 0], [45, 38, 48], [0, 95, 185]];
  const colour = (stops, share) => {
    const position = limited(share, 0, 1) * (stops.length - 1);
    const index = Math.min(Math.floor(position), stops.length - 2);
    return stops[index].map((value, i) => value + (stops[index + 1][i] - value) * (position - index));
  };
  // Blur sizes, as standard deviations, have the same colours in all pictures: over the range of training.
  const [smallest, largest] = data.range;
  const OVERLAYS = {
    size: {
      title: "Blur size",
      note: "Standard deviation of a round blur of the same area, in pixels of the enlarged picture, over the range of training. Faint: flat there.",
      ticks: [smallest, (smallest + largest) / 2, largest].map((value) => value.toFixed(1)),
      stops: RISING,
      share: (shape) => (Math.sqrt(shape.sigmaX * shape.sigmaY) - smallest) / (largest - smallest),
      weight: () => 1,
    },
    angle: {
      title: "Angle of the long axis",
      note: "From right towards down. The rounder the kernel, the fainter. Faint also: flat there.",
      ticks: ["0°", "45°", "90°", "135°", "180°"],
      stops: CIRCLE,
      share: (shape) => shape.theta / 180,
      weight: (shape) => limited(shape.sigmaX / shape.sigmaY - 1, 0, 1),
    },
  };

  /** Fill a canvas of (wide, high) pixels; `paint` returns red, green, blue and alpha of a pixel. */
  const fill = (canvas, wide, high, paint) => {
    canvas.width = wide;
    canvas.height = high;
    const context = canvas.getContext("2d");
    const image = context.createImageData(wide, high);
    for (let i = 0; i < wide * high; i += 1) image.data.set(paint(i), 4 * i);
    context.putImageData(image, 0, 0);
  };

  /** An ellipse as a path: middle, half axes, and the first one's angle in degrees from right towards down. */
  const ellipse = (x, y, first, second, degrees) => {
    const angle = (degrees * Math.PI) / 180;
    const [dx, dy] = [first * Math.cos(angle), first * Math.sin(angle)];
    const arc = `A${first} ${second} ${degrees} 0 1`;
    return `M${x + dx} ${y + dy}${arc} ${x - dx} ${y - dy}${arc} ${x + dx} ${y + dy}Z`;
  };
  const draw = (parent, path, ...classes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
    element.setAttribute("d", path);
    element.classList.add(...classes);
    parent.append(element);
    return element;
  };

  const stage = get("stage");
  const state = { x: left + Math.floor(0.7 * width), y: top + Math.floor(height / 2), held: false };

  const showKernel = () => {
    const { x, y } = state;
    const kernel = kernelAt(x, y);
    const shape = shapeAt(x, y);
    const peak = kernel.reduce((one, other) => Math.max(one, other));
    fill(get("kernel"), size, size, (i) => [...colour(RISING, kernel[i] / peak), 255]);
    const middle = (size - scale + 1) / 2; // the published placement's, in the svg's units: pixels from the corner
    get("shape").setAttribute("viewBox", `0 0 ${size} ${size}`);
    get("shape").replaceChildren();
    draw(get("shape"), ellipse(middle, middle, shape.sigmaX, shape.sigmaY, shape.theta));
    const [first, second] = [shape.sigmaX.toFixed(2), shape.sigmaY.toFixed(2)];
    const degrees = `${Math.round(shape.theta) % 180}`;
    const round = shape.sigmaX < 1.1 * shape.sigmaY;
    const angle = round ? "round" : `${degrees}°`;
    get("sigma").textContent = `${first} × ${second}`;
    get("angle").textContent = angle;
    get("peak").textContent = peak.toFixed(4);
    get("option").textContent = `--sigma ${first},${second},${degrees}`;
    get("flat").hidden = !shape.flat;
    get("held").hidden = !state.held;
    get("x").value = x;
    get("y").value = y;
    const words = `Pixel ${x}, ${y}: standard deviations ${first} and ${second}, ${round ? "round" : `angle ${degrees} degrees`}${shape.flat ? "; flat here, not to be trusted" : ""}.`;
    get("kernel").setAttribute("aria-label", `Kernel of ${words}`);
    return words;
  };

  const SPEAK_AFTER = 400; // milliseconds without a move: a screen reader hears where one arrives
  let speaking;
  const goTo = (x, y) => {
    state.x = limited(Math.round(x), left, left + width - 1);
    state.y = limited(Math.round(y), top, top + height - 1);
    const words = showKernel();
    const path = ellipse(state.x - left + 0.5, state.y - top + 0.5, mark, mark, 0);
    for (const element of points) element.setAttribute("d", path);
    clearTimeout(speaking);
    speaking = setTimeout(() => { get("spoken").textContent = words; }, SPEAK_AFTER);
  };

  // Ellipses on a grid, enlarged so that the widest nearly touch; where it is flat dashed and faint.
  const spacing = Math.max(Math.ceil(Math.max(width, height) / 20), 2);
  const enlarged = (0.48 * spacing) / (largest / scale);
  const mark = Math.max(0.7, spacing / 4);
  const glyphs = get("glyphs");
  glyphs.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const paths = { sure: "", faint: "" };
  const first = (side) => Math.floor((side - spacing * Math.max(Math.floor(side / spacing) - 1, 0)) / 2);
  for (let y = first(height); y < height; y += spacing) {
    for (let x = first(width); x < width; x += spacing) {
      const shape = shapeAt(left + x, top + y);
      const axes = [shape.sigmaX, shape.sigmaY].map((sigma) => (sigma / scale) * enlarged);
      paths[shape.flat ? "faint" : "sure"] += ellipse(x + 0.5, y + 0.5, ...axes, shape.theta);
    }
  }
  const drawn = Object.entries(paths).flatMap(([kind, path]) =>
    ["under", "over"].map((layer) => draw(glyphs, path, layer, kind)),
  );
  const points = ["under", "over"].map((layer) => draw(glyphs, "M0 0", layer, "point"));
  get("ellipses-note").textContent =
    `Ellipses: the fitted shapes, one standard deviation enlarged ${(enlarged).toFixed(1)} times. Dashed: flat there.`;
  const showEllipses = () => {
    const shown = get("ellipses").checked;
    for (const element of drawn) element.style.display = shown ? "" : "none";
    get("ellipses-note").hidden = !shown;
  };

  const showOverlay = () => {
    const overlay = OVERLAYS[get("controls").elements.overlay.value];
    const canvas = get("colours");
    get("legend").hidden = !overlay;
    canvas.hidden = !overlay;
    if (!overlay) return;
    fill(canvas, columns, rows, (place) => {
      const shape = shapeOfPlace(place);
      const weight = overlay.weight(shape) * (shape.flat ? 0.3 : 1);
      return [...colour(overlay.stops, overlay.share(shape)), 150 * weight];
    });
    // Each place stands for a square of pixels; the last ones may reach beyond the picture.
    canvas.style.width = `${(100 * columns * step) / width}%`;
    canvas.style.height = `${(100 * rows * step) / height}%`;
    get("legend-title").textContent = overlay.title;
    get("legend-note").textContent = overlay.note;
    fill(get("scale"), 256, 1, (i) => [...colour(overlay.stops, i / 255), 255]);
    get("ticks").replaceChildren(
      ...overlay.ticks.map((text) => Object.assign(document.createElement("span"), { textContent: text })),
    );
  };

  const share = get("share");
  const showShare = () => {
    const percent = Number(share.value);
    get("before").style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
    get("after").style.clipPath = `inset(0 0 0 ${percent}%)`;
    get("handle").style.left = `${percent}%`;
    get("tag-before").hidden = percent < 15;
    get("tag-after").hidden = percent > 85;
    share.setAttribute("aria-valuetext", `${percent} % bicubic, ${100 - percent} % manet`);
  };
  const setShare = (percent) => {
    share.value = percent;
    showShare();
  };

  const showZoom = () => {
    const zoom = get("zoom").value;
    const aspect = width / height;
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.width = zoom === "fit" ? `min(100%, ${78 * aspect}vh)` : `${width * scale * Number(zoom)}px`;
    stage.classList.toggle("large", Number(zoom) > 1);
    const [scroller, box] = [get("scroller"), stage.getBoundingClientRect()];
    scroller.scrollTo(
      ((state.x - left + 0.5) / width) * box.width - scroller.clientWidth / 2,
      ((state.y - top + 0.5) / height) * box.height - scroller.clientHeight / 2,
    );
  };

  const shareUnder = (event) => {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const goUnder = (event) => {
    const [across, down] = shareUnder(event);
    goTo(left + Math.floor(across * width), top + Math.floor(down * height));
  };

  const handle = get("handle");
  handle.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    event.stopPropagation();
    setShare(100 * limited(shareUnder(event)[0], 0, 1));
  });
  handle.addEventListener("click", (event) => event.stopPropagation());
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch" && !state.held) goUnder(event);
  });
  stage.addEventListener("click", (event) => {
    // A finger has no hover: it points, and there is nothing to hold. Nor has a screen reader's click a place.
    if (event.detail === 0) return;
    state.held = event.pointerType !== "touch" && !state.held;
    goUnder(event);
  });
  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const SHARES = { PageUp: 10, PageDown: -10 }; // as in a native slider
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in KEYS) {
      const [dx, dy] = KEYS[event.key].map((way) => way * (event.shiftKey ? 10 : 1));
      state.held = true;
      goTo(state.x + dx, state.y + dy);
    } else if (event.key in SHARES) {
      setShare(Number(share.value) + SHARES[event.key]);
    } else if (event.key === "Escape") {
      state.held = false;
      showKernel();
    } else return;
    event.preventDefault();
  });
  for (const name of ["x", "y"]) {
    get(name).min = name === "x" ? left : top;
    get(name).max = name === "x" ? left + width - 1 : top + height - 1;
    get(name).addEventListener("change", () => {
      state.held = true; // or the next move of the pointer would undo it
      goTo(Number(get("x").value), Number(get("y").value));
    });
  }
  share.addEventListener("input", showShare);
  get("zoom").addEventListener("change", showZoom);
  get("ellipses").addEventListener("change", showEllipses);
  get("controls").addEventListener("change", showOverlay);
  get("controls").addEventListener("submit", (event) => event.preventDefault());

  get("record").textContent = JSON.stringify(JSON.parse(data.record), null, 1);
  document.documentElement.classList.add("live");
  showShare();
  showOverlay();
  showEllipses();
  showZoom();
  goTo(state.x, state.y);
  // For the console: `explore.kernelAt(x, y)`, in input pixels of the whole picture.
  globalThis.explore = Object.freeze({ kernelAt, shapeAt, goTo, size, scale });
}
