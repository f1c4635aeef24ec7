// What a stack of dilated convolutions reads, by arithmetic alone: the same as edu_seg/gridding.py.
// state: { dilations, kernel_size }; places are offsets from the middle; level 0 is the input, level n the output of layer n.

const sum = (values) => values.reduce((total, value) => total + value, 0);

export const windowOf = ({ dilations, kernel_size: k }) => 1 + (k - 1) * sum(dilations);
export const tapsOf = ({ dilations, kernel_size: k }, layer) => Array.from({ length: k }, (_, tap) => (tap - (k - 1) / 2) * dilations[layer]);

// Why a stack cannot be shown; null: it can. limits: { layers, dilations: [low, high], kernels, window }.
export function problemOf(state, { layers, dilations: [low, high], kernels, window: most }) {
  const { dilations } = state;
  if (!dilations.length) return "Give at least one dilation.";
  if (dilations.length > layers) return `${dilations.length} layers: at most ${layers} can be shown.`;
  const wrong = dilations.find((one) => !Number.isInteger(one) || one < low || one > high);
  if (wrong !== undefined) return `Dilation ${wrong}: an integer from ${low} to ${high}.`;
  if (!kernels.includes(state.kernel_size)) return `Kernel ${state.kernel_size}: one of ${kernels.join(", ")}.`;
  return windowOf(state) > most ? `A window of ${windowOf(state)} inputs: at most ${most} can be shown.` : null;
}

// How many paths lead from each input of the window to the output in its middle; 0 at a hole.
export function pathCounts(state) {
  let counts = [1];
  state.dilations.forEach((dilation) => {
    const next = new Array(counts.length + dilation * (state.kernel_size - 1)).fill(0);
    for (let tap = 0; tap < state.kernel_size; tap += 1) counts.forEach((count, at) => { next[at + tap * dilation] += count; });
    counts = next;
  });
  return counts;
}

// For every level, Map offset → number of paths from there to the output; only units that have one.
export function reachedUnits(state) {
  return Array.from({ length: state.dilations.length + 1 }, (_, level) => {
    const counts = pathCounts({ ...state, dilations: state.dilations.slice(level) });
    return new Map(counts.map((count, at) => [at - (counts.length - 1) / 2, count]).filter(([, count]) => count));
  });
}

// For every level, the units on a path through one unit, below it and above it; null where it has none.
export function throughUnit(state, reached, level, offset) {
  if (!reached[level].has(offset)) return null;
  const found = reached.map(() => new Set());
  found[level].add(offset);
  for (let at = level; at > 0; at -= 1) found[at].forEach((unit) => tapsOf(state, at - 1).forEach((tap) => found[at - 1].add(unit + tap)));
  for (let at = level; at < state.dilations.length; at += 1) {
    const taps = tapsOf(state, at);
    [...reached[at + 1].keys()].filter((unit) => taps.some((tap) => found[at].has(unit + tap))).forEach((unit) => found[at + 1].add(unit));
  }
  return found;
}

// [level below, unit above, unit below] of all ties between the units of a list of Sets or Maps.
export function tiesBetween(state, units) {
  return state.dilations.flatMap((_, level) => [...units[level + 1].keys()].flatMap((above) =>
    tapsOf(state, level).map((tap) => above + tap).filter((below) => units[level].has(below)).map((below) => [level, above, below])));
}

// M₂ of the rule for hybrid dilated convolution; null for one layer.
export function largestGap(dilations) {
  if (dilations.length < 2) return null;
  return dilations.slice(1, -1).reduceRight((gap, rate) => Math.max(gap - 2 * rate, 2 * rate - gap, rate), dilations.at(-1));
}

// The stack's gain with equal weights 1 / k, at a frequency in radians a unit.
export function gainAt(state, omega) {
  return state.dilations.reduce((gain, _, layer) => gain * sum(tapsOf(state, layer).map((tap) => Math.cos(tap * omega))) / state.kernel_size, 1);
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);
export const commonDivisor = (dilations) => dilations.reduce(divisor);

// Frequencies 2πm / d up to π that a layer passes unchanged: [m, d], in lowest terms, each once, with whether all layers do.
export function periodicPlaces(dilations) {
  const found = new Map();
  dilations.forEach((dilation) => {
    for (let m = 1; 2 * m <= dilation; m += 1) {
      const common = divisor(m, dilation);
      found.set(m / dilation, [m / common, dilation / common]);
    }
  });
  const places = [...found.keys()].sort((a, b) => a - b).map((share) => found.get(share));
  return places.map(([m, d]) => ({ m, d, omega: (2 * Math.PI * m) / d, passed: commonDivisor(dilations) % d === 0 }));
}

// All numbers of the table.
export function factsOf(state) {
  const { dilations, kernel_size: k } = state;
  const counts = pathCounts(state);
  const read = counts.filter(Boolean).length;
  const both = counts.filter((count, at) => count && counts[at + 1]).length;
  const gap = largestGap(dilations);
  return {
    counts, window: counts.length, read: read * read, total: counts.length ** 2, gapFree: read === counts.length, paths: (k * k) ** dilations.length,
    weights: dilations.length * k * k, dense: counts.length ** 2, gap, passes: gap === null ? null : gap <= k, right: both * read, diagonal: both * both,
    common: commonDivisor(dilations),
  };
}

export function pytorchStack({ dilations, kernel_size: k }) {
  const line = (dilation) => `    nn.Conv2d(1, 1, ${k}, padding=${((k - 1) / 2) * dilation}, dilation=${dilation}),`;
  return ["nn.Sequential(", ...dilations.map(line), ")"].join("\n");
}
