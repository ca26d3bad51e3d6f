// Runs the programs of a model: graphs of operations, which ONNX has too.

const OPERATIONS = { ...ELEMENTWISE, ...MOVEMENTS, ...REDUCTIONS };

class Program {
  /**
   * @param {object} described its nodes [operation, inputs, outputs, attributes] in order, and the
   *   numbers of the values that are inputs, outputs and constants
   * @param {object[]} arrays of all programs
   */
  constructor({ nodes, inputs, outputs, constants, size }, arrays) {
    Object.assign(this, { inputs, outputs });
    this.known = new Array(size);
    for (const [value, place] of constants) this.known[value] = arrays[place];
    // What depends on nothing else than constants is computed once.
    this.nodes = nodes.filter((node) => {
      const isKnown = node[1].every((value) => this.known[value] !== undefined);
      if (isKnown) compute(node, this.known);
      return !isKnown;
    });
  }

  /** The outputs for some inputs, both arrays by name. */
  run(given) {
    const values = this.known.slice();
    for (const [name, value] of Object.entries(this.inputs)) values[value] = given[name];
    for (const node of this.nodes) compute(node, values);
    return inTable(this.outputs, (value) => values[value]);
  }
}

function compute([operation, inputs, outputs, attributes], values) {
  const result = OPERATIONS[operation](attributes, ...inputs.map((value) => values[value]));
  const results = Array.isArray(result) ? result : [result];
  outputs.forEach((value, i) => { values[value] = results[i]; });
}

/** The programs of a page by name; `bytes` holds the numbers of all arrays. */
function openPrograms({ programs, arrays }, bytes) {
  const unpacked = unpackArrays(arrays, bytes);
  return inTable(programs, (described) => new Program(described, unpacked));
}

/** The bytes of a text in base64. */
function bytesOfBase64(text) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const numberOf = new Uint8Array(128);
  for (let i = 0; i < 64; i++) numberOf[letters.charCodeAt(i)] = i;
  const padding = text.endsWith("==") ? 2 : Number(text.endsWith("="));
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  for (let i = 0, place = 0; i < text.length; i += 4) {
    let bits = 0;
    for (let j = 0; j < 4; j++) bits = (bits << 6) | numberOf[text.charCodeAt(i + j)];
    // Bytes after the end are not kept.
    for (let shift = 16; shift >= 0; shift -= 8) bytes[place++] = bits >> shift;
  }
  return bytes;
}
