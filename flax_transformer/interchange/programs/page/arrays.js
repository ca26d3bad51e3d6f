// Arrays: {dtype, shape, data}; numbers are in row-major order. No array changes after it is made.

const TYPES = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array };

const sizeOf = (shape) => shape.reduce((product, length) => product * length, 1);

function emptyArray(dtype, shape) {
  return { dtype, shape, data: new TYPES[dtype](sizeOf(shape)) };
}

function arrayOf(dtype, shape, numbers) {
  return { dtype, shape, data: TYPES[dtype].from(numbers) };
}

/** The distance in memory between neighbors along each axis. */
function stridesOf(shape) {
  const strides = new Array(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** An array of a shape, read from another one in steps of the given strides. */
function strided(array, shape, strides, start = 0) {
  const result = emptyArray(array.dtype, shape);
  const [from, to] = [array.data, result.data];
  const last = shape.length - 1;
  const [inner, step] = last < 0 ? [1, 0] : [shape[last], strides[last]];
  const index = new Int32Array(shape.length);
  let place = start;
  for (let done = 0; done < to.length; done += inner) {
    for (let i = 0; i < inner; i++) to[done + i] = from[place + i * step];
    for (let axis = last - 1; axis >= 0; axis--) {
      place += strides[axis];
      if (++index[axis] < shape[axis]) break;
      place -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

/** The shape of an operation on arrays of several shapes; axes of length 1 are repeated. */
function commonShape(...shapes) {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const lengths = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return lengths.find((length) => length !== 1) ?? 1;
  });
}

/** The array with its axes of length 1 repeated. */
function expanded(array, shape) {
  if (array.data.length === sizeOf(shape)) return { ...array, shape };
  const own = stridesOf(array.shape);
  const before = shape.length - array.shape.length;
  const strides = shape.map((_, axis) =>
    (axis < before || array.shape[axis - before] === 1 ? 0 : own[axis - before]));
  return strided(array, shape, strides);
}

/** The axis counted from 0, if it was counted from the end. */
const countedAxis = (axis, rank) => (axis < 0 ? axis + rank : axis);

// Of the last bit of a number of 16 bits, by its exponent.
const LAST_BITS = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));

/** Numbers of 16 bits, as 32-bit ones. */
function fromHalves(halves) {
  const numbers = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const exponent = (halves[i] >> 10) & 31;
    const fraction = (exponent ? 1024 : 0) + (halves[i] & 1023);
    const size = fraction * LAST_BITS[exponent];
    numbers[i] = halves[i] >> 15 ? -size : size;
  }
  return numbers;
}

/** The arrays of a table of {dtype, shape, offset, isHalf}, whose bytes follow each other. */
function unpackArrays(table, bytes) {
  return table.map(({ dtype, shape, offset, isHalf }) => {
    const Type = isHalf ? Uint16Array : TYPES[dtype];
    const end = offset + sizeOf(shape) * Type.BYTES_PER_ELEMENT;
    // A copy begins at a place where numbers of any size may begin.
    const numbers = new Type(bytes.slice(offset, end).buffer);
    return { dtype, shape, data: isHalf ? fromHalves(numbers) : numbers };
  });
}
