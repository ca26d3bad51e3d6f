// Operations on each number of one or several arrays, by their names in ONNX.

const FEW = 1e-17;

/** 2 / sqrt(pi) exp(-x^2) (x + 2 x^3 / 3 + 4 x^5 / 15 + ...), whose terms have one sign. */
function erf(x) {
  if (!(Math.abs(x) < 6)) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 3; Math.abs(term) > FEW; n += 2) {
    term *= (2 * x * x) / n;
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The nearest whole number; of two, the even one. */
function rounded(x) {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

const OF_ONE = {
  Neg: (x) => -x,
  Abs: Math.abs,
  Sign: Math.sign,
  Floor: Math.floor,
  Ceil: Math.ceil,
  Round: rounded,
  Exp: Math.exp,
  Log: Math.log,
  Sqrt: Math.sqrt,
  Reciprocal: (x) => 1 / x,
  Tanh: Math.tanh,
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Erf: erf,
  Sin: Math.sin,
  Cos: Math.cos,
  Not: (x) => 1 - x,
};

const OF_TWO = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Div: (x, y) => x / y, // a whole number is cut off when it is stored
  Mod: (x, y) => x % y, // has the sign of x
  Max: (x, y) => Math.max(x, y),
  Min: (x, y) => Math.min(x, y),
  Pow: (x, y) => (y === 2 ? x * x : x ** y), // squares are frequent, and slow as powers
  And: (x, y) => x & y,
  Or: (x, y) => x | y,
};

const COMPARISONS = {
  Equal: (x, y) => x === y,
  Less: (x, y) => x < y,
  LessOrEqual: (x, y) => x <= y,
  Greater: (x, y) => x > y,
  GreaterOrEqual: (x, y) => x >= y,
};

function ofEach(f, array) {
  const result = emptyArray(array.dtype, array.shape);
  const [from, to] = [array.data, result.data];
  for (let i = 0; i < to.length; i++) to[i] = f(from[i]);
  return result;
}

function ofPairs(f, dtype, first, second) {
  const result = emptyArray(dtype, commonShape(first.shape, second.shape));
  const to = result.data;
  if (second.data.length === 1 && first.data.length === to.length) {
    const [x, y] = [first.data, second.data[0]];
    for (let i = 0; i < to.length; i++) to[i] = f(x[i], y);
    return result;
  }
  const x = expanded(first, result.shape).data;
  const y = expanded(second, result.shape).data;
  for (let i = 0; i < to.length; i++) to[i] = f(x[i], y[i]);
  return result;
}

function choose(condition, first, second) {
  const shape = commonShape(condition.shape, first.shape, second.shape);
  const result = emptyArray(first.dtype, shape);
  const chosen = expanded(condition, shape).data;
  const x = expanded(first, shape).data;
  const y = expanded(second, shape).data;
  for (let i = 0; i < chosen.length; i++) result.data[i] = chosen[i] ? x[i] : y[i];
  return result;
}

function converted(array, dtype) {
  if (dtype === array.dtype) return array;
  if (dtype === "bool") return { ...ofEach((x) => x !== 0, { ...array, dtype }), dtype };
  return { dtype, shape: array.shape, data: TYPES[dtype].from(array.data) };
}

const inTable = (table, make) =>
  Object.fromEntries(Object.entries(table).map(([name, f]) => [name, make(f)]));

const ELEMENTWISE = {
  ...inTable(OF_ONE, (f) => (_, array) => ofEach(f, array)),
  ...inTable(OF_TWO, (f) => (_, first, second) => ofPairs(f, first.dtype, first, second)),
  ...inTable(COMPARISONS, (f) => (_, first, second) => ofPairs(f, "bool", first, second)),
  Where: (_, condition, first, second) => choose(condition, first, second),
  Cast: ({ to }, array) => converted(array, to),
};
