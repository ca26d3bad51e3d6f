// The card of a classifier of images or videos: a file, or a drawing.

const SIDE = 280; // of the drawing, in pixels
// Width of the pen, as a share of the drawing; and at least, in pixels of the model.
const PEN = 0.09;
const PEN_PIXELS = 1.4;

/**
 * A canvas to draw on for a model that reads `side` pixels.
 *
 * `drawn` is called after each stroke, and `cleared` when a user wants an empty canvas.
 */
function makeDrawing(side, drawn, cleared) {
  const canvas = make("canvas", {
    width: SIDE, height: SIDE, role: "img", tabindex: 0,
    "aria-label": "Area to draw on with a pointer; without one, choose a file",
  });
  const pen = canvas.getContext("2d");
  const isDark = make("input", { type: "checkbox" });
  const clear = () => {
    pen.fillStyle = isDark.checked ? "#fff" : "#000";
    pen.fillRect(0, 0, SIDE, SIDE);
    Object.assign(pen, {
      strokeStyle: isDark.checked ? "#000" : "#fff",
      lineWidth: SIDE * Math.max(PEN, PEN_PIXELS / side),
      lineCap: "round",
      lineJoin: "round",
    });
  };
  const placeOf = ({ offsetX, offsetY }) =>
    [offsetX * SIDE / canvas.clientWidth, offsetY * SIDE / canvas.clientHeight];
  let last = null;
  const draw = (event) => {
    if (!last) return;
    const place = placeOf(event);
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...place);
    pen.stroke();
    last = place;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = placeOf(event);
    draw(event);
  });
  canvas.addEventListener("pointermove", draw);
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      if (last) drawn(canvas);
      last = null;
    });
  }
  isDark.addEventListener("change", cleared);
  clear();
  const controls = make("div", { class: "stack" },
    makeButton("Clear", cleared),
    make("label", { class: "inline" }, isDark, "dark on white"));
  return { canvas, controls, clear };
}

function addPictureClassifier(model) {
  const isImage = model.reads === "images";
  const preview = make("img", { alt: "The chosen file", hidden: "" });
  preview.addEventListener("load", () => {
    preview.classList.toggle("small", preview.naturalWidth < preview.clientWidth);
  });
  const file = make("input", { type: "file", accept: isImage ? "image/*" : "image/gif,image/webp,image/png" });
  let chosen = null;
  const choose = (blob) => {
    chosen = blob;
    URL.revokeObjectURL(preview.src);
    preview.hidden = !blob?.name || !blob.type.startsWith("image/");
    if (!preview.hidden) preview.src = URL.createObjectURL(blob);
    // Either a file or a drawing is shown.
    if (blob?.name) drawing.clear();
    else file.value = "";
    if (blob) card.form.requestSubmit();
    else card.clear();
  };
  const forget = () => {
    drawing.clear();
    choose(null);
  };
  const drawing = makeDrawing(model.side, (canvas) => canvas.toBlob(choose, "image/png"), forget);
  const drop = make("div", { class: "drop" },
    make("label", {}, isImage ? "Image: choose or drop a file, or draw with a pointer" : "Video: choose or drop a file", file),
    make("div", { class: "pictures" }, preview, ...(isImage ? [drawing.canvas, drawing.controls] : [])));
  file.addEventListener("change", () => (file.files.length ? choose(file.files[0]) : forget()));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files; // whose name is shown
    choose(file.files[0]);
  });
  const card = addCard({
    title: model.name,
    about: `classifies ${model.reads}`,
    fields: [drop],
    action: "Classify",
    run: async (show) => {
      if (!chosen) throw new Error(`${isImage ? "draw or choose an image" : "choose a video"} first`);
      const path = `/classify?model=${encodeURIComponent(model.name)}`;
      const response = await send(path, chosen, chosen.type || "image/unknown");
      const { answers } = await response.json();
      show(...makeBars(answers[0].probabilities));
    },
  });
}
