// The sentences of GridLab.
export const grouped = (number) => `${number}`.replace(/\B(?=(\d{3})+$)/g, "\u202f");
export const percent = (part, whole) => {
  const share = (100 * part) / whole;
  return `${share >= 10 || share === 0 ? Math.round(share) : share.toPrecision(2)}\u00a0%`;
};
const withSign = (v) => (v > 0 ? `+${v}` : v < 0 ? `−${-v}` : "0");
const many = (count, noun) => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
const places = (row, column) => `(${withSign(row)},\u00a0${withSign(column)})`;

// The rule beside the truth.
export function ruleWords({ gap, passes, gapFree }, kernel) {
  if (gap === null) return { rule: "one layer: the rule needs two", agrees: null };
  const rule = `M₂ = ${gap} ${passes ? "≤" : ">"} ${kernel}: ${passes ? "passes" : "fails"}`;
  return { rule, agrees: passes === gapFree };
}

export const truthWords = ({ gapFree, read, total }) => (gapFree ? "no holes" : `${many(total - read, "hole")}`);

export function stackWords({ dilations, kernel_size: k }, facts) {
  const { window: side, read, total, right } = facts;
  const holes = facts.gapFree ? "every one" : `${grouped(read)} of them (${percent(read, total)})`;
  const { agrees } = ruleWords(facts, k);
  const rule = agrees === null ? "" : ` The rule M₂ ≤ k says ${facts.passes ? "no holes" : "holes"}${agrees ? "" : ", which is wrong here"}.`;
  const shared = right ? `shares ${percent(right, read)} of its inputs` : "shares no input";
  return `Dilation${dilations.length === 1 ? "" : "s"} ${dilations.join(", ")}: of ${side} × ${side} inputs, ${holes} ${facts.gapFree ? "is" : "are"} read.${rule} An output ${shared} with its right neighbour.`;
}

// Who reads an input, of this output and its right neighbour.
export const readerOf = (own, other) => (own && other ? "both" : own ? "own" : other ? "other" : "hole");
const READERS = { both: "read by both outputs", own: "read by this output only", other: "read by its right neighbour only", hole: "read by neither output" };

export function cellWords(facts, [row, column], compared) {
  const { counts, paths } = facts;
  const half = (counts.length - 1) / 2;
  const [down, across] = [counts[row + half] ?? 0, counts[column + half] ?? 0];
  const reader = compared ? ` It is ${READERS[readerOf(down * across, down * (counts[column - 1 + half] ?? 0))]}.` : "";
  const where = `Input ${places(row, column)} from the middle, rows then columns:`;
  if (!(down * across)) return `${where} ${compared && !(column + half in counts) ? "outside this output's window" : "no path, a hole"}.${reader}`;
  return `${where} ${down} × ${across} = ${many(down * across, "path")} of ${grouped(paths)}.${reader}`;
}

// reached: from reachedUnits.
export function unitWords({ dilations, kernel_size: k }, reached, level, offset, compared) {
  const name = level === 0 ? `Input ${withSign(offset)}` : level === dilations.length ? `Output ${withSign(offset)}` : `Unit ${withSign(offset)} of layer ${level}`;
  const [count, all] = [reached[level].get(offset) ?? 0, k ** dilations.length];
  const its = compared && reached[level].has(offset - 1);
  if (!count) return `${name}: on no path to the output at 0${its ? ", but on one to its neighbour at +1" : level === 0 && !compared ? ", a hole" : ""}.`;
  const taps = level ? ` It reads ${Array.from({ length: k }, (_, tap) => withSign(offset + (tap - (k - 1) / 2) * dilations[level - 1])).join(", ")} below.` : "";
  return `${name}: ${many(count * k ** level, "path")} of the ${grouped(all)} along an axis ${count * k ** level === 1 ? "passes" : "pass"} here${its ? "; its neighbour at +1 reads it too" : ""}.${taps}`;
}

export function angleName({ m, d }) {
  const top = 2 * m;
  const [above, below] = d % 2 ? [top, d] : [m, d / 2];
  return `${above === 1 ? "" : above}π${below === 1 ? "" : `/${below}`}`;
}

export function waveWords(omega, gain, place) {
  const at = place ? `ω = ${angleName(place)}` : omega ? `ω = ${(omega / Math.PI).toFixed(2)}π` : "ω = 0";
  const period = omega ? `a wave of period ${Number(((2 * Math.PI) / omega).toFixed(2))}` : "a constant";
  const size = Math.abs(gain);
  const fate = size > 0.9999 ? "passes unchanged" : `is scaled to ${size < 0.005 ? "less than 1 %" : `${Math.round(100 * size)} %`}${gain < -0.005 ? ", its sign turned" : ""}`;
  return `${at}: ${period} ${fate}.`;
}
