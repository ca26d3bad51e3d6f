// Saves the whole scene as a picture for a paper, including the parts outside the window.

// Pixels per unit, and the longest side that browsers can draw.
const DENSITY = 3;
const LONGEST_SIDE = 8192;
// Between two panes, and for their names.
const BETWEEN = 24;
const ABOVE = 26;

/** The scenes of the panes side by side, with the names of their readings above. */
function wholeOf(panes) {
  const shown = panes.filter((pane) => pane.drawn && !pane.figure.hidden);
  const above = shown.length > 1 ? ABOVE : 0;
  let left = 0;
  const scenes = shown.map((pane) => {
    const { view, data } = pane.drawn;
    const { available, room } = pane.window();
    const size = view.size(data, available, room);
    const shapes = view.scene(data, { left: 0, top: 0, ...size, available, room });
    const { name } = readings[data.part.number];
    const title = { kind: "text", x: 2, y: -12, size: 14, bold: true, text: name, fill: color("ink") };
    const moved = [...shapes, ...(above ? [title] : [])].map((shape) => shifted(shape, left, above));
    left += size.width + BETWEEN;
    return { ...size, shapes: moved };
  });
  return {
    width: left - BETWEEN,
    height: above + Math.max(...scenes.map(({ height }) => height)),
    shapes: scenes.flatMap(({ shapes }) => shapes),
  };
}

function shifted(shape, right, down) {
  const moved = { ...shape };
  for (const key of ["x", "x1", "x2"]) if (key in moved) moved[key] += right;
  for (const key of ["y", "y1", "y2"]) if (key in moved) moved[key] += down;
  return moved;
}

function saveSvg(scene, name) {
  const { width, height } = scene;
  const svg = svgElement("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  addShapes(svg, [{ kind: "rect", x: 0, y: 0, width, height, fill: color("paper") }]);
  addShapes(svg, scene.shapes);
  const text = new XMLSerializer().serializeToString(svg);
  download(new Blob([text], { type: "image/svg+xml" }), `${name}.svg`);
}

function savePng(scene, name) {
  const canvas = newCanvas(1, 1);
  const density = Math.min(DENSITY, LONGEST_SIDE / Math.max(scene.width, scene.height));
  paint(canvas, scene.shapes, scene, density);
  canvas.toBlob((blob) => download(blob, `${name}.png`), "image/png");
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Later, as the browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function fileName() {
  const { part, view, layer, heads, rolled } = state;
  const name = `attention-${part.name}-${view.name.toLowerCase().replaceAll(/[^\p{L}\d]+/gu, "-")}`;
  if (CELLS.includes(view)) return name;
  const which = rolled ? "rollout" : `heads-${heads.join("-")}`;
  return `${name}-layer-${layer}-${which}`;
}
