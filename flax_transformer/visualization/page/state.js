// The state of the page: the only data that change, and values derived from them.

const state = {
  reading: 0, // number of the reading
  beside: null, // number of the reading beside it
  pointed: 0, // number of the pane in which the token is chosen
  part: readings[0].parts[0],
  view: null, // one of VIEWS
  layer: 0,
  heads: [0],
  rolled: false, // rollout instead of heads
  token: null, // {side: "query" or "key", index}
  cell: null, // what is under the pointer besides a token, with the number of its pane
  held: false, // the token stays chosen when the pointer leaves
  faint: false,
  toOne: false,
  zoom: null, // cell size of the matrix, in pixels; null: the best fit
  time: 0, // frame of a video
  opacity: 0.75, // of attention over a picture
  resting: startOf(header.picture), // the token of a picture while none is pointed at
  kept: null, // number of the strongest keys of a query with lines; null: the default
};

/** The class token of a picture, if the page starts with it. */
function startOf(described) {
  const index = described?.start ?? null;
  return index === null ? null : { side: "query", index };
}

/** What is chosen while nothing is pointed at. */
function restingToken() {
  return state.view === picture && state.part === readings[state.reading].parts[0] ? state.resting : null;
}

/** The chosen part in a reading; its first part if it has none of that name. */
function partOf(number) {
  const { parts } = readings[number];
  return parts.find((part) => part.name === state.part.name) ?? parts[0];
}

const layerIn = (part) => Math.min(state.layer, part.layers - 1);

/** The chosen heads that a part has. */
function headsOf(part) {
  const heads = state.heads.filter((head) => head < part.heads);
  return heads.length ? heads : [0];
}

/** The heads whose weights are drawn; rollout comes after the last head. */
function drawnHeads(part) {
  return state.rolled && part.rollout ? [part.heads] : headsOf(part);
}

/** All data of a pane for a view, once the layer's bytes are available. */
function dataOf(pane, bytes) {
  const part = partOf(pane.reading());
  const [layer, heads] = [layerIn(part), drawnHeads(part)];
  const [queries, keys] = [queriesOf(part), keysOf(part)];
  const key = `${part.number} ${part.name} ${layer} ${heads}`;
  if (pane.mean?.key !== key) {
    const values = meanOf(bytes, heads, queries.length * keys.length);
    pane.mean = { key, values, most: largest(values) };
  }
  const { values: mean, most } = pane.mean;
  return { bytes, part, layer, heads, queries, keys, mean, most: most || 1, ...pointedIn(pane) };
}

/** The part whose token is chosen. */
function pointedPart() {
  return partOf(state.pointed ? state.beside : state.reading);
}

function hasSameTokens(one, other) {
  return [queriesOf, keysOf].every((of) => JSON.stringify(of(one)) === JSON.stringify(of(other)));
}

/** The chosen token and cell, where the pane has them. */
function pointedIn(pane) {
  const isSame = hasSameTokens(partOf(pane.reading()), pointedPart());
  return {
    token: isSame ? state.token : null,
    cell: state.cell?.pane === pane.number ? state.cell : null,
  };
}

/** The mean weights from a query to all keys, or of a key from all queries. */
function weightsOf(data, { side, index }) {
  const count = data.keys.length;
  if (side === "query") return data.mean.subarray(index * count, (index + 1) * count);
  return Float32Array.from(data.queries, (_, query) => data.mean[query * count + index]);
}

function shown(weight) {
  return weight.toFixed(3);
}

function named(tokens, index) {
  return `“${tokens[index]}” (${index})`;
}

/** In words: what a token attends to, or what attends to it. */
function sentenceOf(data, token) {
  const isQuery = token.side === "query";
  const [own, others] = isQuery ? [data.queries, data.keys] : [data.keys, data.queries];
  const weights = weightsOf(data, token);
  const strongest = Array.from(weights.keys())
    .sort((a, b) => weights[b] - weights[a])
    .slice(0, 6)
    .filter((i) => weights[i] > 0)
    .map((i) => `${named(others, i)} ${shown(weights[i])}`);
  const relation = isQuery ? "looks at" : "is looked at by";
  return `${named(own, token.index)} ${relation} ${strongest.join(", ") || "nothing"}`;
}

function namesOfHeads(data) {
  if (data.heads[0] === data.part.heads) return "rollout up to this layer";
  if (data.heads.length === 1) return `head ${data.heads[0]}`;
  return `mean of heads ${data.heads.join(", ")}`;
}
