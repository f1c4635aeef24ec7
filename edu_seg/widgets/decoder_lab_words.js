// The sentences of DecoderLab.
export const PLACES = ["upper left", "upper right", "lower left", "lower right"];
export const MODE_NAMES = { switches: "switches", fixed: "fixed places", shuffled: "shuffled switches" };
export const ORDINALS = { 1: "strongest", 2: "second", 3: "third", all: "all (norm)" };

export const thin = (number) => `${number}`.replace(/\B(?=(\d{3})+$)/g, "\u202f");
export const asPercent = (part, whole) => {
  const share = whole ? (100 * part) / whole : 0;
  return `${share >= 10 || share === 0 ? Math.round(share) : Number(share.toPrecision(2))}\u00a0%`;
};
export const sizeWords = (size) => size.join("\u00a0×\u00a0");
export const spot = (cell) => `(${cell.join(",\u00a0")})`;
const many = (count, noun) => `${thin(count)} ${noun}${count === 1 ? "" : "s"}`;
const sign = (text) => text.replace("-", "−");

// Three digits at most.
export function shortNumber(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e4 || size < 1e-3) return sign(value.toExponential(1));
  return sign(`${Number(value.toPrecision(size >= 100 ? 3 : 2))}`);
}

export function mapName(decoder, number, channel, names) {
  const stage = decoder.at(number);
  if (decoder.isNorm(stage, channel)) return `norm over ${stage.of === 1 ? "its one channel" : `all ${stage.of} channels`}`;
  const index = stage.channels[decoder.mapOf(stage, channel)];
  return stage.name === "score" ? `score of ${names[index]}` : `channel ${index} of ${stage.of}`;
}

const UNPOOLED = {
  switches: "each value goes to the place that its switch names",
  fixed: "each value goes to the upper left corner of its window, whatever its switch names",
  shuffled: "each value goes to the place that another window's switch names",
};

export function changeWords({ changed, near, band, pixels }, mode, width) {
  if (!changed) return `With ${MODE_NAMES[mode]} no label changes.`;
  return `With ${MODE_NAMES[mode]} ${many(changed, "label")} of ${thin(pixels)} ${changed === 1 ? "changes" : "change"} (${asPercent(changed, pixels)}); ` +
    `${asPercent(near, changed)} of ${changed === 1 ? "it" : "them"} within ${many(width, "pixel")} of a boundary, where ${asPercent(band, pixels)} of the image lies.`;
}

export function stageSentence(decoder, number, mode, channel) {
  const stage = decoder.at(number);
  const below = decoder.at(number - 1);
  const start = `Stage ${number + 1} of ${decoder.stages.length}, ${stage.name}, ${sizeWords(stage.size)}:`;
  if (!below) return `${start} the encoder's last map, the same whatever the switches. From here the decoder leads back to the pixels.`;
  if (stage.kind === "labels") return `${start.slice(0, -1)}. ${changeWords(decoder.changes(mode === "switches" ? "fixed" : mode), mode === "switches" ? "fixed" : mode, decoder.bandWidth)}`;
  if (stage.kind === "unpool") {
    const sparse = decoder.isNorm(stage, channel) ? "; of each channel a quarter is filled" : `; ${asPercent(decoder.share(number, mode, channel), 1)} of the map is filled`;
    return `${start} ${UNPOOLED[mode]}${sparse}.`;
  }
  const side = 1 + stage.reads[1] - stage.reads[0];
  if (side === 1) return `${start} a 1 × 1 convolution of ${below.name}: each unit reads one.`;
  return `${start} convolutions make it dense again: each unit reads ${sizeWords([side, side])} units of ${below.name}.`;
}

function unpooledWords(decoder, number, cell, mode, channel) {
  const [stage, below] = [decoder.at(number), decoder.at(number - 1)];
  const { values } = decoder.map(number, mode, channel);
  const here = `Unit ${spot(cell)} of ${stage.name}:`;
  const source = decoder.window(number, cell).unit;
  const value = shortNumber(decoder.value(number, channel, values[cell[0] * stage.size[1] + cell[1]]));
  if (decoder.isNorm(stage, channel)) return `${here} norm ${value}, of values of unit ${spot(source)} of ${below.name}; each channel has its own switch.`;
  const unit = source[0] * below.size[1] + source[1];
  const landed = decoder.landing(number, mode, channel, unit);
  const carried = shortNumber(decoder.value(number - 1, channel, decoder.map(number - 1, mode, channel).values[unit]));
  const place = PLACES[decoder.placesOf(number, mode, channel)[unit]];
  const named = { switches: `the switch of its window names ${place}`, fixed: `fixed: always ${place}`, shuffled: `shuffled: ${place}` }[mode];
  const truth = mode === "switches" ? "" : `; its own switch names ${PLACES[decoder.placesOf(number, "switches", channel)[unit]]}`;
  if (`${landed}` === `${cell}`) return `${here} ${value}, the value of unit ${spot(source)} of ${below.name}; ${named}${truth}.`;
  return `${here} empty. ${carried}, the value of unit ${spot(source)} of ${below.name}, is at ${spot(landed)}; ${named}${truth}.`;
}

export function unitSentence(decoder, number, cell, mode, other, channel, names) {
  const stage = decoder.at(number);
  if (stage.kind === "unpool") return unpooledWords(decoder, number, cell, mode, channel);
  const at = cell[0] * stage.size[1] + cell[1];
  const [own, theirs] = [mode, other].map((name) => decoder.map(number, name, channel).values[at]);
  if (stage.kind === "labels") {
    const near = decoder.band[at] ? ` It lies within ${many(decoder.bandWidth, "pixel")} of a boundary.` : "";
    return `Pixel ${spot(cell)}: ${names[own]} with ${MODE_NAMES[mode]}, ${own === theirs ? "the same" : names[theirs]} with ${MODE_NAMES[other]}.${near}`;
  }
  const [mine, yours] = [own, theirs].map((byte) => shortNumber(decoder.value(number, channel, byte)));
  const start = `Unit ${spot(cell)} of ${stage.name}, ${mapName(decoder, number, channel, names)}: ${mine} with ${MODE_NAMES[mode]}, ${yours} with ${MODE_NAMES[other]}.`;
  const window = decoder.window(number, cell);
  if (!window) return `Unit ${spot(cell)} of ${stage.name}, ${mapName(decoder, number, channel, names)}: ${mine}.`;
  const line = ([first, last]) => (first === last ? sign(`${first}`) : sign(`${first} to ${last}`));
  return `${start} It reads rows ${line(window.rows)}, columns ${line(window.columns)} of ${decoder.at(number - 1).name}.`;
}
