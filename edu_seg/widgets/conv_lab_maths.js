// A convolution on a square map, or its transpose, by arithmetic alone: sizes, which cells each tap ties, what is possible.
// state: { kernel_size, stride, padding, dilation, output_padding, size, transposed }. Taps count from 1, cells from 0, row by row.
// Either way windows of the kernel lie on a "large" map, which may be padded, one for each cell of a "small" map.

export const SETTINGS = ["kernel_size", "stride", "padding", "dilation", "output_padding", "size"];
export const NAMES = [...SETTINGS, "transposed"];

const spanOf = ({ kernel_size: k, dilation }) => dilation * (k - 1) + 1;

// Below one where nothing is left.
export function outputSize(state) {
  const { stride, padding, output_padding: extra, size, transposed } = state;
  if (transposed) return (size - 1) * stride + spanOf(state) - 2 * padding + extra;
  return Math.floor((size + 2 * padding - spanOf(state)) / stride) + 1;
}

// limits: { ranges: {name: [low, high]}, most }.
export function possible(state, { ranges, most }) {
  const inRange = SETTINGS.every((name) => state[name] >= ranges[name][0] && state[name] <= ranges[name][1]);
  const extra = state.transposed ? state.output_padding < Math.max(state.stride, state.dilation) : state.output_padding === 0;
  const made = outputSize(state);
  return inRange && extra && made >= 1 && made <= most;
}

// Every value that a setting could ever have, with whether it is possible as the rest stands.
export function choices(state, name, limits) {
  const [low, high] = limits.ranges[name];
  return Array.from({ length: high - low + 1 }, (_, n) => n + low).map((value) => ({ value, possible: possible({ ...state, [name]: value }, limits) }));
}

export function sizesOf(state) {
  const made = outputSize(state);
  const [small, large] = state.transposed ? [state.size, made] : [made, state.size];
  const reached = (small - 1) * state.stride + spanOf(state);
  return { input: state.size, output: made, small, large, reached, remainder: large + 2 * state.padding - reached };
}

// The settings whose matrix is the transpose of this one.
export function adjoint(state) {
  const { output, remainder } = sizesOf(state);
  return { ...state, size: output, output_padding: state.transposed ? 0 : remainder, transposed: !state.transposed };
}

export const isSmall = (state, side) => (side === "output") !== state.transposed;
export const otherSide = (side) => (side === "output" ? "input" : "output");

// Along one axis: where the taps of window i lie; negative, or the size and more, in the padding.
const places = ({ kernel_size: k, stride, padding, dilation }, i) => Array.from({ length: k }, (_, tap) => i * stride - padding + tap * dilation);

// What one cell is tied to. ties: [cell on the other side, tap], in order. outside: [row, column, tap] of taps on the padding.
export function tiesOf(state, side, index) {
  const { small, large } = sizesOf(state);
  return isSmall(state, side) ? ownWindow(state, index, small, large) : windowsOn(state, index, small, large);
}

function ownWindow(state, index, small, large) {
  const [rows, columns] = [Math.floor(index / small), index % small].map((i) => places(state, i));
  const found = { ties: [], outside: [] };
  rows.forEach((row, a) => columns.forEach((column, b) => {
    const tap = a * state.kernel_size + b + 1;
    if (row >= 0 && row < large && column >= 0 && column < large) found.ties.push([row * large + column, tap]);
    else found.outside.push([row, column, tap]);
  }));
  return found;
}

function windowsOn(state, index, small, large) {
  const place = [Math.floor(index / large), index % large];
  const [rows, columns] = place.map((at) => Array.from({ length: small }, (_, i) => [i, places(state, i).indexOf(at)]).filter(([, tap]) => tap >= 0));
  return { ties: rows.flatMap(([i, a]) => columns.map(([j, b]) => [i * small + j, a * state.kernel_size + b + 1])), outside: [] };
}

// [row, column, tap] of all that is not 0 in the matrix.
export function entries(state) {
  const { output } = sizesOf(state);
  return Array.from({ length: output * output }, (_, row) => tiesOf(state, "output", row).ties.map(([column, tap]) => [row, column, tap])).flat();
}

// Of a cell of the padded large map: "remainder" behind the last window, "gap" where the windows step over it, else "".
export function unreached(state) {
  const { small, reached } = sizesOf(state);
  const read = new Set(Array.from({ length: small }, (_, i) => places(state, i)).flat());
  return (row, column) => {
    if (Math.max(row, column) >= reached - state.padding) return "remainder";
    return read.has(row) && read.has(column) ? "" : "gap";
  };
}

export function pytorchLine(state) {
  const named = ["stride", "padding", "output_padding", "dilation"].filter((name) => state[name] !== (name === "stride" || name === "dilation" ? 1 : 0));
  const parts = ["1", "1", `${state.kernel_size}`, ...named.map((name) => `${name}=${state[name]}`)];
  return `nn.${state.transposed ? "ConvTranspose2d" : "Conv2d"}(${parts.join(", ")})`;
}

export function sizeFormula(state) {
  const { kernel_size: k, stride: s, padding: p, dilation: d, output_padding: extra, size: n } = state;
  const made = outputSize(state);
  if (state.transposed) return `(${n} − 1) · ${s} − 2 · ${p} + ${d} · (${k} − 1) + ${extra} + 1 = ${made}`;
  return `⌊(${n} + 2 · ${p} − ${d} · (${k} − 1) − 1) / ${s}⌋ + 1 = ⌊${n + 2 * p - spanOf(state)} / ${s}⌋ + 1 = ${made}`;
}

const from = (size, k, stride, padding, more = {}) => ({ kernel_size: k, stride, padding, dilation: 1, output_padding: 0, size, transposed: false, ...more });

export const CASES = {
  "no padding": from(4, 3, 1, 0),
  "half padding": from(5, 3, 1, 1),
  "full padding": from(5, 3, 1, 2),
  "stride 2": from(5, 3, 2, 0),
  "stride 2, a remainder": from(6, 3, 2, 1),
  "dilation 2": from(7, 3, 1, 0, { dilation: 2 }),
  "up by 2, even overlap": from(4, 4, 2, 1, { transposed: true }),
  "up by 2, uneven overlap": from(4, 3, 2, 1, { transposed: true, output_padding: 1 }),
};
