// Grids of cells with a text and a color, such as what each layer predicts at each token.

const CELL_HEIGHT = 25;
const CELL_GAP = 2;
const NARROWEST_CELL = 36;
const WIDEST_CELL = 130;
const CELL_SIZE = 12.5; // of texts
const TITLES = 52; // above the cells: the grid's title and the names of columns
const BOLD = 1.15; // width of bold letters
// High and low values: a blue and a vermilion that the color-blind can distinguish.
const ENDS = {
  light: { high: [0, 114, 178], low: [213, 94, 0] },
  dark: { high: [74, 168, 224], low: [255, 138, 61] },
};

/** The grids of a reading; one without grids has those of the first. */
function gridsOf(number) {
  const { grids } = readings[number];
  return grids.length ? grids : readings[0].grids;
}

/** The view that shows all grids of a name. */
function cellsView(name) {
  return {
    name,
    surface: "svg",
    isFor: (part) => gridsOf(part.number).some((each) => each.view === name),

    /** The grids one below the other. */
    layout(data) {
      let top = 0;
      return gridsOf(data.part.number).filter((each) => each.view === name).map((each) => {
        const left = labelWidth(each.rows, CELL_SIZE, 150) + 14;
        const texts = [...each.texts.flat(), ...each.columns];
        const width = Math.max(NARROWEST_CELL, labelWidth(texts, CELL_SIZE, WIDEST_CELL) + 12);
        const place = { each, left, width, top };
        top += TITLES + each.rows.length * CELL_HEIGHT + 14;
        return place;
      });
    },

    size(data) {
      const places = this.layout(data);
      const { each, top } = places.at(-1) ?? { each: { rows: [] }, top: 0 };
      const widths = places.map(({ left, width, each: { columns, title } }) =>
        Math.max(left + columns.length * width, BOLD * widthOf(title, 14) + 4));
      return {
        width: Math.max(0, ...widths) + CELL_GAP,
        height: top + TITLES + each.rows.length * CELL_HEIGHT + 6,
      };
    },

    scene(data) {
      return [...this.still(data), ...this.moving(data)];
    },

    still(data) {
      return this.layout(data).flatMap((at, index) => [
        ...titlesOf(at),
        ...at.each.rows.flatMap((_, row) =>
          at.each.columns.flatMap((_, column) => cellOf(at, index, row, column))),
      ]);
    },

    /** Frames around the cell under the pointer, and around the one whose reading is shown. */
    moving(data) {
      const shown = readings[data.part.number].name;
      return this.layout(data).flatMap((at, index) => {
        const found = at.each.opens.flatMap((names, row) => names.flatMap((opened, column) =>
          (opened && opened === shown ? [{ row, column }] : [])));
        if (data.cell?.grid === index) found.push(data.cell);
        return found.map(({ row, column }) => ({
          kind: "rect", ...outside(boxOf(at, row, column)), fill: "none", stroke: color("ink"),
        }));
      });
    },

    hit: (data, window, x, y, { dataset }) => dataset.grid && {
      cell: { grid: +dataset.grid, row: +dataset.row, column: +dataset.column },
    },

    /** A click opens the cell's reading, or the first if that is shown. */
    open(data, cell) {
      const { grid: index, row, column } = cell;
      const opened = this.layout(data)[index].each.opens[row]?.[column];
      const number = readings.findIndex((reading) => reading.name === opened);
      if (number < 0) return { cell };
      return { cell, reading: number === data.part.number ? 0 : number };
    },

    sentence(data) {
      const places = this.layout(data);
      if (!data.cell) return [...new Set(places.map(({ each }) => each.note))].join("\n");
      const { grid: index, row, column } = data.cell;
      const { each } = places[index];
      const text = `${each.rows[row]}, ${each.columns[column]}: ${each.texts[row][column]}`;
      return [text, each.hints[row]?.[column]].filter(Boolean).join("\n");
    },
  };
}

function titlesOf({ each, left, width, top }) {
  const label = { kind: "text", size: CELL_SIZE, fill: color("soft") };
  return [
    { kind: "text", x: 2, y: top + 12, text: each.title, size: 14, bold: true, fill: color("ink") },
    ...each.columns.map((text, column) => ({
      ...label, x: left + (column + 0.5) * width, y: top + TITLES - 14, anchor: "middle",
      text: fitted(text, CELL_SIZE, width - 6),
    })),
    ...each.rows.map((text, row) => ({
      ...label, x: left - 8, y: top + TITLES + (row + 0.5) * CELL_HEIGHT, anchor: "end",
      text: fitted(text, CELL_SIZE, left - 12),
    })),
  ];
}

function boxOf({ left, width, top }, row, column) {
  return {
    x: left + column * width, y: top + TITLES + row * CELL_HEIGHT,
    width: width - CELL_GAP, height: CELL_HEIGHT - CELL_GAP,
  };
}

function cellOf(at, index, row, column) {
  const box = boxOf(at, row, column);
  const [red, green, blue] = mixed(at.each.values[row][column]);
  // Relative lightness, as the eye sees it.
  const isLight = 0.3 * red + 0.59 * green + 0.11 * blue > 140;
  return [
    { kind: "rect", ...box, fill: `rgb(${red} ${green} ${blue})`, data: { grid: index, row, column } },
    {
      kind: "text", x: box.x + box.width / 2, y: box.y + box.height / 2, size: CELL_SIZE,
      anchor: "middle", text: fitted(at.each.texts[row][column], CELL_SIZE, box.width - 6),
      fill: isLight ? "#000000" : "#ffffff",
    },
  ];
}

/** The color of a value from -1 to 1, which is that of the panel for 0. */
function mixed(value) {
  const { high, low } = ENDS[root.dataset.theme];
  const panel = color("panel").match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const end = value < 0 ? low : high;
  return panel.map((from, i) => Math.round(from + Math.abs(value) * (end[i] - from)));
}

const CELLS = [...new Set(readings.flatMap(({ grids }) => grids.map(({ view }) => view)))]
  .map(cellsView);
