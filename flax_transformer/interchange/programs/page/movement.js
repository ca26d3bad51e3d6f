// Operations that move numbers, by their names in ONNX.

function reshaped(array, shape) {
  return { ...array, shape };
}

function withoutAxes(array, axes) {
  const rank = array.shape.length;
  const gone = axes ? axes.map((axis) => countedAxis(axis, rank)) : null;
  const isGone = (length, axis) => (gone ? gone.includes(axis) : length === 1);
  return reshaped(array, array.shape.filter((length, axis) => !isGone(length, axis)));
}

function withAxes(array, axes) {
  const rank = array.shape.length + axes.length;
  const added = axes.map((axis) => countedAxis(axis, rank));
  const lengths = array.shape.values();
  return reshaped(array, Array.from({ length: rank }, (_, axis) =>
    (added.includes(axis) ? 1 : lengths.next().value)));
}

function transposed(array, order) {
  const strides = stridesOf(array.shape);
  return strided(array, order.map((axis) => array.shape[axis]), order.map((axis) => strides[axis]));
}

/** A part: along each given axis from a start to an end, in steps. */
function sliced(array, starts, ends, axes = starts.map((_, i) => i), steps = starts.map(() => 1)) {
  const shape = [...array.shape];
  const strides = stridesOf(array.shape);
  let first = 0;
  axes.forEach((given, i) => {
    const axis = countedAxis(given, shape.length);
    const [length, step] = [shape[axis], steps[i]];
    // Backwards, the end -1 is the place before the first.
    const [least, most] = step > 0 ? [0, length] : [-1, length - 1];
    const place = (value) => Math.max(least, Math.min(most, value < 0 ? value + length : value));
    const start = place(starts[i]);
    shape[axis] = Math.max(0, Math.ceil((place(ends[i]) - start) / step));
    first += start * strides[axis];
    strides[axis] *= step;
  });
  return strided(array, shape, strides, first);
}

/** Writes a part into an array that is being made, from a place along an axis on. */
function writePart(result, part, axis, place) {
  const inner = sizeOf(part.shape.slice(axis + 1));
  const [own, whole] = [part.shape[axis] * inner, result.shape[axis] * inner];
  const outer = sizeOf(part.shape.slice(0, axis));
  for (let i = 0; i < outer; i++) {
    const numbers = part.data.subarray(i * own, (i + 1) * own);
    result.data.set(numbers, i * whole + place * inner);
  }
}

function joined(arrays, given) {
  const axis = countedAxis(given, arrays[0].shape.length);
  const shape = [...arrays[0].shape];
  shape[axis] = arrays.reduce((sum, array) => sum + array.shape[axis], 0);
  const result = emptyArray(arrays[0].dtype, shape);
  let place = 0;
  for (const array of arrays) {
    writePart(result, array, axis, place);
    place += array.shape[axis];
  }
  return result;
}

/** The array with more of a number around it; a negative width takes numbers away. */
function padded(array, widths, filling) {
  const rank = array.shape.length;
  let result = array;
  for (let axis = 0; axis < rank; axis++) {
    const [before, after] = [widths[axis], widths[axis + rank]];
    const [start, end] = [Math.max(-before, 0), result.shape[axis] + Math.min(after, 0)];
    if (before < 0 || after < 0) result = sliced(result, [start], [end], [axis]);
    const around = [before, after].map((width) => {
      const shape = result.shape.map((length, i) => (i === axis ? Math.max(width, 0) : length));
      const more = emptyArray(array.dtype, shape);
      more.data.fill(filling);
      return more;
    });
    if (before > 0 || after > 0) result = joined([around[0], result, around[1]], axis);
  }
  return result;
}

function split(array, sizes, axis) {
  let start = 0;
  return sizes.map((size) => {
    start += size;
    return sliced(array, [start - size], [start], [axis]);
  });
}

/** The values at places along one axis; the axes of the places replace it. */
function gathered(array, places, given) {
  const axis = countedAxis(given, array.shape.length);
  const [before, after] = [array.shape.slice(0, axis), array.shape.slice(axis + 1)];
  const result = emptyArray(array.dtype, [...before, ...places.shape, ...after]);
  const [length, inner, number] = [array.shape[axis], sizeOf(after), places.data.length];
  for (let i = 0; i < sizeOf(before); i++) {
    for (let j = 0; j < number; j++) {
      const from = (i * length + countedAxis(places.data[j], length)) * inner;
      result.data.set(array.data.subarray(from, from + inner), (i * number + j) * inner);
    }
  }
  return result;
}

/** The values at points: the last axis of the places is an index of several axes. */
function gatheredPoints(array, places, batchRank) {
  const depth = places.shape.at(-1);
  const points = places.shape.slice(0, -1);
  const rest = array.shape.slice(batchRank + depth);
  const result = emptyArray(array.dtype, [...points, ...rest]);
  const strides = stridesOf(array.shape);
  const [inner, number] = [sizeOf(rest), sizeOf(points)];
  const perBatch = number / sizeOf(points.slice(0, batchRank));
  const whole = sizeOf(array.shape.slice(batchRank));
  for (let i = 0; i < number; i++) {
    let from = Math.floor(i / perBatch) * whole;
    for (let d = 0; d < depth; d++) {
      const axis = batchRank + d;
      from += countedAxis(places.data[i * depth + d], array.shape[axis]) * strides[axis];
    }
    result.data.set(array.data.subarray(from, from + inner), i * inner);
  }
  return result;
}

/** The array with numbers added at places of its last axis. */
function scatteredSums(array, places, added) {
  const result = { ...array, data: array.data.slice() };
  const [length, number] = [array.shape.at(-1), places.shape.at(-1)];
  for (let i = 0; i < places.data.length; i++) {
    const row = Math.floor(i / number);
    result.data[row * length + countedAxis(places.data[i], length)] += added.data[i];
  }
  return result;
}

const numbersOf = (array) => (array ? Array.from(array.data) : undefined);

const MOVEMENTS = {
  Identity: (_, array) => array,
  Reshape: (_, array, shape) => reshaped(array, numbersOf(shape)),
  Squeeze: (_, array, axes) => withoutAxes(array, numbersOf(axes)),
  Unsqueeze: (_, array, axes) => withAxes(array, numbersOf(axes)),
  Expand: (_, array, shape) => expanded(array, commonShape(array.shape, numbersOf(shape))),
  Transpose: ({ perm }, array) => transposed(array, perm),
  Slice: (_, array, ...places) => sliced(array, ...places.map(numbersOf)),
  Concat: ({ axis }, ...arrays) => joined(arrays, axis),
  Pad: (_, array, widths, filling) => padded(array, numbersOf(widths), filling.data[0]),
  Split: ({ axis }, array, sizes) => split(array, numbersOf(sizes), axis),
  Gather: ({ axis = 0 }, array, places) => gathered(array, places, axis),
  GatherND: ({ batch_dims: rank = 0 }, array, places) => gatheredPoints(array, places, rank),
  ScatterElements: (_, array, places, added) => scatteredSums(array, places, added),
};
