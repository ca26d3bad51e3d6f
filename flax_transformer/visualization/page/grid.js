// The overview: a small picture of every head of every layer.

const GRID_LEFT = 58;
const GRID_TOP = 34;
const GRID_GAP = 6;
const thumbnails = new Map();

const grid = {
  name: "Grid",
  surface: "canvas",
  isFor: () => true,

  layout(data, available) {
    const columns = data.part.heads + (data.part.rollout ? 1 : 0);
    const room = (available - GRID_LEFT) / columns - GRID_GAP;
    const side = Math.max(40, Math.min(110, Math.floor(room)));
    return { columns, side, step: side + GRID_GAP };
  },

  size(data, available) {
    const { columns, step } = this.layout(data, available);
    return { width: GRID_LEFT + columns * step, height: GRID_TOP + data.part.layers * step };
  },

  /** Unpacks the layers one after the other, and draws the available ones in between. */
  async load(data, available, drawAgain) {
    const { columns, side } = this.layout(data, available);
    for (let layer = 0; layer < data.part.layers; layer++) {
      const bytes = await layerOf(data.part, layer);
      let isNew = false;
      for (let head = 0; head < columns; head++) {
        const name = thumbnailName(data.part, layer, head, side);
        if (thumbnails.has(name)) continue;
        const size = data.queries.length * data.keys.length;
        const matrix = bytes.subarray(head * size, (head + 1) * size);
        thumbnails.set(name, shrink(matrix, data.queries.length, data.keys.length, side));
        isNew = true;
      }
      if (isNew && !drawAgain()) return;
    }
  },

  scene(data, window) {
    const at = this.layout(data, window.available);
    const table = rampTable();
    const label = { kind: "text", size: 12, fill: color("soft"), anchor: "middle" };
    const middle = GRID_LEFT + (data.part.heads * at.step) / 2;
    const shapes = [{ ...label, x: middle, y: 8, text: "head" }];
    for (let head = 0; head < at.columns; head++) {
      const text = head === data.part.heads ? "rollout" : `${head}`;
      shapes.push({ ...label, x: GRID_LEFT + head * at.step + at.side / 2, y: 24, text });
    }
    for (let layer = 0; layer < data.part.layers; layer++) {
      const y = GRID_TOP + layer * at.step;
      const beside = { x: GRID_LEFT - 8, y: y + at.side / 2, anchor: "end" };
      shapes.push({ ...label, ...beside, text: `layer ${layer}` });
      for (let head = 0; head < at.columns; head++) {
        const name = thumbnailName(data.part, layer, head, at.side);
        const place = { x: GRID_LEFT + head * at.step, y, width: at.side, height: at.side };
        shapes.push(...this.cell(thumbnails.get(name), place, table));
        const isChosen = layer === data.layer && data.heads.includes(head);
        if (isChosen || this.isUnder(data.cell, layer, head)) {
          shapes.push({ kind: "rect", ...outside(place), fill: "none", stroke: color("accent") });
          shapes.push({ kind: "rect", ...place, fill: "none", stroke: color("accent") });
        }
      }
    }
    return shapes;
  },

  isUnder: (cell, layer, head) => cell?.layer === layer && cell.head === head,

  cell(thumbnail, place, table) {
    if (!thumbnail) return [{ kind: "rect", ...place, fill: color("panel") }];
    const tone = toneOf(state.toOne ? 1 : thumbnail.most, state.faint);
    const shares = Float32Array.from(thumbnail.bytes, (byte) => tone(weightOf[byte]));
    const { rows, columns } = thumbnail;
    return [{ kind: "pixels", ...place, rows, columns, pixels: pixelsOf(shares, table) }];
  },

  hit(data, window, x, y) {
    const at = this.layout(data, window.available);
    const head = Math.floor((x - GRID_LEFT) / at.step);
    const layer = Math.floor((y - GRID_TOP) / at.step);
    const isInside = head >= 0 && head < at.columns && layer >= 0 && layer < data.part.layers;
    return isInside && { cell: { layer, head } };
  },

  /** A click opens the head. */
  open(data, { layer, head }) {
    const rolled = head === data.part.heads;
    return { layer, rolled, heads: rolled ? state.heads : [head], view: lines };
  },

  sentence(data) {
    if (!data.cell) return "Click or tap a head to enlarge it.";
    const { layer, head } = data.cell;
    return `layer ${layer}, ${head === data.part.heads ? "rollout" : `head ${head}`}`;
  },
};

function outside({ x, y, width, height }) {
  return { x: x - 1.5, y: y - 1.5, width: width + 3, height: height + 3 };
}

function thumbnailName(part, layer, head, side) {
  return `${part.number} ${part.name} ${layer} ${head} ${side}`;
}

/** The largest weight of each block, so that single strong weights stay visible. */
function shrink(matrix, queries, keys, side) {
  const rows = Math.min(queries, side);
  const columns = Math.min(keys, side);
  const bytes = new Uint8Array(rows * columns);
  const columnOf = Uint16Array.from({ length: keys }, (_, key) =>
    Math.floor((key * columns) / keys));
  for (let query = 0; query < queries; query++) {
    const start = Math.floor((query * rows) / queries) * columns;
    for (let key = 0; key < keys; key++) {
      const byte = matrix[query * keys + key];
      const place = start + columnOf[key];
      if (byte > bytes[place]) bytes[place] = byte;
    }
  }
  return { rows, columns, bytes, most: weightOf[largest(bytes)] || 1 };
}
