// What the page holds: the header, and weights that are unpacked when they are first asked for.

const header = JSON.parse(document.getElementById("header").textContent);
const weightOf = Float32Array.from(
  { length: 256 },
  (_, byte) => (byte / header.levels) ** header.exponent,
);
const unpacked = new Map();

/** Promises the bytes of a chunk; the text that held them is dropped. */
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

/** The bytes [heads, queries, keys] of one layer; its rollout, where there is one, comes last. */
function layerOf(part, layer) {
  return bytesOf(`${part.name}-${layer}`);
}

function queriesOf(part) {
  return header.tokens[part.queries];
}

function keysOf(part) {
  return header.tokens[part.keys];
}

/** Weights [queries, keys], the mean over the chosen heads. */
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

/** Numbers from 0 to below `count`. */
function numbers(count) {
  return Array.from({ length: count }, (_, i) => i);
}
