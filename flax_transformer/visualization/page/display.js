// Shows the scene of the current view on the page, and follows the pointer over it.

const VIEWS = [lines, grid, matrix, picture];
const drawing = document.getElementById("drawing");
const readout = document.getElementById("readout");
const STILL = "still";
const MOVING = "moving";
let drawn = null; // {view, data} on the page
let turn = 0;

/** The visible part of the scene. */
function windowOf() {
  // The drawing may be higher than its current content.
  const room = Math.max(240, Math.round(innerHeight * 0.78));
  return {
    left: drawing.scrollLeft, top: drawing.scrollTop, available: drawing.clientWidth, room,
  };
}

/** Redraws after a change of state; only the last of several changes is drawn. */
async function draw() {
  const mine = ++turn;
  const { view, part, layer } = state;
  const bytes = await layerOf(part, layer);
  if (mine !== turn) return;
  const show = () => {
    if (mine !== turn) return false;
    drawn = { view, data: dataOf(bytes) };
    view.surface === "svg" ? showSvg() : showCanvas();
    afterDrawing();
    return true;
  };
  if (view === grid) show();
  await view.load?.(dataOf(bytes), drawing.clientWidth, show);
  if (show()) performance.mark(`drawn ${view.name}`);
}

function showSvg() {
  const { view, data } = drawn;
  const { available, room } = windowOf();
  const { width, height } = view.size(data, available, room);
  const svg = svgElement("svg", { width, height });
  const groups = [STILL, MOVING].map((name) => svgElement("g", { class: name }));
  addShapes(groups[0], view.still(data, available));
  groups[1].setAttribute("pointer-events", "none");
  addShapes(groups[1], view.moving(data, available));
  svg.append(...groups);
  drawing.replaceChildren(svg);
}

function showCanvas() {
  const { view, data } = drawn;
  const { available, room } = windowOf();
  const { width, height } = view.size(data, available, room);
  let canvas = drawing.querySelector("canvas");
  if (!canvas) {
    const whole = document.createElement("div");
    canvas = document.createElement("canvas");
    whole.append(canvas);
    drawing.replaceChildren(whole);
  }
  Object.assign(canvas.parentElement.style, { width: `${width}px`, height: `${height}px` });
  repaint();
}

/** Draws the parts that move with the pointer or the window; the rest is unchanged. */
function repaint() {
  const { view, data } = drawn;
  const window = windowOf();
  if (view.surface === "svg") {
    const group = drawing.querySelector(`.${MOVING}`);
    group.replaceChildren();
    addShapes(group, view.moving(data, window.available));
  } else {
    const size = view.size(data, window.available, window.room);
    const width = Math.min(size.width, drawing.clientWidth);
    const height = Math.min(size.height, drawing.clientHeight);
    const canvas = drawing.querySelector("canvas");
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const seen = { ...window, width, height };
    paint(canvas, view.scene(data, seen), seen, devicePixelRatio);
  }
}

/** The text next to the drawing. */
function afterDrawing() {
  const { view, data } = drawn;
  readout.textContent = view.sentence(data);
  const where = view === grid ? "all layers" : `layer ${state.layer}, ${namesOfHeads(data)}`;
  showScale(data, windowOf());
  drawing.setAttribute("aria-label", `${view.name} of ${data.part.name}: ${where}`);
}

/** Scrolls only as far as needed to show a query's row. */
function reveal(query) {
  const extent = drawn.view.extent?.(drawn.data, query, windowOf());
  if (!extent) return;
  const [start, end] = extent;
  drawing.scrollTop = Math.max(Math.min(drawing.scrollTop, start), end - drawing.clientHeight);
}

let isAsked = false;

/** Repaints once at the next frame, for any number of requests. */
function askRepaint() {
  if (isAsked || !drawn) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    repaint();
    afterDrawing();
  });
}

/** The item under the pointer: {token} or {cell} or both, or nothing. */
function under(event) {
  if (!drawn) return {};
  // Scrolling moves the drawing, and its box with it.
  const box = drawing.firstElementChild.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  return drawn.view.hit(drawn.data, windowOf(), x, y, event.target) || {};
}

function point({ token = null, cell = null }) {
  const next = state.held ? { cell } : { token: token ?? restingToken(), cell };
  const isSame = JSON.stringify(next) ===
    JSON.stringify(state.held ? { cell: state.cell } : { token: state.token, cell: state.cell });
  if (isSame) return;
  Object.assign(state, next);
  askRepaint();
}

drawing.addEventListener("pointermove", (event) => point(under(event)));
drawing.addEventListener("pointerleave", () => point({}));
drawing.addEventListener("scroll", () => drawn?.view.surface === "canvas" && askRepaint());
drawing.addEventListener("click", (event) => {
  const found = under(event);
  if (found.cell && drawn.view.open) return change(drawn.view.open(found.cell));
  if (!found.token) return change({ token: restingToken(), held: false });
  const isHeld = state.held && JSON.stringify(state.token) === JSON.stringify(found.token);
  change({ token: found.token, held: !isHeld });
});
new ResizeObserver(() => drawn && draw()).observe(document.body);
