// The data of the page: the header, and weights that are unpacked on their first use.

const header = JSON.parse(document.getElementById("header").textContent);
const { readings } = header;
readings.forEach((reading, number) => {
  for (const part of reading.parts) Object.assign(part, { number, tokens: reading.tokens });
});
const weightOf = Float32Array.from(
  { length: 256 },
  (_, byte) => (byte / header.levels) ** header.exponent,
);
const unpacked = new Map();

/** Returns a promise of the bytes of a chunk, and drops its text. */
function bytesOf(name) {
  if (!unpacked.has(name)) unpacked.set(name, unpack(document.getElementById(name)));
  return unpacked.get(name);
}

async function unpack(element) {
  const text = atob(element.textContent);
  element.remove();
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < packed.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Returns a promise of the image of a frame of the picture. */
function frameOf(number) {
  const name = `frame-${number}`;
  if (!unpacked.has(name)) unpacked.set(name, decode(document.getElementById(name)));
  return unpacked.get(name);
}

async function decode(element) {
  const image = new Image();
  image.src = element.textContent;
  await image.decode();
  return image;
}

/** The bytes [heads, queries, keys] of one layer; its rollout, if any, comes last. */
function layerOf(part, layer) {
  return bytesOf(`${part.number}-${part.name}-${layer}`);
}

function queriesOf(part) {
  return part.tokens[part.queries];
}

function keysOf(part) {
  return part.tokens[part.keys];
}

/** Weights [queries, keys]: the mean over the chosen heads. */
function meanOf(bytes, heads, size) {
  const mean = new Float32Array(size);
  for (const head of heads) {
    const start = head * size;
    for (let i = 0; i < size; i++) mean[i] += weightOf[bytes[start + i]];
  }
  for (let i = 0; i < size; i++) mean[i] /= heads.length;
  return mean;
}

function largest(values) {
  let most = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > most) most = values[i];
  return most;
}

/** The numbers from 0 to `count` - 1. */
function numbers(count) {
  return Array.from({ length: count }, (_, i) => i);
}
