// Attention painted over an image or a frame of a video; its patches are keys.

const CHIP = 24;

const picture = {
  name: header.picture?.frames > 1 ? "Video" : "Image",
  surface: "canvas",
  isFor: (part) => header.picture !== undefined && part.keys === "source",

  /** The picture's place, and below it a chip for each query that is not a patch. */
  layout(data, available) {
    const { width, height, patches, first } = header.picture;
    const scale = Math.min(available / width, 420 / height);
    const [pictureWidth, pictureHeight] = [width * scale, height * scale];
    const whole = Math.min(available, Math.max(pictureWidth, 640));
    const barTop = pictureHeight + 8;
    const chipTop = patches[0] > 1 ? barTop + 52 : barTop + 4;
    const number = data.part.queries === "source" ? first : data.queries.length;
    const chips = [];
    let [x, y] = [0, chipTop];
    for (let index = 0; index < number; index++) {
      const text = fitted(data.queries[index], 13, 160);
      const width = Math.ceil(widthOf(text, 13)) + 16;
      if (x > 0 && x + width > whole) [x, y] = [0, y + CHIP + 4];
      chips.push({ x, y, width, index, text });
      x += width + 4;
    }
    // A single row of chips is centered below the picture.
    const shift = y === chipTop ? (whole - x + 4) / 2 : 0;
    for (const chip of chips) chip.x += shift;
    const bottom = chips.length ? y + CHIP : chipTop;
    const left = (whole - pictureWidth) / 2;
    return { left, whole, pictureWidth, pictureHeight, barTop, chips, bottom };
  },

  size(data, available) {
    const at = this.layout(data, available);
    return { width: at.whole, height: at.bottom + 6 };
  },

  async load() {
    const { time } = state;
    const photo = await frameOf(time);
    if (time === state.time) this.photo = photo;
  },

  scene(data, window) {
    const at = this.layout(data, window.available);
    const [, rows, columns] = header.picture.patches;
    const weights = this.weights(data);
    const tone = toneOf(this.most(data), state.faint);
    const start = this.step() * rows * columns;
    const shares = weights.slice(start, start + rows * columns).map(tone);
    const place = { x: at.left, y: 0, width: at.pictureWidth, height: at.pictureHeight };
    // Bright means strong attention on every picture, with any background. Weak attention covers
    // less of the picture.
    const opacity = (share) => 255 * state.opacity * (0.55 + 0.45 * share);
    const pixels = pixelsOf(shares, rampTable(DARK), opacity);
    return [
      { kind: "photo", ...place, image: this.photo },
      { kind: "pixels", ...place, rows, columns, pixels },
      ...this.chosenPatch(data, at),
      ...this.bars(weights, at),
      ...this.chips(data, at),
    ];
  },

  most: (data) => (state.toOne ? 1 : largest(picture.weights(data)) || 1),

  /** Weights of the patches: of the chosen query, or the mean over all queries. */
  weights(data) {
    const { first } = header.picture;
    if (data.token?.side === "query") return weightsOf(data, data.token).subarray(first);
    const [queries, keys] = [data.queries.length, data.keys.length];
    const mean = new Float32Array(keys - first);
    for (let i = 0; i < queries * keys; i++) {
      if (i % keys >= first) mean[(i % keys) - first] += data.mean[i] / queries;
    }
    return mean;
  },

  /** The time step of the patches to which the frame belongs. */
  step: () => Math.floor((state.time * header.picture.patches[0]) / header.picture.frames),

  chosenPatch(data, at) {
    const { patches: [, rows, columns], first } = header.picture;
    const place = (data.token?.index ?? -1) - first - this.step() * rows * columns;
    const isPatch = place >= 0 && place < rows * columns && data.token.side === "query";
    if (!isPatch || data.part.queries !== "source") return [];
    const [width, height] = [at.pictureWidth / columns, at.pictureHeight / rows];
    const frame = {
      x: at.left + (place % columns) * width, y: Math.floor(place / columns) * height,
      width, height,
    };
    return [
      { kind: "rect", ...frame, fill: "none", stroke: "#ffffff" },
      { kind: "rect", ...outside(frame), fill: "none", stroke: "#000000" },
    ];
  },

  /** The attention on each time step; rounded weights may sum to more than 1. */
  sums(weights) {
    const [times, rows, columns] = header.picture.patches;
    const size = rows * columns;
    return numbers(times).map((time) =>
      Math.min(1, weights.subarray(time * size, (time + 1) * size).reduce((a, b) => a + b, 0)));
  },

  bars(weights, at) {
    const sums = this.sums(weights);
    const times = sums.length;
    if (times === 1) return [];
    const most = Math.max(...sums) || 1;
    const width = at.pictureWidth / times;
    return sums.flatMap((sum, time) => [
      {
        kind: "rect", x: at.left + time * width + 1, width: width - 2,
        y: at.barTop + 30 * (1 - sum / most), height: (30 * sum) / most,
        fill: color(time === this.step() ? "accent" : "soft"),
      },
      {
        kind: "text", x: at.left + (time + 0.5) * width, y: at.barTop + 40,
        size: 11, anchor: "middle", text: width > 34 ? sum.toFixed(2) : "", fill: color("soft"),
      },
    ]);
  },

  chips(data, at) {
    return at.chips.flatMap(({ x, y, width, index, text }) => {
      const isChosen = data.token?.side === "query" && data.token.index === index;
      return [
        {
          kind: "rect", x, y, width, height: CHIP,
          fill: color(isChosen ? "accent" : "panel"), stroke: color("line"),
        },
        {
          kind: "text", x: x + width / 2, y: y + CHIP / 2, size: 13, anchor: "middle", text,
          fill: color(isChosen ? "accent-ink" : "ink"),
        },
      ];
    });
  },

  hit(data, window, x, y) {
    const at = this.layout(data, window.available);
    const chip = at.chips.find(
      (c) => x >= c.x && x < c.x + c.width && y >= c.y && y < c.y + CHIP,
    );
    if (chip) return { token: { side: "query", index: chip.index } };
    const { patches: [, rows, columns], first } = header.picture;
    const [row, column] = [
      Math.floor((y / at.pictureHeight) * rows),
      Math.floor(((x - at.left) / at.pictureWidth) * columns),
    ];
    const isInside = row >= 0 && row < rows && column >= 0 && column < columns;
    if (!isInside || data.part.queries !== "source") return null;
    const index = first + (this.step() * rows + row) * columns + column;
    return { token: { side: "query", index } };
  },

  sentence(data) {
    const weights = this.weights(data);
    const share = shown(this.sums(weights)[this.step()]);
    const token = data.token?.side === "query" ? data.token : null;
    const who = token ? named(data.queries, token.index) : "The mean of all queries";
    const what = header.picture.frames > 1 ? "this time" : "the image";
    const brightest = shown(largest(weights));
    return `${who} looks at ${what} with ${share} of its attention; brightest: ${brightest}`;
  },
};
