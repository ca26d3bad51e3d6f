// Products of matrices, sums, and other operations that need many numbers for one.

/** The product of matrices [rows, inner] [inner, columns], for each index of the axes before. */
function multiplied(left, right) {
  const rank = left.shape.length;
  const [rows, inner, columns] = [left.shape[rank - 2], left.shape[rank - 1], right.shape.at(-1)];
  const result = emptyArray("float32", [...left.shape.slice(0, -1), columns]);
  const size = inner * columns;
  for (let row = 0; row < sizeOf(left.shape.slice(0, -1)); row++) {
    const matrix = Math.floor(row / rows) * size;
    const from = left.data.subarray(row * inner, (row + 1) * inner);
    const to = result.data.subarray(row * columns, (row + 1) * columns);
    addRows(from, right.data.subarray(matrix, matrix + size), to);
  }
  return left.dtype === "float32" ? result : converted(result, left.dtype);
}

/** Adds the rows of a matrix times the numbers of a vector, four rows at a time. */
function addRows(vector, matrix, to) {
  const [inner, columns] = [vector.length, to.length];
  let k = 0;
  for (; k + 4 <= inner; k += 4) {
    const [a, b, c, d] = [vector[k], vector[k + 1], vector[k + 2], vector[k + 3]];
    const first = k * columns;
    const [second, third, fourth] = [first + columns, first + 2 * columns, first + 3 * columns];
    for (let j = 0; j < columns; j++) {
      to[j] += a * matrix[first + j] + b * matrix[second + j]
        + c * matrix[third + j] + d * matrix[fourth + j];
    }
  }
  for (; k < inner; k++) {
    const a = vector[k];
    for (let j = 0; j < columns; j++) to[j] += a * matrix[k * columns + j];
  }
}

/** One number for all numbers along some axes. */
function reduced(array, axes, start, add) {
  const rank = array.shape.length;
  const gone = axes.map((axis) => countedAxis(axis, rank));
  const kept = array.shape.map((_, axis) => axis).filter((axis) => !gone.includes(axis));
  const isLast = gone.every((axis) => axis >= kept.length);
  const { data } = isLast ? array : transposed(array, [...kept, ...gone]);
  const result = emptyArray(array.dtype, kept.map((axis) => array.shape[axis]));
  const number = sizeOf(gone.map((axis) => array.shape[axis]));
  for (let i = 0; i < result.data.length; i++) {
    let value = start;
    for (let j = i * number; j < (i + 1) * number; j++) value = add(value, data[j]);
    result.data[i] = value;
  }
  return result;
}

/** An array with one axis moved to the end. */
function withLast(array, axis) {
  const others = array.shape.map((_, i) => i).filter((i) => i !== axis);
  return { others, moved: transposed(array, [...others, axis]) };
}

function placeOfLargest(array, given) {
  const { moved } = withLast(array, countedAxis(given, array.shape.length));
  const length = moved.shape.at(-1);
  const result = emptyArray("int32", moved.shape.slice(0, -1));
  for (let i = 0; i < result.data.length; i++) {
    const row = moved.data.subarray(i * length, (i + 1) * length);
    let best = 0;
    for (let j = 1; j < length; j++) if (row[j] > row[best]) best = j;
    result.data[i] = best;
  }
  return result;
}

/** The largest numbers of the last axis in descending order, and their places. */
function largestFew(array, number) {
  const length = array.shape.at(-1);
  const shape = [...array.shape.slice(0, -1), number];
  const [best, places] = [emptyArray(array.dtype, shape), emptyArray("int32", shape)];
  for (let i = 0; i < array.data.length / length; i++) {
    const row = array.data.subarray(i * length, (i + 1) * length);
    const order = Array.from(row.keys()).sort((a, b) => row[b] - row[a] || a - b);
    for (let j = 0; j < number; j++) {
      places.data[i * number + j] = order[j];
      best.data[i * number + j] = row[order[j]];
    }
  }
  return [best, places];
}

function summedUp(array, given, isReversed) {
  const axis = countedAxis(given, array.shape.length);
  const { others, moved } = withLast(array, axis);
  const length = moved.shape.at(-1);
  const { data } = moved;
  for (let start = 0; start < data.length; start += length) {
    for (let j = 1; j < length; j++) {
      const place = isReversed ? start + length - 1 - j : start + j;
      data[place] += data[isReversed ? place + 1 : place - 1];
    }
  }
  const order = [...others, axis];
  return transposed(moved, order.map((_, i) => order.indexOf(i)));
}

function counted(start, end, step) {
  const [first, last, by] = [start.data[0], end.data[0], step.data[0]];
  const length = Math.max(0, Math.ceil((last - first) / by));
  return arrayOf(start.dtype, [length], Array.from({ length }, (_, i) => first + i * by));
}

const REDUCTIONS = {
  MatMul: (_, left, right) => multiplied(left, right),
  ReduceSum: (_, array, axes) => reduced(array, numbersOf(axes), 0, (x, y) => x + y),
  ReduceMax: (_, array, axes) =>
    reduced(array, numbersOf(axes), -Infinity, (x, y) => Math.max(x, y)),
  ReduceMin: (_, array, axes) =>
    reduced(array, numbersOf(axes), Infinity, (x, y) => Math.min(x, y)),
  ArgMax: ({ axis }, array) => placeOfLargest(array, axis),
  TopK: (_, array, number) => largestFew(array, number.data[0]),
  CumSum: ({ reverse = 0 }, array, axis) => summedUp(array, axis.data[0], reverse === 1),
  Range: (_, ...bounds) => counted(...bounds),
  Shape: (_, array) => arrayOf("int32", [array.shape.length], array.shape),
};
