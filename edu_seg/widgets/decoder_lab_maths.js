// What DecoderLab was sent, and what it works out from it: unpooled maps, windows, what changes from one mode to another.
// place: 0 upper left, 1 upper right, 2 lower left, 3 lower right; a cell is [row, column].

export function fromText(text) {
  const raw = atob(text);
  return Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
}

const product = ([height, width]) => height * width;

export class Decoder {
  constructor({ stages, modes, bytes, band }) {
    Object.assign(this, { modes, bandWidth: band });
    const all = fromText(bytes);
    let start = 0;
    const take = (count) => { start += count; return all.subarray(start - count, start); };
    this.stages = stages.map((stage, number) => {
      const below = stages[number - 1];
      const [units, shown] = [product(stage.size), stage.channels.length];
      const held = modes.map(() => {
        if (stage.kind === "labels") return { labels: take(units) };
        if (stage.kind === "map") return { maps: Array.from({ length: shown + 1 }, () => take(units)) };
        return { places: Array.from({ length: shown }, () => take(product(below.size))), norm: take(units) };
      });
      return { ...stage, number, held };
    });
    this.pixels = product(this.stages.at(-1).size);
  }

  at(number) {
    return this.stages[number];
  }

  numberOf(name) {
    return this.stages.findIndex((stage) => stage.name === name);
  }

  // Which of a stage's maps a channel stands for: 1, 2, 3 or "all"; a thin map may have fewer.
  mapOf(stage, channel) {
    const shown = stage.channels.length;
    if (stage.kind === "labels") return 0;
    return channel === "all" ? shown : Math.min(shown, channel) - 1;
  }

  isNorm(stage, channel) {
    return stage.kind !== "labels" && this.mapOf(stage, channel) === stage.channels.length;
  }

  held(number, mode) {
    return this.stages[number].held[this.modes.indexOf(mode)];
  }

  placesOf(number, mode, channel) {
    const stage = this.at(number);
    return stage.kind === "unpool" && !this.isNorm(stage, channel) ? this.held(number, mode).places[this.mapOf(stage, channel)] : null;
  }

  // { values: bytes, filled: null or where a value lies } of a map; an unpooled channel is made here, value by value.
  map(number, mode, channel) {
    const [stage, held] = [this.at(number), this.held(number, mode)];
    if (stage.kind === "labels") return { values: held.labels, filled: null };
    if (stage.kind === "map") return { values: held.maps[this.mapOf(stage, channel)], filled: null };
    if (this.isNorm(stage, channel)) return { values: held.norm, filled: null };
    held.made ??= [];
    held.made[this.mapOf(stage, channel)] ??= this.unpooled(number, mode, channel);
    return held.made[this.mapOf(stage, channel)];
  }

  unpooled(number, mode, channel) {
    const stage = this.at(number);
    const index = this.mapOf(stage, channel);
    const values = new Uint8Array(product(stage.size)).fill(this.zero(stage.ranges[index]));
    const filled = new Uint8Array(values.length);
    const below = this.map(number - 1, mode, channel).values;
    below.forEach((value, unit) => {
      const [row, column] = this.landing(number, mode, channel, unit);
      values[row * stage.size[1] + column] = value;
      filled[row * stage.size[1] + column] = 1;
    });
    return { values, filled };
  }

  // Where unpooling puts unit n of the stage below.
  landing(number, mode, channel, unit) {
    const across = this.at(number - 1).size[1];
    const place = this.placesOf(number, mode, channel)?.[unit] ?? 0;
    return [2 * Math.floor(unit / across) + (place >> 1), 2 * (unit % across) + (place & 1)];
  }

  zero([low, high]) {
    return high > low ? Math.round((-low / (high - low)) * 255) : 0;
  }

  value(number, channel, byte) {
    const [low, high] = this.at(number).ranges[this.mapOf(this.at(number), channel)];
    return low + (byte / 255) * (high - low);
  }

  // What a unit reads of the stage below: { rows: [first, last], columns, unit }; unit: the one whose value unpooling puts in its window.
  window(number, [row, column]) {
    const [stage, below] = [this.at(number), this.at(number - 1)];
    if (!below) return null;
    if (stage.kind === "unpool") return { rows: [row >> 1, row >> 1], columns: [column >> 1, column >> 1], unit: [row >> 1, column >> 1] };
    const [first, last] = stage.reads;
    return { rows: [row + first, row + last], columns: [column + first, column + last], unit: null };
  }

  // The unit of the stage below, or above, that has to do with a unit most directly: a value is followed to where it is put.
  followed(from, to, cell, mode, channel) {
    let here = cell;
    for (let n = from; n !== to && here; n += Math.sign(to - from)) here = to > from ? this.above(n + 1, here, mode, channel) : this.below(n, here);
    return here;
  }

  above(number, [row, column], mode, channel) {
    const stage = this.at(number);
    if (stage.kind === "unpool") return this.landing(number, mode, channel, row * this.at(number - 1).size[1] + column);
    return [row, column].map((part, axis) => Math.min(stage.size[axis] - 1, part));
  }

  below(number, [row, column]) {
    const size = this.at(number - 1).size;
    const here = this.at(number).kind === "unpool" ? [row >> 1, column >> 1] : [row, column];
    return here.map((part, axis) => Math.min(size[axis] - 1, part));
  }

  // Where two modes differ, as bytes: 0 the same; of labels 255 another.
  difference(number, mode, other, channel) {
    const [one, two] = [mode, other].map((name) => this.map(number, name, channel).values);
    const isLabels = this.at(number).kind === "labels";
    return one.map((value, n) => (isLabels ? 255 * Number(value !== two[n]) : Math.abs(value - two[n])));
  }

  share(number, mode, channel) {
    const { filled, values } = this.map(number, mode, channel);
    return filled ? filled.reduce((sum, one) => sum + one, 0) / values.length : 1;
  }

  // The pixels within `bandWidth` rows and columns of another label, all with the switches.
  get band() {
    this.nearBand ??= boundaryBand(this.held(this.stages.length - 1, "switches").labels, this.at(this.stages.length - 1).size, this.bandWidth);
    return this.nearBand;
  }

  // Of the labels: how many change from the switches to a mode, how many of these lie in the band, and the band's pixels.
  changes(mode) {
    const changed = this.difference(this.stages.length - 1, mode, "switches", 1);
    const counts = { changed: 0, near: 0, band: 0, pixels: this.pixels };
    changed.forEach((one, n) => {
      counts.changed += Number(one > 0);
      counts.near += Number(one > 0 && this.band[n] > 0);
      counts.band += this.band[n];
    });
    return counts;
  }
}

export function boundaryBand(labels, [height, width], reach) {
  const isNear = (row, column) => {
    for (let y = Math.max(0, row - reach); y <= Math.min(height - 1, row + reach); y += 1) {
      for (let x = Math.max(0, column - reach); x <= Math.min(width - 1, column + reach); x += 1) if (labels[y * width + x] !== labels[row * width + column]) return 1;
    }
    return 0;
  };
  return Uint8Array.from(labels, (_, n) => isNear(Math.floor(n / width), n % width));
}
