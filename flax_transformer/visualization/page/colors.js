// Colors that differ in lightness, or that the color-blind can distinguish (Okabe and Ito).

// Each begins near its background and has monotonic lightness; none relies on red versus green.
const RAMPS = {
  light: [
    [246, 248, 250], [214, 228, 241], [170, 204, 230], [116, 172, 214],
    [66, 135, 190], [32, 98, 160], [14, 62, 120], [8, 28, 70],
  ],
  dark: [
    [16, 24, 48], [30, 50, 98], [64, 80, 116], [100, 110, 122],
    [136, 139, 122], [176, 169, 108], [218, 203, 84], [255, 240, 130],
  ],
};
// Each head has one of these, and dashes once all are in use.
const HEADS = {
  light: ["#0072b2", "#d55e00", "#009e73", "#b0568c", "#3a9ad0", "#b87c00", "#000000"],
  dark: ["#4aa8e0", "#ff8a3d", "#1fc998", "#e08fc0", "#8fd0f7", "#f2b632", "#ffffff"],
};
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];

/** A color of the page, by its name in the style sheet. */
function color(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

/** [red, green, blue] for a share from 0 to 1. */
function rampAt(share, ramp) {
  const place = share * (ramp.length - 1);
  const below = Math.min(Math.floor(place), ramp.length - 2);
  return ramp[below].map((from, i) => from + (place - below) * (ramp[below + 1][i] - from));
}

/** A table of a ramp's colors for the shares 0/255 to 255/255, three bytes each. */
function rampTable(theme = root.dataset.theme) {
  const table = new Uint8ClampedArray(768);
  for (let i = 0; i < 256; i++) table.set(rampAt(i / 255, RAMPS[theme]), 3 * i);
  return table;
}

function headColor(head) {
  const colors = HEADS[root.dataset.theme];
  return colors[head % colors.length];
}

function headDashes(head) {
  return DASHES[Math.floor(head / HEADS.light.length) % DASHES.length];
}

/** The scale: weights up to `most` become shares from 0 to 1. */
function toneOf(most, faint) {
  return (weight) => {
    const share = Math.min(weight / most, 1);
    return faint ? Math.sqrt(share) : share;
  };
}
