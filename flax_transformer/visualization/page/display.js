// Shows the scene of the current view in one or two panes, and follows the pointer over them.

const VIEWS = [...CELLS, lines, grid, matrix, picture];
const readout = document.getElementById("readout");
const STILL = "still";
const MOVING = "moving";

/** A drawing of one reading. */
class Pane {
  constructor(number, reading) {
    this.number = number;
    this.reading = reading; // returns the number of the reading; null: the pane is hidden
    this.drawing = document.getElementById(number ? "beside-drawing" : "drawing");
    this.figure = this.drawing.parentElement;
    this.drawn = null; // {view, data} on the page
    this.turn = 0;
    this.drawing.addEventListener("pointermove", (event) => point(this, this.under(event)));
    this.drawing.addEventListener("pointerleave", () => point(this, {}));
    this.drawing.addEventListener("scroll", () =>
      this.drawn?.view.surface === "canvas" && askRepaint());
    this.drawing.addEventListener("click", (event) => choose(this, this.under(event)));
  }

  /** The visible part of the scene. */
  window() {
    // The drawing may be higher than its current content.
    const room = Math.max(240, Math.round(innerHeight * 0.78));
    const { scrollLeft: left, scrollTop: top, clientWidth: available } = this.drawing;
    return { left, top, available, room };
  }

  /** Redraws after a change of state; only the last of several changes is drawn. */
  async draw() {
    const mine = ++this.turn;
    const { view } = state;
    this.figure.hidden = this.reading() === null;
    if (this.figure.hidden) return;
    const part = partOf(this.reading());
    const bytes = await layerOf(part, layerIn(part));
    if (mine !== this.turn) return;
    const show = () => {
      if (mine !== this.turn) return false;
      this.drawn = { view, data: dataOf(this, bytes) };
      this.describe();
      view.surface === "svg" ? this.showSvg() : this.showCanvas();
      afterDrawing(this);
      return true;
    };
    if (view === grid) show();
    await view.load?.(dataOf(this, bytes), this.drawing.clientWidth, show);
    if (show()) performance.mark(`drawn ${view.name}`);
  }

  /** The name of the reading above, and its notes below. */
  describe() {
    const { name, title, notes } = readings[this.reading()];
    const [caption, below] = [this.figure.firstElementChild, this.figure.lastElementChild];
    // A single reading has the page's heading above it.
    const isKnown = readings.length === 1 && title === header.title;
    const words = readings.length === 1 ? [title] : [name, title];
    caption.textContent = isKnown ? "" : words.filter(Boolean).join(": ");
    caption.hidden = !caption.textContent;
    below.textContent = notes.join("\n");
    below.hidden = !notes.length;
  }

  showSvg() {
    const { view, data } = this.drawn;
    const { available, room } = this.window();
    const { width, height } = view.size(data, available, room);
    const svg = svgElement("svg", { width, height });
    const groups = [STILL, MOVING].map((name) => svgElement("g", { class: name }));
    addShapes(groups[0], view.still(data, available));
    groups[1].setAttribute("pointer-events", "none");
    addShapes(groups[1], view.moving(data, available));
    svg.append(...groups);
    this.drawing.replaceChildren(svg);
  }

  showCanvas() {
    const { view, data } = this.drawn;
    const { available, room } = this.window();
    const { width, height } = view.size(data, available, room);
    let canvas = this.drawing.querySelector("canvas");
    if (!canvas) {
      const whole = document.createElement("div");
      canvas = document.createElement("canvas");
      whole.append(canvas);
      this.drawing.replaceChildren(whole);
    }
    Object.assign(canvas.parentElement.style, { width: `${width}px`, height: `${height}px` });
    this.paint();
  }

  /** Draws the parts that move with the pointer or the window; the rest is unchanged. */
  repaint() {
    if (!this.drawn || this.figure.hidden) return;
    Object.assign(this.drawn.data, pointedIn(this));
    if (this.drawn.view.surface === "svg") {
      const { view, data } = this.drawn;
      const group = this.drawing.querySelector(`.${MOVING}`);
      group.replaceChildren();
      addShapes(group, view.moving(data, this.window().available));
    } else this.paint();
    afterDrawing(this);
  }

  paint() {
    const { view, data } = this.drawn;
    const window = this.window();
    const size = view.size(data, window.available, window.room);
    const width = Math.min(size.width, this.drawing.clientWidth);
    const height = Math.min(size.height, this.drawing.clientHeight);
    const canvas = this.drawing.querySelector("canvas");
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const seen = { ...window, width, height };
    paint(canvas, view.scene(data, seen), seen, devicePixelRatio);
  }

  /** Scrolls only as far as needed to show a query's row. */
  reveal(query) {
    const extent = this.drawn?.view.extent?.(this.drawn.data, query, this.window());
    if (!extent) return;
    const [start, end] = extent;
    const { scrollTop, clientHeight } = this.drawing;
    this.drawing.scrollTop = Math.max(Math.min(scrollTop, start), end - clientHeight);
  }

  /** The item under the pointer: {token} or {cell} or both, or nothing. */
  under(event) {
    if (!this.drawn) return {};
    // Scrolling moves the drawing, and its box with it.
    const box = this.drawing.firstElementChild.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const { view, data } = this.drawn;
    return view.hit(data, this.window(), x, y, event.target) || {};
  }
}

const panes = [new Pane(0, () => state.reading), new Pane(1, () => state.beside)];

function draw() {
  for (const pane of panes) pane.draw();
}

/** The text below the drawings, and what screen readers say of a drawing. */
function afterDrawing(pane) {
  const { view, data } = pane.drawn;
  if (pane.number === (state.cell?.pane ?? state.pointed)) readout.textContent = view.sentence(data);
  if (pane.number === 0 && !CELLS.includes(view)) showScale(data, pane.window());
  const isWhole = view === grid || CELLS.includes(view);
  const where = isWhole ? "all layers" : `layer ${data.layer}, ${namesOfHeads(data)}`;
  pane.drawing.setAttribute("aria-label", `${view.name} of ${data.part.name}: ${where}`);
}

let isAsked = false;

/** Repaints once at the next frame, for any number of requests. */
function askRepaint() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    for (const pane of panes) pane.repaint();
  });
}

function point(pane, { token = null, cell = null }) {
  // The pointer also leaves a pane that is hidden under it.
  if (pane.reading() === null) return;
  const next = { cell: cell && { ...cell, pane: pane.number } };
  // A held token stays where it was chosen.
  if (!state.held) Object.assign(next, { token: token ?? restingToken(), pointed: pane.number });
  const isSame = Object.keys(next).every((key) =>
    JSON.stringify(next[key]) === JSON.stringify(state[key]));
  if (isSame) return;
  Object.assign(state, next);
  askRepaint();
}

function choose(pane, found) {
  if (found.cell && pane.drawn.view.open) {
    return change(pane.drawn.view.open(pane.drawn.data, { ...found.cell, pane: pane.number }));
  }
  if (!found.token) return change({ token: restingToken(), held: false });
  const isHeld = state.held && state.pointed === pane.number &&
    JSON.stringify(state.token) === JSON.stringify(found.token);
  change({ token: found.token, held: !isHeld, pointed: pane.number });
}

new ResizeObserver(() => panes[0].drawn && draw()).observe(document.body);
