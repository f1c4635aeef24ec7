// The sentences of ASPPLab.
import { VALID_COUNTS, meanShare, placesBy, sppRule, validHere } from "./aspp_lab_maths.js";

export function percent(share) {
  const value = 100 * share;
  if (value > 99 && value < 100) return `${Math.min(99.9, Number(value.toFixed(1)))}\u00a0%`;
  return `${value >= 10 || value === 0 ? Math.round(value) : Number(value.toPrecision(2))}\u00a0%`;
}

const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
const weights = (count) => (count === 9 ? "all 9 weights are" : count === 1 ? "1 of 9 weights is" : `${count} of 9 weights are`);

// place: of the unit that the filters are centred on.
export function unitWords({ map_size: n, rates, active }, place) {
  const count = validHere(n, rates[active], place);
  const rest = count === 9 ? "" : count === 1 ? "; the other 8 read padding: a 1 × 1 here" : `; the other ${9 - count} read${9 - count === 1 ? "s" : ""} padding`;
  const others = rates.filter((_, k) => k !== active).map((rate) => `rate ${rate}: ${validHere(n, rate, place)}`);
  const besides = others.length ? ` R${others.join("; ").slice(1)}.` : "";
  return `Row ${place[0]}, column ${place[1]} of ${n} × ${n}: at rate ${rates[active]}, ${weights(count)} on the map${rest}.${besides}`;
}

export function rateWords(n, rate) {
  if (rate >= n) return `Rate ${rate} on ${n} × ${n}: everywhere only the centre weight is valid. The 3 × 3 is a 1 × 1.`;
  const places = placesBy(n, rate);
  const shares = VALID_COUNTS.filter((taps) => places[taps]).map((taps, k) => `${taps}${k ? "" : " weights valid"} at ${percent(places[taps] / (n * n))}`);
  return `Rate ${rate} on ${n} × ${n}: ${listed(shares)} of the places; ${percent(meanShare(n, rate))} of the weights on average.`;
}

// What the rate in bold leaves of its filter.
export function rateNote(n, rate) {
  if (rate >= n) return { isWhole: false, words: `Rate ${rate} ≥ ${n}: the 3 × 3 has become a 1 × 1. Image pooling is the cure.` };
  const inner = n - 2 * rate;
  const formula = `((3 · ${n} − 2 · ${rate}) / (3 · ${n}))²`.replaceAll(" ", "\u00a0");
  const mean = `Mean share ${formula} = ${percent(meanShare(n, rate))}.`;
  return inner > 0
    ? { isWhole: true, words: `All 9 weights are valid at the inner ${inner} × ${inner} places. ${mean}` }
    : { isWhole: false, words: `No place has all 9 weights: 2 · ${rate} ≥ ${n}. ${mean}` };
}

const sizes = ([rows, columns]) => `${rows} × ${columns}`;
const span = (noun, [first, end]) => (end - first === 1 ? `${noun} ${first}` : `${noun}s ${first} to ${end - 1}`);
const unitName = (stride) => (stride === 1 ? "pixels" : "units");

// Both axes by SPP-net's rule: whether it makes the bins that were asked for, and how many.
export function sppNote([rows, columns], level) {
  const found = [rows, columns].map((size) => sppRule(size, level));
  if (found.some((one) => one === null)) return { holds: false, words: `SPP's rule fails: ${level} bins over ${Math.min(rows, columns)} units need a stride of ⌊${Math.min(rows, columns)}/${level}⌋ = 0.` };
  const [down, across] = found;
  const axis = (size, { window: wide, stride, made }) => `${size} units: window ⌈${size}/${level}⌉ = ${wide}, stride ⌊${size}/${level}⌋ = ${stride}, so ${made}`;
  const how = rows === columns ? axis(rows, down) : `${axis(rows, down)}; ${axis(columns, across)}`;
  const holds = down.made === level && across.made === level;
  return { holds, words: `${holds ? `SPP's rule makes ${level} × ${level} windows, too` : `SPP's rule makes ${down.made} × ${across.made} windows, not ${level} × ${level}`}. ${how}.` };
}

export function levelWords(units, level, { stride, rule }) {
  const made = `${sizes(units)} ${unitName(stride)}`;
  const shared = rule === "adaptive" && units.some((size) => size % level) ? " Neighbouring bins share units, as the size is no multiple." : "";
  if (level === 1) return `One bin over ${made}: the mean of the whole map, which is image pooling.`;
  if (rule === "adaptive") return `${level} × ${level} bins over ${made}: average pooling keeps ${level * level} means.${shared}`;
  const { holds, words } = sppNote(units, level);
  return holds ? `SPP's rule over ${made}: ${level} × ${level} windows, as asked for.` : words;
}

// windows: [rows, columns] of the bin, in units.
export function binWords([row, column], [down, across], units, mean, { level, stride, rule }) {
  const many = (down[1] - down[0]) * (across[1] - across[0]);
  const pixels = stride === 1 ? "" : ` of ${stride} × ${stride} pixels`;
  const made = units.map((size) => sppRule(size, level)?.made ?? 0);
  const spp = rule === "window" ? "" : made.every((one) => one === level) ? " SPP's rule makes as many." : ` SPP's rule would make ${sizes(made)} windows.`;
  return `Bin in row ${row}, column ${column}: the mean of ${span("row", down)} and ${span("column", across)}, ${many} ${many === 1 ? unitName(stride).slice(0, -1) : unitName(stride)}${pixels}: red ${Math.round(mean[0])}, green ${Math.round(mean[1])}, blue ${Math.round(mean[2])}.${spp}`;
}
