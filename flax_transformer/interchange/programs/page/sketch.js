// Images: drawn with a finger, a pen or a mouse, or from a file, and their classes.

const LONGEST_SIDE = 1024; // of a picture from a file
const SEEN_SIDE = 280;
const OPACITY = 0.7;

/** Draws on the canvas, and calls `changed` after each line. */
class Pad {
  constructor(page, changed) {
    this.canvas = byId("pad");
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.paper = page.background;
    this.changed = changed;
    const [height, width] = page.image;
    this.canvas.height = Math.round((SEEN_SIDE * height) / Math.max(height, width));
    this.canvas.width = Math.round((SEEN_SIDE * width) / Math.max(height, width));
    this.size = [this.canvas.height, this.canvas.width];
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, (event) => this.follow(event));
    }
    this.clear();
  }

  clear() {
    [this.canvas.height, this.canvas.width] = this.size;
    this.pen.fillStyle = `rgb(${this.paper} ${this.paper} ${this.paper})`;
    this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.hasPhoto = false;
    this.canvas.classList.remove("coarse");
  }

  follow(event) {
    if (event.type === "pointerdown") {
      if (this.hasPhoto) this.clear();
      this.canvas.setPointerCapture(event.pointerId);
      this.last = this.placeOf(event);
      this.line(this.last);
    } else if (event.type === "pointermove" && this.last) {
      // All places between two frames of the screen, so that fast lines are round.
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.line(this.placeOf(each));
    } else this.last = null;
  }

  placeOf({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(clientX - box.left) * scale, (clientY - box.top) * scale];
  }

  line(place) {
    const ink = 255 - this.paper;
    Object.assign(this.pen, {
      lineWidth: Number(byId("pen").value), lineCap: "round", lineJoin: "round",
      strokeStyle: `rgb(${ink} ${ink} ${ink})`,
    });
    this.pen.beginPath();
    this.pen.moveTo(...this.last);
    this.pen.lineTo(...place);
    this.pen.stroke();
    this.last = place;
    this.changed();
  }

  /** Shows an image of any size instead of a drawing. */
  show(image, [height, width], isSmooth = true) {
    const scale = Math.min(1, LONGEST_SIDE / Math.max(height, width));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    this.canvas.width = Math.max(1, Math.round(width * scale));
    // What is transparent is white, as it is for the model's commands by default.
    this.pen.fillStyle = "#ffffff";
    this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.pen.imageSmoothingEnabled = isSmooth;
    this.pen.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    this.hasPhoto = true;
    this.canvas.classList.toggle("coarse", !isSmooth);
    this.changed();
  }
}

/** A canvas with the pixels [height, width, channels] of a model. */
function pictureOf(pixels, [height, width, channels]) {
  const colors = new Uint8ClampedArray(4 * height * width);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) colors[4 * i + c] = pixels[i * channels + (channels === 1 ? 0 : c)];
    colors[4 * i + 3] = 255;
  }
  return canvasOf({ pixels: colors, rows: height, columns: width }, 1);
}

const seen = { pixels: null, weights: null };

/** Classifies pixels, and shows them with the attention. */
function classifyPixels(model, pixels) {
  const { page } = model;
  const { probabilities, attention } = model.classify(pixels);
  byId("error").textContent = "";
  showBars(page.classes, probabilities);
  const found = lookOfClass(page, attention.attention_encoder);
  fillChoices(found);
  Object.assign(seen, { pixels, ...found });
  byId("looks").hidden = false;
  byId("keys-name").textContent = page.pools_first
    ? "Bright patches are those that the class token looks at"
    : "Bright patches are those that all patches look at, on average";
  paintSeen(page);
  document.body.dataset.done = ++turn;
}

function paintSeen(page) {
  const [height, width] = page.image;
  const [rows, columns] = page.patches;
  const weights = weightsOf(seen).subarray(page.pools_first ? 1 : 0);
  const most = largest(weights) || 1;
  const shares = Array.from(weights, (weight) => weight / most);
  const scale = SEEN_SIDE / Math.max(height, width);
  const place = { x: 0, y: 0, width: width * scale, height: height * scale };
  const colors = pixelsOf(shares, rampTable(DARK), (share) => 255 * OPACITY * share);
  const canvas = byId("seen");
  const image = pictureOf(seen.pixels, page.image);
  const picture = { pixels: image.getContext("2d").getImageData(0, 0, width, height).data };
  paint(canvas, [
    { kind: "pixels", ...place, ...picture, rows: height, columns: width },
    { kind: "pixels", ...place, pixels: colors, rows, columns },
  ], place, devicePixelRatio);
  const best = shares.indexOf(Math.max(...shares));
  const where = `row ${Math.floor(best / columns) + 1}, column ${(best % columns) + 1}`;
  const share = (100 * most).toFixed(0);
  byId("readout").textContent = `The brightest patch (${where}) has ${share}\u00a0% of the attention`;
  canvas.setAttribute("aria-label", `The picture as the model sees it. ${byId("readout").textContent}`);
}

async function openFile(pad, file) {
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    pad.show(image, [image.height, image.width]);
  } catch {
    pad.clear();
    forgetSeen();
    byId("error").textContent = `${file.name} is not a picture that this browser reads`;
  }
}

/** Clears the classes and the picture of the last answer. */
function forgetSeen() {
  Object.assign(seen, { pixels: null, weights: null });
  const canvas = byId("seen");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  canvas.removeAttribute("aria-label");
  for (const id of ["result", "looks"]) byId(id).hidden = true;
}

function openImages(model) {
  const { page } = model;
  byId("sketch-form").hidden = false;
  for (const id of ["queries-name", "queries", "matrix", "keys"]) byId(id).hidden = true;
  let isAsked = false;
  const classify = () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      classifyPixels(model, pixelsForModel(pad.canvas, page.image));
    });
  };
  const pad = new Pad(page, classify);
  byId("clear").addEventListener("click", () => { pad.clear(); classify(); });
  byId("file").addEventListener("change", ({ target }) => {
    openFile(pad, target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  addEventListener("dragover", (event) => { event.preventDefault(); pad.canvas.classList.add("over"); });
  addEventListener("dragleave", () => pad.canvas.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    pad.canvas.classList.remove("over");
    openFile(pad, event.dataTransfer.files[0]);
  });
  looks.show = () => seen.pixels && paintSeen(page);
  return (pixels) => pad.show(pictureOf(pixels, page.image), page.image, false);
}
