// Saves the whole scene as a picture for a paper, including the parts outside the window.

// Pixels per unit, and the longest side that browsers can draw.
const DENSITY = 3;
const LONGEST_SIDE = 8192;

function wholeOf(view, data, available, room) {
  const size = view.size(data, available, room);
  return { ...size, shapes: view.scene(data, { left: 0, top: 0, ...size, available, room }) };
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
  const which = rolled ? "rollout" : `heads-${heads.join("-")}`;
  return `attention-${part.name}-${view.name.toLowerCase()}-layer-${layer}-${which}`;
}
