// Buttons, sliders and keys, which all change the state and show it.

const byId = (id) => document.getElementById(id);
// Of readings; more have a slider.
const MOST_BUTTONS = 6;

/** Changes the state, keeps it valid, and shows it. */
function change(changes) {
  const before = pointedPart();
  Object.assign(state, { cell: null }, changes);
  state.part = partOf(state.reading);
  if (state.beside === null) state.pointed = 0;
  if (!hasSameTokens(before, pointedPart())) Object.assign(state, { token: null, held: false });
  const { part } = state;
  state.layer = Math.max(0, Math.min(state.layer, part.layers - 1));
  state.heads = headsOf(part);
  state.rolled &&= part.rollout;
  if (!state.view.isFor(part)) state.view = lines;
  if (changes.view && !state.held) state.token = restingToken();
  showControls();
  draw();
}

function fill(id, choices) {
  const buttons = choices.map(({ text, label = text, isOn, changes, colors }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(text, ...(colors ? [colors] : []));
    button.setAttribute("aria-label", label);
    button.setAttribute("aria-pressed", isOn);
    button.addEventListener("click", () => change(changes()));
    return button;
  });
  const box = byId(id);
  // The pressed button is created again; keep the keyboard focus on it.
  const focused = [...box.children].indexOf(document.activeElement);
  box.replaceChildren(...buttons);
  buttons[focused]?.focus();
}

function showControls() {
  const { part, view, layer, heads, rolled } = state;
  const views = VIEWS.filter((each) => each.isFor(part));
  fill("views", views.map((each) => ({
    text: each.name, isOn: each === view, changes: () => ({ view: each }),
  })));
  fill("parts", readings[state.reading].parts.map((each) => ({
    text: each.name, isOn: each === part, changes: () => ({ part: each }),
  })));
  byId("part-choice").hidden = readings[state.reading].parts.length === 1;
  fill("layers", numbers(part.layers).map((number) => ({
    text: `${number}`, label: `layer ${number}`, isOn: number === layer,
    changes: () => ({ layer: number }),
  })));
  fill("heads", numbers(part.heads).map((head) => ({
    text: `${head}`, label: `head ${head}`, isOn: !rolled && heads.includes(head),
    changes: () => ({ rolled: false, heads: toggled(head) }), colors: swatch(head),
  })));
  byId("rollout").hidden = !part.rollout;
  byId("rollout").setAttribute("aria-pressed", rolled);
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  const isCells = CELLS.includes(view);
  byId("part-choice").hidden ||= isCells;
  for (const id of ["layer-choice", "head-choice", "weight-choice", "legend", "help"]) {
    byId(id).hidden = isCells;
  }
  byId("choices").hidden = isCells && readings.length === 1;
  byId("zoom-choice").hidden = view !== matrix;
  byId("kept-choice").hidden = view !== lines || keysOf(part).length === 1;
  const [kept, last] = [keptKeys(part), placeOfAll(part)];
  byId("kept").max = last;
  byId("kept").value = Math.min(kept, last);
  byId("kept-text").textContent = kept < last ? `${kept}` : "all";
  byId("opacity-choice").hidden = view !== picture;
  byId("opacity").value = Math.round(100 * state.opacity);
  byId("opacity-text").textContent = `${byId("opacity").value} %`;
  byId("time-choice").hidden = view !== picture || header.picture.frames === 1;
  byId("time-text").textContent = `frame ${state.time}`;
  showReadings();
  showLegend();
}

/** A button for each of few readings, a slider for many, and the choice of one beside. */
function showReadings() {
  const { reading, beside } = state;
  const isMany = readings.length > MOST_BUTTONS;
  byId("reading-choice").hidden = readings.length === 1;
  fill("readings", isMany ? [] : readings.map(({ name }, number) => ({
    text: name, isOn: number === reading, changes: () => ({ reading: number }),
  })));
  byId("reading-slider").hidden = !isMany;
  byId("reading").value = reading;
  byId("reading-text").textContent = readings[reading].name;
  byId("beside").value = beside ?? "";
}

/** The chosen heads with one head added or removed, but at least one. */
function toggled(head) {
  if (state.rolled) return [head];
  const others = state.heads.filter((each) => each !== head);
  if (others.length === state.heads.length) return [...others, head].sort((a, b) => a - b);
  return others.length ? others : state.heads;
}

/** The style of a head's lines if several heads are drawn. */
function swatch(head) {
  if (state.view !== lines || state.rolled || state.heads.length === 1) return null;
  const svg = svgElement("svg", { viewBox: "0 0 22 6", "aria-hidden": "true" });
  addShapes(svg, [{
    kind: "curve", x1: 1, x2: 21, y1: 3, y2: 3, width: 3, opacity: 1,
    stroke: headColor(head), dashes: headDashes(head),
  }]);
  return svg;
}

/** The colors and their weights. */
function showLegend() {
  const isOne = state.rolled || state.heads.length === 1;
  const pen = byId("scale").getContext("2d");
  const table = rampTable(state.view === picture ? DARK : root.dataset.theme);
  for (let x = 0; x < 160; x++) {
    const share = Math.round((255 * x) / 159);
    const scaled = `rgb(${table.subarray(3 * share, 3 * share + 3).join(" ")})`;
    pen.clearRect(x, 0, 1, 10);
    pen.globalAlpha = state.view === lines ? x / 159 : 1;
    pen.fillStyle = state.view === lines ? color(isOne ? "accent" : "ink") : scaled;
    pen.fillRect(x, 0, 1, 10);
  }
}

/** The properties of a drawing: the end of the scale, and the size of cells. */
function showScale(data, { available, room }) {
  const top = state.toOne ? "1" : state.view === grid
    ? "each head's own largest weight" : state.beside !== null
    ? "each side's own largest weight" : `${shown(state.view.most(data))}, the largest here`;
  byId("scale-text").textContent = `0 to ${top}${state.faint ? ", by square roots" : ""}`;
  if (state.view === matrix) byId("zoom").value = matrix.layout(data, available, room).cell;
}

function moveToken(by) {
  const count = queriesOf(state.part).length;
  const isQuery = state.token?.side === "query";
  const next = isQuery ? state.token.index + by : by > 0 ? 0 : count - 1;
  const index = Math.max(0, Math.min(count - 1, next));
  change({ token: { side: "query", index }, held: true, pointed: 0 });
  for (const pane of panes) pane.reveal(index);
}

function moveHead(by) {
  const { part, heads, rolled } = state;
  const from = by > 0 ? Math.max(...heads) : Math.min(...heads);
  const head = rolled ? heads[0] : (from + by + part.heads) % part.heads;
  change({ rolled: false, heads: [head] });
}

const KEYS = {
  ArrowLeft: () => moveHead(-1),
  ArrowRight: () => moveHead(1),
  ArrowUp: () => change({ layer: state.layer - 1 }),
  ArrowDown: () => change({ layer: state.layer + 1 }),
  Escape: () => change({ token: null, held: false, resting: null }),
  "Shift ArrowUp": () => moveToken(-1),
  "Shift ArrowDown": () => moveToken(1),
};

document.addEventListener("keydown", (event) => {
  // Arrow keys on a slider move the slider.
  if (event.target.type === "range" || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = KEYS[`${event.shiftKey ? "Shift " : ""}${event.key}`];
  if (!act) return;
  event.preventDefault();
  act();
});

byId("choices").addEventListener("submit", (event) => event.preventDefault());
byId("all-heads").addEventListener("click", () =>
  change({ rolled: false, heads: numbers(state.part.heads) }));
byId("rollout").addEventListener("click", () => change({ rolled: !state.rolled }));
byId("faint").addEventListener("change", (event) => change({ faint: event.target.checked }));
byId("to-one").addEventListener("change", (event) => change({ toOne: event.target.checked }));
byId("kept").addEventListener("input", ({ target }) =>
  change({ kept: +target.value < +target.max ? +target.value : Infinity }));
byId("opacity").addEventListener("input", ({ target }) => change({ opacity: target.value / 100 }));
byId("zoom").addEventListener("input", (event) => change({ zoom: +event.target.value }));
byId("time").addEventListener("input", (event) => change({ time: +event.target.value }));
byId("theme").addEventListener("click", () => {
  changeTheme();
  change({});
});
for (const [id, save] of [["save-svg", saveSvg], ["save-png", savePng]]) {
  byId(id).addEventListener("click", () => save(wholeOf(panes), fileName()));
}
byId("reading").addEventListener("input", ({ target }) => change({ reading: +target.value }));
byId("beside").addEventListener("change", ({ target }) =>
  change({ beside: target.value === "" ? null : +target.value }));

byId("precision").textContent = header.precision;
byId("time").max = (header.picture?.frames ?? 1) - 1;
byId("by").textContent = header.by;
byId("readings").setAttribute("aria-label", header.by);
byId("reading").max = readings.length - 1;
byId("beside").append(...["none", ...readings.map(({ name }) => name)].map((name, place) => {
  const option = document.createElement("option");
  Object.assign(option, { value: place ? place - 1 : "", textContent: name });
  return option;
}));
// Two readings are there to be compared.
state.beside = readings.length === 2 ? 1 : null;
change({ view: CELLS[0] ?? (header.picture ? picture : lines) });
