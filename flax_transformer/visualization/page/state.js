// The state of the page: the only data that change, and values derived from them.

const state = {
  part: header.parts[0],
  view: null, // one of VIEWS
  layer: 0,
  heads: [0],
  rolled: false, // rollout instead of heads
  token: null, // {side: "query" or "key", index}
  cell: null, // {query, key} under the pointer
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
  return state.view === picture && state.part === header.parts[0] ? state.resting : null;
}

let mean = { key: "" };

/** All data for a view, once the layer's bytes are available. */
function dataOf(bytes) {
  const { part, layer } = state;
  const queries = queriesOf(part);
  const keys = keysOf(part);
  const heads = state.rolled ? [part.heads] : state.heads;
  const key = `${part.name} ${layer} ${heads}`;
  if (mean.key !== key) {
    const values = meanOf(bytes, heads, queries.length * keys.length);
    mean = { key, values, most: largest(values) };
  }
  return { bytes, heads, queries, keys, part, mean: mean.values, most: mean.most || 1 };
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
  if (state.rolled) return "rollout up to this layer";
  if (data.heads.length === 1) return `head ${data.heads[0]}`;
  return `mean of heads ${data.heads.join(", ")}`;
}
