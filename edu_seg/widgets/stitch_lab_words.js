// The sentences of StitchLab.
import { signed, sides } from "./rf_words.js";

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// Four decimals.
export const decimal = (v) => `${v < 0 && v.toFixed(4) !== "-0.0000" ? "−" : ""}${Math.abs(v).toFixed(4)}`;

// An error: small ones as a power of ten.
export function magnitude(v) {
  if (v === 0) return "0";
  if (v >= 0.001) return `${Number(v.toPrecision(3))}`;
  const [digits, power] = v.toExponential(1).split("e-");
  return `${digits} × 10⁻${[...power].map((digit) => RAISED[digit]).join("")}`;
}

const pair = (values) => `(${values.join(", ")})`;
const within = (first, step, size) => {
  const count = Math.ceil((size - first) / step);
  const shown = Array.from({ length: Math.max(0, Math.min(3, count)) }, (_, n) => first + n * step).join(", ");
  return count > 3 ? `${shown} …` : shown;
};

export function passWords(grid, step) {
  const [dy, dx] = grid.shiftOf(step - 1);
  const { filled } = grid.after[step];
  const own = filled - grid.after[step - 1].filled;
  const start = `Pass ${step} of ${grid.total}, shift ${pair([dy, dx])}: the network sees the image from row ${dy}, column ${dx} on.`;
  const where = own ? ` Its ${own} units fill rows ${within(dy, grid.stride, grid.cells[0])} and columns ${within(dx, grid.stride, grid.cells[1])};` : " None of its units is kept;";
  return `${start}${where} ${filled === grid.dense.length ? "all" : `${filled} of`} ${grid.dense.length} cells are filled.`;
}

// What verdict the filled cells give; `same` where rounding alone parts them from à trous.
export function verdictOf(grid, step) {
  const { filled, error, differing } = grid.after[step];
  const largest = `largest error of ${filled} filled cells: ${magnitude(error)}`;
  if (!differing) return { same: true, words: `✓ equal to à trous; ${largest}` };
  return { same: false, words: `✗ ${differing} ${differing === 1 ? "differs" : "differ"} from à trous; ${largest}` };
}

function readWords({ hull }, size) {
  const outside = hull[0] < 0 || hull[2] < 0 || hull[1] >= size[0] || hull[3] >= size[1];
  const where = `rows ${signed(hull[0])} to ${signed(hull[1])}, columns ${signed(hull[2])} to ${signed(hull[3])}`;
  return `It sees ${where}: ${sides(hull)} pixels${outside ? ", some outside of the image" : ""}.`;
}

export function cellWords(grid, cell, done) {
  const [pass, unit] = [grid.passOf(cell), grid.unitOf(cell)];
  const shift = grid.shiftOf(pass);
  const sums = cell.map((v, axis) => `${v} = ${grid.stride} · ${unit[axis]} + ${shift[axis]}`).join(" and ");
  const from = `unit ${pair(unit)} of pass ${pair(shift)}, as ${sums}`;
  const reads = readWords(grid.lookAt(pass, unit), grid.size);
  if (pass >= done) return `Cell ${pair(cell)} is still empty; pass ${pass + 1} will fill it: ${from}. À trous has ${decimal(grid.denseAt(cell))}. ${reads}`;
  const start = `Cell ${pair(cell)} is ${from}. Stitched ${decimal(grid.stitchedAt(cell))}, à trous ${decimal(grid.denseAt(cell))}`;
  if (!grid.differs(cell)) return `${start}: the same. ${reads}`;
  return `${start}: they differ by ${magnitude(grid.differenceAt(cell))}, for a pass pads its own crop, à trous the image. ${reads}`;
}

export function droppedWords(grid, pass, unit) {
  const { hull } = grid.lookAt(pass, unit);
  const which = [hull[1] >= grid.size[0] ? "rows" : "", hull[3] >= grid.size[1] ? "columns" : ""].filter(Boolean).join(" and ");
  return `Unit ${pair(unit)} of pass ${pair(grid.shiftOf(pass))} is dropped: it reaches ${which || "rows"} beyond the image, where the shifted copy holds zeros.`;
}
