// Scenes: lists of shapes in pixels, which can be drawn as SVG or on a canvas.
// A shape has a kind (rect, curve, text, photo, pixels) and the arguments of the function of that name.

const FONT = 'system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif';
const SVG = "http://www.w3.org/2000/svg";

function svgElement(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A curve from left to right; straight if it is level. */
function curveOf({ x1, y1, x2, y2 }) {
  const middle = (x1 + x2) / 2;
  return `M${x1},${y1}C${middle},${y1} ${middle},${y2} ${x2},${y2}`;
}

const SVG_SHAPES = {
  rect: ({ x, y, width, height, fill, opacity = 1, stroke = "none", data }) =>
    mark(svgElement("rect", { x, y, width, height, fill, "fill-opacity": opacity, stroke }), data),
  curve: ({ stroke, width, opacity, dashes, ...ends }) =>
    svgElement("path", {
      d: curveOf(ends), fill: "none", stroke, "stroke-width": width, "stroke-opacity": opacity,
      ...(dashes && { "stroke-dasharray": dashes }),
    }),
  text: ({ x, y, text, size, fill, anchor = "start", bold = false, turned = false }) => {
    const element = svgElement("text", {
      x, y, fill, "font-size": size, "text-anchor": anchor, "font-weight": bold ? 700 : 400,
      "font-family": FONT, "dominant-baseline": "central", "pointer-events": "none",
      ...(turned && { transform: `rotate(-90 ${x} ${y})` }),
    });
    element.textContent = text;
    return element;
  },
  photo: ({ image, ...place }) =>
    svgElement("image", { ...place, preserveAspectRatio: "none", href: image.src }),
  pixels: ({ x, y, width, height, ...image }) =>
    svgElement("image", {
      x, y, width, height, preserveAspectRatio: "none",
      href: canvasOf(image, Math.ceil(Math.max(width / image.columns, 1))).toDataURL("image/png"),
    }),
};

function mark(element, data = {}) {
  Object.assign(element.dataset, data);
  return element;
}

const CANVAS_SHAPES = {
  rect(pen, { x, y, width, height, fill, opacity = 1, stroke }) {
    pen.globalAlpha = opacity;
    pen.fillStyle = fill;
    if (fill !== "none") pen.fillRect(x, y, width, height);
    pen.globalAlpha = 1;
    if (!stroke) return;
    pen.strokeStyle = stroke;
    pen.strokeRect(x, y, width, height);
  },
  curve(pen, { stroke, width, opacity, dashes, ...ends }) {
    pen.globalAlpha = opacity;
    pen.strokeStyle = stroke;
    pen.lineWidth = width;
    pen.setLineDash(dashes ? dashes.split(" ").map(Number) : []);
    pen.stroke(new Path2D(curveOf(ends)));
  },
  text(pen, { x, y, text, size, fill, anchor = "start", bold = false, turned = false }) {
    pen.fillStyle = fill;
    pen.font = `${bold ? 700 : 400} ${size}px ${FONT}`;
    pen.textAlign = { start: "left", middle: "center", end: "right" }[anchor];
    pen.textBaseline = "middle";
    pen.translate(x, y);
    if (turned) pen.rotate(-Math.PI / 2);
    pen.fillText(text, 0, 0);
  },
  photo(pen, { x, y, width, height, image }) {
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, x, y, width, height);
  },
  pixels(pen, { x, y, width, height, ...image }) {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvasOf(image, 1), x, y, width, height);
  },
};

function newCanvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** A canvas of rows x columns pixels, each enlarged to a square. */
function canvasOf({ pixels, rows, columns }, enlarged) {
  const canvas = newCanvas(columns, rows);
  canvas.getContext("2d").putImageData(new ImageData(pixels, columns, rows), 0, 0);
  if (enlarged === 1) return canvas;
  const larger = newCanvas(columns * enlarged, rows * enlarged);
  const pen = larger.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(canvas, 0, 0, larger.width, larger.height);
  return larger;
}

/** Adds shapes to an SVG element. */
function addShapes(parent, shapes) {
  parent.append(...shapes.map(({ kind, ...shape }) => SVG_SHAPES[kind](shape)));
}

/** Draws the part of a scene from left, top on a canvas with `density` pixels per unit. */
function paint(canvas, shapes, { left = 0, top = 0, width, height }, density) {
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const pen = canvas.getContext("2d");
  pen.fillStyle = color("paper");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  for (const { kind, ...shape } of shapes) {
    pen.setTransform(density, 0, 0, density, -left * density, -top * density);
    pen.globalAlpha = 1;
    CANVAS_SHAPES[kind](pen, shape);
  }
}

const measuring = newCanvas(1, 1).getContext("2d");

function widthOf(text, size) {
  measuring.font = `${size}px ${FONT}`;
  return measuring.measureText(text).width;
}

/** The text, cut to a width in pixels. */
function fitted(text, size, width) {
  if (widthOf(text, size) <= width) return text;
  const characters = [...text];
  let kept = characters.length;
  while (kept > 1 && widthOf(`${characters.slice(0, kept).join("")}…`, size) > width) kept--;
  return `${characters.slice(0, kept).join("")}…`;
}

/** The width of labels: that of the widest one, up to a limit. */
function labelWidth(texts, size, limit) {
  return Math.min(limit, Math.ceil(texts.reduce((most, t) => Math.max(most, widthOf(t, size)), 0)));
}

/** The pixels of shares from 0 to 1 in the colors of a table, with the given opacity. */
function pixelsOf(shares, table, opacity = () => 255) {
  const pixels = new Uint8ClampedArray(4 * shares.length);
  for (let i = 0; i < shares.length; i++) {
    const entry = 3 * Math.round(255 * shares[i]);
    pixels[4 * i] = table[entry];
    pixels[4 * i + 1] = table[entry + 1];
    pixels[4 * i + 2] = table[entry + 2];
    pixels[4 * i + 3] = opacity(shares[i]);
  }
  return pixels;
}
