// The matrix of weights: one row per query, one column per key. Only its visible part is drawn.

const SMALLEST_LABELED = 11;
const SMALLEST_WITH_VALUES = 30;
// Below and to the right of the cells, so that the last numbers of small cells are not cut.
const END = 6;

const matrix = {
  name: "Matrix",
  surface: "canvas",
  isFor: () => true,
  most: (data) => (state.toOne ? 1 : data.most),

  layout(data, available, height) {
    const isNarrow = available < 600;
    const left = labelWidth(data.queries, 12, isNarrow ? 170 : 260) + 14;
    const top = labelWidth(data.keys, 12, isNarrow ? 80 : 130) + 14;
    const cell = state.zoom ?? this.bestCell(data, available - left, height - top);
    if (cell >= SMALLEST_LABELED) return { left, top, cell };
    // Smaller cells have numbers, which leave more room for the cells.
    const number = `${Math.max(data.queries.length, data.keys.length)}`;
    const margin = labelWidth([number], 11, 80) + 14;
    const best = this.bestCell(data, available - margin, height - margin);
    return {
      left: margin, top: margin, cell: state.zoom ?? Math.min(best, SMALLEST_LABELED - 1),
    };
  },

  /** The largest cells that fit; readable tokens are worth scrolling down. */
  bestCell(data, width, height) {
    const across = (width - END) / data.keys.length;
    const down = (height - END) / data.queries.length;
    const fits = Math.max(Math.min(across, down), Math.min(across, SMALLEST_LABELED));
    return Math.max(1, Math.min(44, Math.floor(fits)));
  },

  size(data, available, height) {
    const { left, top, cell } = this.layout(data, available, height);
    return {
      width: left + cell * data.keys.length + END,
      height: top + cell * data.queries.length + END,
    };
  },

  /** The beginning and the end of a query's row, with the labels above it. */
  extent(data, index, { available, room }) {
    const { top, cell } = this.layout(data, available, room);
    return [cell * index, top + cell * (index + 1)];
  },

  scene(data, window) {
    const at = this.layout(data, window.available, window.room);
    const rows = visible(window.top, window.height - at.top, at.cell, data.queries.length);
    const columns = visible(window.left, window.width - at.left, at.cell, data.keys.length);
    const tone = toneOf(this.most(data), state.faint);
    const [x, y] = [at.left + columns.first * at.cell, at.top + rows.first * at.cell];
    const shares = new Float32Array(rows.count * columns.count);
    for (let i = 0; i < shares.length; i++) {
      const query = rows.first + Math.floor(i / columns.count);
      shares[i] = tone(data.mean[query * data.keys.length + columns.first + (i % columns.count)]);
    }
    return [
      {
        kind: "pixels", x, y, width: columns.count * at.cell, height: rows.count * at.cell,
        rows: rows.count, columns: columns.count, pixels: pixelsOf(shares, rampTable()),
      },
      ...(at.cell >= SMALLEST_WITH_VALUES ? values(data, at, rows, columns, shares) : []),
      ...this.marks(at, data),
      ...labels(data, at, rows, columns, window),
    ];
  },

  /** Frames around the chosen row or column and the cell under the pointer. */
  marks(at, data) {
    const [width, height] = [at.cell * data.keys.length, at.cell * data.queries.length];
    const frame = { kind: "rect", fill: "none", stroke: color("accent") };
    const found = [];
    if (data.token) {
      const isQuery = data.token.side === "query";
      const start = (isQuery ? at.top : at.left) + at.cell * data.token.index;
      found.push(
        isQuery
          ? { ...frame, x: at.left, y: start, width, height: at.cell }
          : { ...frame, x: start, y: at.top, width: at.cell, height },
      );
    }
    if (data.cell) {
      const { query, key } = data.cell;
      const [x, y] = [at.left + at.cell * key, at.top + at.cell * query];
      found.push({ ...frame, x, y, width: at.cell, height: at.cell });
      found.push({ ...frame, ...outside({ x, y, width: at.cell, height: at.cell }) });
    }
    return found;
  },

  hit(data, window, x, y) {
    const at = this.layout(data, window.available, window.room);
    // Labels stay at the window's edges while the cells scroll below them.
    const key = Math.floor((x - at.left) / at.cell);
    const query = Math.floor((y - at.top) / at.cell);
    const [onLeft, onTop] = [x - window.left < at.left, y - window.top < at.top];
    const isQuery = query >= 0 && query < data.queries.length;
    const isKey = key >= 0 && key < data.keys.length;
    if (onLeft && !onTop && isQuery) return { token: { side: "query", index: query } };
    if (onTop && !onLeft && isKey) return { token: { side: "key", index: key } };
    if (onLeft || onTop || !isQuery || !isKey) return null;
    return { cell: { query, key }, token: { side: "query", index: query } };
  },

  sentence(data) {
    if (!data.cell) return data.token ? sentenceOf(data, data.token) : "";
    const { query, key } = data.cell;
    const weight = shown(data.mean[query * data.keys.length + key]);
    return `${named(data.queries, query)} looks at ${named(data.keys, key)} with ${weight}`;
  },
};

/** The visible cells of one axis. */
function visible(start, length, cell, number) {
  const first = Math.min(Math.floor(start / cell), number - 1);
  const last = Math.min(number, Math.ceil((start + length) / cell));
  return { first, count: Math.max(1, last - first) };
}

function values(data, at, rows, columns, shares) {
  const size = Math.min(14, at.cell / 3.1);
  return Array.from(shares, (share, i) => {
    const [row, column] = [Math.floor(i / columns.count), i % columns.count];
    const [query, key] = [rows.first + row, columns.first + column];
    const isLight = isDark() ? share > 0.5 : share < 0.5;
    return {
      kind: "text", x: at.left + (key + 0.5) * at.cell, y: at.top + (query + 0.5) * at.cell,
      text: data.mean[query * data.keys.length + key].toFixed(2), size, anchor: "middle",
      fill: isLight ? "#000000" : "#ffffff",
    };
  });
}

/** Tokens next to rows and above columns; their numbers if cells are too small. */
function labels(data, at, rows, columns, { left, top, width, height }) {
  const paper = { kind: "rect", fill: color("paper") };
  const isNamed = at.cell >= SMALLEST_LABELED;
  const step = isNamed ? 1 : 2 ** Math.ceil(Math.log2(40 / at.cell));
  const size = isNamed ? Math.min(12, at.cell - 0.5) : 11;
  const textOf = (token, i, room) => (isNamed ? fitted(token, size, room - 12) : `${i}`);
  const common = { kind: "text", size };
  const place = (margin, index) => margin + (index + 0.5) * at.cell;
  // Labels at the edges of the window are shown whole or not at all.
  const whole = (cells, margin, start, length) =>
    chosen(cells, step).filter((index) => {
      const middle = place(margin, index);
      return middle >= start + margin && middle + size / 2 <= start + length;
    });
  const shapes = [
    { ...paper, x: left, y: top, width: at.left, height },
    { ...paper, x: left, y: top, width, height: at.top },
  ];
  for (const query of whole(rows, at.top, top, height)) {
    shapes.push({
      ...common, x: left + at.left - 6, y: place(at.top, query), anchor: "end",
      text: textOf(data.queries[query], query, at.left), fill: labelColor(data, "query", query),
    });
  }
  for (const key of whole(columns, at.left, left, width)) {
    shapes.push({
      ...common, x: place(at.left, key), y: top + at.top - 6, turned: true,
      text: textOf(data.keys[key], key, at.top), fill: labelColor(data, "key", key),
    });
  }
  return shapes;
}

function chosen({ first, count }, step) {
  return Array.from({ length: count }, (_, i) => first + i).filter((i) => i % step === 0);
}

function labelColor(data, side, index) {
  const isUnder = data.cell?.[side] === index;
  const isChosen = data.token?.side === side && data.token.index === index;
  return color(isUnder || isChosen ? "accent" : "ink");
}
