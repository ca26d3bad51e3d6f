// Attention of the tokens that a model wrote or read: rows of tokens, and a matrix.

const byId = (id) => document.getElementById(id);
const SIGNS = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽" };
const MEAN = "mean";
const CELL = 24;
const LABEL_SIZE = 13;
const STRONGEST = 4;

/** The text of a token with blanks that can be seen. */
const visible = (token) => [...token].map((letter) => SIGNS[letter] ?? letter).join("") || "∅";

// What is shown: for each query its weights [layers, heads, keys] of all keys so far.
const looks = { keys: [], queries: [], chosen: -1, show: showLooks };

/** The weights of a query to all keys in the chosen layer and head, or in the mean of heads. */
function weightsOf({ weights, layers, heads }) {
  const length = weights.length / (layers * heads);
  const layer = Math.min(Number(byId("layer").value), layers - 1);
  const head = byId("head").value;
  const some = head === MEAN ? Array.from({ length: heads }, (_, i) => i) : [Number(head)];
  const sum = new Float32Array(length);
  for (const one of some) {
    const start = (layer * heads + one) * length;
    for (let i = 0; i < length; i++) sum[i] += weights[start + i] / some.length;
  }
  return sum;
}

/** The weights [layers, heads, keys] of one query in an array [layers, 1, heads, queries, keys]. */
function ofQuery({ shape, data }, query, number) {
  const [layers, , heads, queries, keys] = shape;
  const weights = new Float32Array(layers * heads * number);
  for (let row = 0; row < layers * heads; row++) {
    const start = (row * queries + query) * keys;
    weights.set(data.subarray(start, start + number), row * number);
  }
  return { weights, layers, heads };
}

function fillChoices({ layers, heads }) {
  if (byId("layer").length === layers && byId("head").length === heads + 1) return;
  const option = (value, text) => Object.assign(document.createElement("option"), { value, text });
  byId("layer").replaceChildren(...numbers(layers).map((i) => option(i, i)));
  byId("layer").value = layers - 1;
  byId("head").replaceChildren(option(MEAN, "mean of all"), ...numbers(heads).map((i) => option(i, i)));
}

const numbers = (count) => Array.from({ length: count }, (_, i) => i);

/** Paints a token by its share of the largest weight. */
function shade(element, share) {
  const [red, green, blue] = rampAt(share, RAMPS[root.dataset.theme]).map(Math.round);
  const isLight = 0.3 * red + 0.59 * green + 0.11 * blue > 140;
  element.style.backgroundColor = `rgb(${red} ${green} ${blue})`;
  element.style.color = isLight ? "#000000" : "#ffffff";
}

function tokenElement(kind, token) {
  const element = document.createElement(kind);
  element.textContent = visible(token ?? "");
  if (kind === "button") element.type = "button";
  return element;
}

/** Shows new keys and no queries. */
function startLooking(keys, names) {
  Object.assign(looks, { keys: [...keys], queries: [], chosen: -1, isFollowing: true });
  byId("keys-name").textContent = names.keys;
  byId("queries-name").textContent = names.queries;
  byId("hint").textContent = names.hint ?? "";
  byId("readout").textContent = "";
  byId("keys").replaceChildren(...keys.map((key) => tokenElement("span", key)));
  byId("queries").replaceChildren();
  for (const id of ["queries-name", "queries"]) byId(id).hidden = !names.queries;
  byId("matrix").hidden = !names.hasMatrix;
  byId("looks").hidden = false;
}

function addKey(key) {
  looks.keys.push(key);
  byId("keys").append(tokenElement("span", key));
}

/** Adds a query with its weights, and shows it unless another one was chosen, or it is a mark. */
function addQuery(token, found, isMark = false) {
  fillChoices(found);
  looks.queries.push({ token, ...found });
  const element = tokenElement("button", token);
  const place = looks.queries.length - 1;
  for (const event of ["click", "focus"]) element.addEventListener(event, () => chooseQuery(place));
  byId("queries").append(element);
  if (looks.isFollowing && !(isMark && place > 0)) looks.chosen = place;
  askToLook();
}

function chooseQuery(place) {
  Object.assign(looks, { chosen: place, isFollowing: false });
  askToLook();
}

let isLookAsked = false;

/** Shows the looks once at the next frame, for any number of requests. */
function askToLook() {
  if (isLookAsked) return;
  isLookAsked = true;
  requestAnimationFrame(() => {
    isLookAsked = false;
    looks.show();
  });
}

byId("queries").addEventListener("keydown", ({ key, target }) => {
  if (key === "ArrowRight") target.nextElementSibling?.focus();
  if (key === "ArrowLeft") target.previousElementSibling?.focus();
});

function showLooks() {
  const query = looks.queries[looks.chosen];
  if (!query) return;
  const weights = weightsOf(query);
  const most = largest(weights) || 1;
  Array.from(byId("keys").children).forEach((element, i) => shade(element, (weights[i] ?? 0) / most));
  Array.from(byId("queries").children).forEach((element, i) =>
    element.setAttribute("aria-pressed", i === looks.chosen));
  byId("readout").textContent = sentenceOf(query.token, weights);
  if (!byId("matrix").hidden) paintMatrix();
}

const largest = (values) => values.reduce((x, y) => Math.max(x, y), 0);

/** In words: the keys with the largest weights. */
function sentenceOf(token, weights) {
  const order = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a]);
  const strongest = order.slice(0, STRONGEST).filter((i) => weights[i] >= 0.005)
    .map((i) => `“${visible(looks.keys[i])}” ${weights[i].toFixed(2)}`);
  const who = token === null ? "The model" : `“${visible(token)}”`;
  return `${who} looks at ${strongest.join(", ")}`;
}

/** Paints the weights of all queries, one row each. */
function paintMatrix() {
  const { keys, queries } = looks;
  const left = labelWidth(queries.map(({ token }) => visible(token)), LABEL_SIZE, 110) + 10;
  const top = labelWidth(keys.map(visible), LABEL_SIZE, 110) + 10;
  const rows = queries.map((query) => weightsOf(query));
  const text = { kind: "text", size: LABEL_SIZE, fill: color("ink") };
  const most = Math.max(...rows.map(largest)) || 1;
  const shares = rows.flatMap((row) => keys.map((_, i) => (row[i] ?? 0) / most));
  const shapes = [
    ...keys.map((key, i) => ({
      ...text, x: left + (i + 0.5) * CELL, y: top - 6, turned: true,
      text: fitted(visible(key), LABEL_SIZE, top - 10),
    })),
    ...queries.map(({ token }, i) => ({
      ...text, x: left - 6, y: top + (i + 0.5) * CELL, anchor: "end",
      text: fitted(visible(token), LABEL_SIZE, left - 10),
    })),
    {
      kind: "pixels", x: left, y: top, width: keys.length * CELL, height: queries.length * CELL,
      rows: queries.length, columns: keys.length, pixels: pixelsOf(shares, rampTable()),
    },
    {
      kind: "rect", x: left + 0.5, y: top + looks.chosen * CELL + 0.5, fill: "none",
      width: keys.length * CELL - 1, height: CELL - 1, stroke: color("accent"),
    },
  ];
  const size = { width: left + keys.length * CELL + 2, height: top + queries.length * CELL + 2 };
  const canvas = byId("weights-picture");
  Object.assign(canvas.style, { width: `${size.width}px`, height: `${size.height}px` });
  paint(canvas, shapes, size, devicePixelRatio);
  canvas.setAttribute("aria-label", `Weights of ${queries.length} tokens to ${keys.length} tokens`);
}

for (const id of ["layer", "head"]) byId(id).addEventListener("change", askToLook);
