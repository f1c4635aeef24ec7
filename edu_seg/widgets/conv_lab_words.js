// The sentences of ConvLab.
import { isSmall, otherSide, sizesOf, tiesOf, unreached } from "./conv_lab_maths.js";

const MOST_LISTED = 4;
const at = (index, size) => `(${Math.floor(index / size)}, ${index % size})`;
const many = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
export const matrixName = (state) => (state.transposed ? "Cᵀ" : "C");

function listed(ties, size) {
  if (ties.length <= MOST_LISTED) return `: ${ties.map(([cell, tap]) => `${at(cell, size)} by tap ${tap}`).join(", ")}`;
  const lines = [ties.map(([cell]) => Math.floor(cell / size)), ties.map(([cell]) => cell % size)];
  const [rows, columns] = lines.map((values) => [...new Set(values)].join(", "));
  return `, in rows ${rows} and columns ${columns}`;
}

const VERBS = {
  convolution: { output: ["reads", "input cell"], input: ["is read by", "output cell"] },
  transposed: { output: ["sums", "input cell"], input: ["is spread over", "output cell"] },
};

function nothing(state, side, index) {
  if (isSmall(state, side)) return state.transposed ? "is cut off: all its taps fall on the padding" : "reads only padding";
  const { large } = sizesOf(state);
  const isRest = unreached(state)(Math.floor(index / large), index % large) === "remainder";
  if (state.transposed) return isRest ? "gets nothing: output padding, which no input reaches" : "gets nothing: the kernel leaves a gap here";
  return isRest ? "is read by no output: it is what the floor leaves over" : "is read by no output: the windows step over it";
}

// side, index: the cell that is pointed at. entry: [row, column] where it is pointed at in the matrix.
export function tieWords(state, side, index, entry = null) {
  const sizes = sizesOf(state);
  const { ties, outside } = tiesOf(state, side, index);
  const own = `${side === "output" ? "Output" : "Input"} ${at(index, sizes[side])}, ${side === "output" ? "row" : "column"} ${index} of ${matrixName(state)},`;
  const [verb, noun] = VERBS[state.transposed ? "transposed" : "convolution"][side];
  const does = ties.length ? `${verb} ${many(ties.length, noun)}${listed(ties, sizes[otherSide(side)])}` : nothing(state, side, index);
  const lost = ties.length && outside.length ? `; ${many(outside.length, "tap")} ${outside.length === 1 ? "falls" : "fall"} on ${state.transposed ? "what the padding cuts off" : "the padding"}` : "";
  return `${entryWords(state, entry)}${own} ${does}${lost}.`;
}

function entryWords(state, entry) {
  if (!entry) return "";
  const tap = tiesOf(state, "output", entry[0]).ties.find(([cell]) => cell === entry[1])?.[1];
  return `Row ${entry[0]}, column ${entry[1]} is ${tap ? `tap ${tap}` : "0"}. `;
}

// What is left over, for all cells together.
export function restWords(state) {
  const { remainder } = sizesOf(state);
  const lines = remainder === 1 ? "row and column" : `${remainder} rows and columns`;
  if (!remainder) return state.transposed ? "" : "The floor leaves nothing over.";
  if (state.transposed) return `Output padding adds the last ${lines}; no window lies on what is hatched.`;
  return `Remainder ${remainder}: the floor leaves the last ${lines} of the ${state.padding ? "padded " : ""}input unused.`;
}
