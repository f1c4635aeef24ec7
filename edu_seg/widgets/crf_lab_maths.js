// What CRFLab works out in the browser: strokes, their history, and what Python has sent of each iteration.
export const NOTHING = 255;
const REMEMBERED = 60;
const halves = Array.from({ length: 41 }, (_, n) => n / 2);
// What the sliders offer; Python may set what lies between.
export const OFFERED = {
  theta_alpha: [10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 130, 160, 200],
  theta_beta: [4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100],
  theta_gamma: [1, 1.5, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20],
  bilateral_weight: halves,
  spatial_weight: halves,
};
export const SETTINGS = Object.keys(OFFERED);

// The place of the offered value nearest to one that is set.
export function placeOf(name, value) {
  const away = OFFERED[name].map((offered) => Math.abs(offered - value));
  return away.indexOf(Math.min(...away));
}

export function fromBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let n = 0; n < raw.length; n += 1) bytes[n] = raw.charCodeAt(n);
  return bytes;
}

export function toBase64(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 8192) parts.push(String.fromCharCode(...bytes.subarray(start, start + 8192)));
  return btoa(parts.join(""));
}

// A kernel sends bytes, a page without one holds base64.
export function asBytes(value) {
  return typeof value === "string" ? fromBase64(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

// Every pixel within width / 2 of the line between two pixels: the same sums as `draw_strokes` in Python.
export function drawSegment(marks, [height, width], [row, column], [lastRow, lastColumn], label, thick) {
  const [down, right] = [lastRow - row, lastColumn - column];
  const [length, reach] = [Math.max(1, down * down + right * right), Math.ceil(thick / 2)];
  const rows = [Math.max(0, Math.min(row, lastRow) - reach), Math.min(height - 1, Math.max(row, lastRow) + reach)];
  const columns = [Math.max(0, Math.min(column, lastColumn) - reach), Math.min(width - 1, Math.max(column, lastColumn) + reach)];
  for (let y = rows[0]; y <= rows[1]; y += 1) {
    for (let x = columns[0]; x <= columns[1]; x += 1) {
      const along = Math.min(1, Math.max(0, ((y - row) * down + (x - column) * right) / length));
      const [awayDown, awayRight] = [y - row - along * down, x - column - along * right];
      if (awayDown * awayDown + awayRight * awayRight <= (thick * thick) / 4) marks[y * width + x] = label;
    }
  }
}

// The scribbles and their number of labels, with a way back and forth.
export class Scribbles {
  constructor(marks, size, classes) {
    Object.assign(this, { marks, size, classes, past: [], future: [] });
  }

  // Before a stroke or anything else that can be undone.
  begin() {
    this.past.push({ marks: this.marks.slice(), classes: this.classes });
    if (this.past.length > REMEMBERED) this.past.shift();
    this.future = [];
  }

  draw(first, last, label, thick) {
    drawSegment(this.marks, this.size, first, last, label, thick);
  }

  clear() {
    this.begin();
    this.marks.fill(NOTHING);
  }

  // Fewer labels: what was drawn with those that go is taken off.
  setClasses(classes) {
    this.begin();
    this.classes = classes;
    this.marks.forEach((mark, n) => { if (mark !== NOTHING && mark >= classes) this.marks[n] = NOTHING; });
  }

  step(from, to) {
    if (!from.length) return false;
    to.push({ marks: this.marks.slice(), classes: this.classes });
    Object.assign(this, from.pop());
    return true;
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  get count() {
    let count = 0;
    for (let n = 0; n < this.marks.length; n += 1) if (this.marks[n] !== NOTHING) count += 1;
    return count;
  }
}

// All iterations: labels (steps × pixels); probabilities (steps × labels × pixels) in 255ths, or none yet.
export class Iterations {
  constructor(allLabels, allProbs, { classes, energies, moved }, pixels) {
    Object.assign(this, { allLabels, allProbs, classes, energies, moved, pixels, count: energies.length });
  }

  get isWhole() {
    return this.allProbs.length > 0;
  }

  labels(step) {
    return this.allLabels.subarray(step * this.pixels, (step + 1) * this.pixels);
  }

  // Of one pixel, one number a label; null while they have not come.
  probs(step, pixel) {
    if (!this.isWhole) return null;
    return Array.from({ length: this.classes }, (_, label) => this.allProbs[(step * this.classes + label) * this.pixels + pixel] / 255);
  }

  // How many pixels have each label.
  shares(step) {
    const counts = new Array(this.classes).fill(0);
    const labels = this.labels(step);
    for (let n = 0; n < labels.length; n += 1) counts[labels[n]] += 1;
    return counts;
  }
}
