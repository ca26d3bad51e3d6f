// Lines from each query on the left to the keys that it attends to on the right.

// More lines are not readable, and slow the page down.
const MOST_LINES = 4200;
const MOST_LINES_OF_A_TOKEN = 900;
const TITLE = 30;
// With more tokens than this, only the strongest keys of each query have lines by default.
const MOST_TOKENS_WITH_ALL_LINES = 60;
const KEPT_OF_LONG = 3;
const MOST_KEPT = 20;

const lines = {
  name: "Lines",
  surface: "svg",
  isFor: () => true,
  most: (data) => (state.toOne ? 1 : mostOfHeads(data)),

  size(data, width) {
    const at = this.layout(data, width);
    return { width: at.width, height: at.top + at.row * Math.max(at.rows, 1) + 6 };
  },

  layout(data, available) {
    const rows = Math.max(data.queries.length, data.keys.length);
    const row = rows > 80 ? 17 : 24;
    const size = rows > 80 ? 12 : 13;
    const isNarrow = available < 600;
    const count = data.heads.length;
    const strip = isNarrow ? Math.max(24, 3 * count) : Math.max(56, 5 * count);
    const label = labelWidth([...data.queries, ...data.keys], size, isNarrow ? 90 : 170) + 12;
    const side = label + strip + (isNarrow ? 36 : 44);
    const gap = Math.max(60, Math.min(560, available - 2 * side));
    return { rows, row, size, strip, label, side, gap, top: TITLE, width: 2 * side + gap };
  },

  /** The beginning and the end of a query's row. */
  extent(data, index, { available }) {
    const at = this.layout(data, available);
    return [at.top + at.row * index, at.top + at.row * (index + 1)];
  },

  scene(data, window) {
    return [...this.still(data, window.available), ...this.moving(data, window.available)];
  },

  /** The tokens. */
  still(data, available) {
    const at = this.layout(data, available);
    const title = { kind: "text", y: 12, size: 12, fill: color("soft") };
    const { name, queries, keys } = data.part;
    const isAlone = name === "attention";
    const [left, right] = isAlone ? ["looks", "at"] : [`${queries} looks`, `at ${keys}`];
    return [
      { ...title, x: at.side - 6, text: left, anchor: "end" },
      { ...title, x: at.side + at.gap + 6, text: right },
      ...data.queries.flatMap((token, i) => this.token(at, token, "query", i)),
      ...data.keys.flatMap((token, i) => this.token(at, token, "key", i)),
    ];
  },

  token(at, token, side, index) {
    const isQuery = side === "query";
    const { x, y, ...box } = this.box(at, side, index);
    return [
      { kind: "rect", x, y, ...box, fill: color("panel"), data: { side, index } },
      {
        kind: "text", x: isQuery ? at.side - 6 : x + 6, y: y + box.height / 2, size: at.size,
        text: fitted(token, at.size, at.label - 12), fill: color("ink"),
        anchor: isQuery ? "end" : "start",
      },
    ];
  },

  box: (at, side, index) => ({
    x: side === "query" ? at.side - at.label : at.side + at.gap,
    y: at.top + at.row * index + 1,
    width: at.label,
    height: at.row - 2,
  }),

  /** The lines; next to tokens of the other side, each head's weights of the chosen token. */
  moving(data, available) {
    const at = this.layout(data, available);
    const tone = toneOf(this.most(data), state.faint);
    const one = data.token !== null;
    const found = strongest(data, data.token, one ? MOST_LINES_OF_A_TOKEN : MOST_LINES);
    // Lines of several heads between the same tokens are side by side.
    const offset = (head) => (data.heads.indexOf(head) + 0.5) / data.heads.length - 0.5;
    const place = (index, head) => at.top + at.row * (index + 0.5) + offset(head) * (at.row - 8);
    const curves = found.map(({ head, query, key, byte }) => ({
      kind: "curve",
      x1: at.side, y1: place(query, head), x2: at.side + at.gap, y2: place(key, head),
      stroke: lineColor(data, head), dashes: data.heads.length > 1 ? headDashes(head) : "",
      width: (one ? 1 : 0.6) + 2.2 * tone(weightOf[byte]),
      opacity: 0.04 + 0.9 * tone(weightOf[byte]),
    }));
    if (!one) return curves;
    const box = this.box(at, data.token.side, data.token.index);
    const frame = { kind: "rect", ...box, fill: "none", stroke: color("accent") };
    return [...curves, frame, ...this.strip(data, at, tone)];
  },

  strip(data, at, tone) {
    const { side, index } = data.token;
    const isQuery = side === "query";
    const x = isQuery ? at.side + at.gap + at.label + 4 : at.side - at.label - at.strip - 4;
    const width = at.strip / data.heads.length;
    const keys = data.keys.length;
    const size = data.queries.length * keys;
    return Array.from(weightsOf(data, data.token)).flatMap((weight, other) => {
      const place = isQuery ? index * keys + other : other * keys + index;
      const y = at.top + at.row * other;
      const byteOf = (head) => data.bytes[head * size + place];
      const bars = data.heads.map((head, i) => ({ head, i, byte: byteOf(head) }));
      const rects = bars.filter(({ byte }) => byte > 0).map(({ head, i, byte }) => ({
        kind: "rect", x: x + i * width, y: y + 3, width, height: at.row - 6,
        fill: lineColor(data, head), opacity: tone(weightOf[byte]),
      }));
      if (tone(weight) < 0.04) return rects;
      const text = {
        kind: "text", text: weight.toFixed(2), size: 11, y: y + at.row / 2, fill: color("soft"),
        x: isQuery ? x + at.strip + 6 : x - 6, anchor: isQuery ? "start" : "end",
      };
      return [...rects, text];
    });
  },

  hit: (data, window, x, y, target) =>
    target.dataset.side && { token: { side: target.dataset.side, index: +target.dataset.index } },

  sentence(data) {
    if (data.token) return sentenceOf(data, data.token);
    const found = strongest(data, null, MOST_LINES);
    const all = data.heads.length * data.queries.length * data.keys.length;
    const least = found.length ? shown(weightOf[found[0].byte]) : "0";
    const drawn = `${found.length} of ${all} weights are drawn as lines, from ${least} up`;
    const kept = keptKeys(data.part);
    if (kept >= data.keys.length) return `${drawn}.`;
    const keys = kept === 1 ? "the strongest key" : `the ${kept} strongest keys`;
    return `${drawn}: ${keys} of each query${data.heads.length > 1 ? " in each head" : ""}.`;
  },
};

/** The number of keys of a query that may have lines; all keys if it is their number. */
function keptKeys(part) {
  const [queries, keys] = [queriesOf(part).length, keysOf(part).length];
  const isLong = Math.max(queries, keys) > MOST_TOKENS_WITH_ALL_LINES;
  return Math.min(keys, state.kept ?? (isLong ? KEPT_OF_LONG : Infinity));
}

/** The slider's last place, which means all keys. */
function placeOfAll(part) {
  return Math.min(MOST_KEPT + 1, keysOf(part).length);
}

function lineColor(data, head) {
  return data.heads.length === 1 ? color("accent") : headColor(head);
}

function mostOfHeads({ bytes, heads, queries, keys }) {
  const size = queries.length * keys.length;
  const of = (head) => largest(bytes.subarray(head * size, (head + 1) * size));
  return weightOf[Math.max(...heads.map(of))] || 1;
}

/** The largest weights of the kept keys, in ascending order; only of one token, if given. */
function strongest(data, token, limit) {
  const counts = new Uint32Array(256);
  eachKept(data, token, (byte) => counts[byte]++);
  let least = 256;
  let total = 0;
  while (least > 1 && total + counts[least - 1] <= limit) total += counts[--least];
  let step = 1;
  if (total === 0 && least > 1) {
    // Too many have the largest weight: take some of them, evenly spaced.
    step = Math.ceil(counts[--least] / limit);
  }
  const found = [];
  let seen = 0;
  eachKept(data, token, (byte, head, query, key) => {
    if (byte >= least && seen++ % step === 0) found.push({ head, query, key, byte });
  });
  return found.sort((a, b) => a.byte - b.byte);
}

/** Visits the weights of the strongest keys of each query, of each head separately. */
function eachKept({ bytes, heads, queries, keys, part }, token, visit) {
  const [firstQuery, lastQuery] = rangeOf(token, "query", queries);
  const [firstKey, lastKey] = rangeOf(token, "key", keys);
  const kept = keptKeys(part);
  for (const head of heads) {
    for (let query = firstQuery; query < lastQuery; query++) {
      const start = (head * queries.length + query) * keys.length;
      const row = bytes.subarray(start, start + keys.length);
      const least = kept < keys.length ? lastKept(row, kept) : { byte: 0, key: keys.length };
      for (let key = firstKey; key < lastKey; key++) {
        const isKept = row[key] > least.byte || (row[key] === least.byte && key <= least.key);
        if (isKept) visit(row[key], head, query, key);
      }
    }
  }
}

/** The weakest of the `kept` strongest keys of a row; of equal ones, the first are kept. */
function lastKept(row, kept) {
  const counts = new Uint32Array(256);
  for (const byte of row) counts[byte]++;
  let byte = 255;
  let room = kept;
  while (counts[byte] < room) room -= counts[byte--];
  let key = -1;
  for (; room > 0; room--) key = row.indexOf(byte, key + 1);
  return { byte, key };
}

function rangeOf(token, side, tokens) {
  return token?.side === side ? [token.index, token.index + 1] : [0, tokens.length];
}
