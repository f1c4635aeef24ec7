// The sentences and numbers of CostLab.
export const LAYER = { name: 0, kind: 1, part: 2, channels: 3, height: 4, width: 5, bytes: 6, work: 7 }; // places in a layer's row

const digits = (value, whole = 100) => (value >= whole ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
export const mib = (bytes) => (bytes < 2 ** 17 ? `${digits(bytes / 2 ** 10)} KiB` : `${digits(bytes / 2 ** 20)} MiB`);
export const percent = (part, whole) => `${part === 0 ? 0 : part < whole / 100 ? "less than 1" : Math.round((100 * part) / whole)}\u00a0%`;

export function workWords(count) {
  if (count === 0) return "no multiply-adds";
  const [power, sign] = count >= 1e8 ? [1e9, "⁹"] : count >= 1e5 ? [1e6, "⁶"] : [1e3, "³"];
  return `${digits(count / power, 1000)}\u00a0·\u00a010${sign} multiply-adds`;
}

export function netWords(network, { output_stride: stride, bytes, work, parts }, size) {
  const { name: part, bytes: most } = parts.reduce((best, next) => (next.bytes > best.bytes ? next : best));
  return `${network.name} at output stride ${stride}, one image of ${size} × ${size}: ${mib(bytes)} are held for the backward pass, ${percent(most, bytes)} of it in ${part}; ` +
    `${workWords(work)}; ${digits(network.parameters / 1e6)} million parameters.`;
}

export function layerWords({ bytes, work, layers }, at) {
  const [name, kind, part, channels, height, width, ownBytes, ownWork] = layers[at];
  const held = ownBytes ? `holds ${mib(ownBytes)}, ${percent(ownBytes, bytes)} of all` : "holds nothing that is not held already";
  const done = ownWork ? `${workWords(ownWork)}, ${percent(ownWork, work)} of all` : workWords(0);
  return `${name}${kind ? ` (${kind})` : ""}, row ${at + 1} of ${layers.length}${part === name ? "" : `, in ${part}`}: ${channels} channels of ${height} × ${width}; ${held}; ${done}.`;
}

// At most four marks from 0 up, at round numbers.
export function marksOf(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2, 5].map((factor) => factor * power).find((candidate) => most / candidate < 4);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, n) => Number((n * step).toPrecision(6)));
}
