// The drawn parts of CRFLab: the photograph with labels and scribbles, and the free energy. Sizes are in CSS pixels.
import { NOTHING } from "./crf_lab_maths.js";
import { grouped } from "./crf_lab_words.js";

const [INK, LIT] = ["#222", "#0072b2"];
const [PERIOD, LINE] = [14, 2.5];
const DARKER = 0.45;
const BLACK = [0, 0, 0];
const WHITE = 0xffffffff;

// Whether a pixel lies on a line or dot of a label's hatch.
export function onHatch(hatch, x, y) {
  const within = (value) => ((value % PERIOD) + PERIOD) % PERIOD < LINE;
  if (hatch.includes(".")) return (x % 9) < 3 && (y % 9) < 3;
  if (hatch.includes("/")) return within(x + y);
  if (hatch.includes("\\")) return within(x - y);
  if (hatch.includes("-")) return within(y);
  return hatch.includes("|") && within(x);
}

function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

// A swatch with a label's colour and hatch.
export function drawSwatch(canvas, colour, hatch) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  for (let y = 0; y < canvas.height; y += 1) {
    for (let x = 0; x < canvas.width; x += 1) {
      const shade = onHatch(hatch, x, y) ? DARKER : 1;
      picture.data.set([...colour.map((part) => part * shade), 255], 4 * (y * canvas.width + x));
    }
  }
  context.putImageData(picture, 0, 0);
}

export class PhotoView {
  constructor(canvas, image, [height, width], palette, hatches) {
    Object.assign(this, { canvas, image, height, width, palette, hatches, layer: document.createElement("canvas") });
  }

  show(room, high) {
    this.scale = Math.max(1, Math.min(room / this.width, high / this.height));
    this.size = [Math.floor(this.width * this.scale), Math.floor(this.height * this.scale)];
    Object.assign(this.layer, { width: this.size[0], height: this.size[1] });
    this.picture = new ImageData(...this.size); // written over and over: a new one for each drawing is much to clear away
    this.columns = Int32Array.from({ length: this.size[0] }, (_, x) => Math.min(this.width - 1, Math.floor(x / this.scale)));
    this.rows = Int32Array.from({ length: this.size[1] }, (_, y) => Math.min(this.height - 1, Math.floor(y / this.scale)));
    this.lines = this.hatches.map((hatch) => this.hatched(hatch));
    this.context = sized(this.canvas, ...this.size);
    this.canvas.dataset.scale = `${this.scale}`;
  }

  hatched(hatch) {
    const [wide, high] = this.size;
    return Uint8Array.from({ length: wide * high }, (_, n) => Number(onHatch(hatch, n % wide, Math.floor(n / wide))));
  }

  // Photograph, labels over it (opacity), scribbles on top. Only where something of it has changed.
  compose(labels, marks, opacity) {
    const [wide, high] = this.size;
    const { rows, columns, width, lines } = this;
    const { shown, plain, hatched, border } = this.mix(labels, marks, opacity);
    const picture = new Uint32Array(this.picture.data.buffer);
    for (let y = 0, n = 0; y < high; y += 1) {
      const row = rows[y] * width;
      const above = rows[Math.max(0, y - 1)] * width;
      for (let x = 0; x < wide; x += 1, n += 1) {
        const cell = row + columns[x];
        const label = shown[cell];
        if (label === NOTHING) picture[n] = plain[cell];
        else if (marks[cell] !== NOTHING) picture[n] = this.onEdge(marks, label, x, y) ? WHITE : lines[label][n] ? hatched[cell] : plain[cell];
        else {
          const isBorder = labels[row + columns[x ? x - 1 : 0]] !== label || labels[above + columns[x]] !== label;
          picture[n] = isBorder ? border[cell] : lines[label][n] ? hatched[cell] : plain[cell];
        }
      }
    }
    this.layer.getContext("2d").putImageData(this.picture, 0, 0);
  }

  // For every pixel of the photograph: what is shown on it, and its colour, that of its hatch and that of a border.
  mix(labels, marks, opacity) {
    const [shown, [plain, hatched, border]] = [marks.slice(), Array.from({ length: 3 }, () => new Uint32Array(marks.length))];
    const line = Math.min(1, 1.5 * opacity);
    for (let cell = 0; cell < marks.length; cell += 1) {
      if (marks[cell] === NOTHING && labels) shown[cell] = labels[cell];
      const label = shown[cell];
      const paint = label === NOTHING ? BLACK : this.palette[label];
      const share = label === NOTHING ? 0 : marks[cell] !== NOTHING ? 1 : opacity;
      plain[cell] = this.blend(cell, paint, 1, share);
      hatched[cell] = this.blend(cell, paint, DARKER, share);
      border[cell] = this.blend(cell, BLACK, 1, line);
    }
    return { shown, plain, hatched, border };
  }

  // Red, green, blue and 255 as one number; every browser of today keeps the lowest byte first.
  blend(cell, paint, shade, share) {
    const { image } = this;
    const part = (n) => Math.round(image[3 * cell + n] + share * (paint[n] * shade - image[3 * cell + n]));
    return ((255 << 24) | (part(2) << 16) | (part(1) << 8) | part(0)) >>> 0;
  }

  // The rim of a scribble is white, so that it stands out from the labels under it.
  onEdge(marks, mark, x, y) {
    const [wide, high] = this.size;
    const at = (column, row) => marks[this.rows[Math.max(0, Math.min(high - 1, row))] * this.width + this.columns[Math.max(0, Math.min(wide - 1, column))]];
    return at(x - 2, y) !== mark || at(x + 2, y) !== mark || at(x, y - 2) !== mark || at(x, y + 2) !== mark;
  }

  // pen: { label, width, isDown } around the cell that is pointed at, or null.
  draw(cell, pen) {
    const { context, scale } = this;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.layer, 0, 0, ...this.size);
    if (!cell) return;
    const [y, x] = cell.map((place) => (place + 0.5) * scale);
    const colour = pen.label === NOTHING ? "#fff" : `rgb(${this.palette[pen.label]})`;
    const radius = Math.max(5, (pen.width / 2) * scale);
    for (const [stroke, line] of [["#000", 5], ["#fff", 3.4], [pen.isDown ? "#000" : colour, 1.8]]) {
      Object.assign(context, { strokeStyle: stroke, lineWidth: line });
      context.setLineDash(pen.label === NOTHING ? [6, 4] : []);
      context.beginPath();
      context.arc(x, y, radius + 1, 0, 2 * Math.PI);
      context.moveTo(x, y);
      for (const [right, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + right * (radius + 2), y + down * (radius + 2));
        context.lineTo(x + right * (radius + 9), y + down * (radius + 9));
      }
      context.stroke();
    }
    context.setLineDash([]);
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value / this.scale)));
    return [place(event.clientY - box.top, this.height), place(event.clientX - box.left, this.width)];
  }
}

// The free energy of every iteration, the one shown ringed.
export class EnergyView {
  constructor(canvas) {
    this.canvas = canvas;
  }

  show(width, height) {
    Object.assign(this, { width, height, context: sized(this.canvas, width, height) });
  }

  place(step, energies) {
    const [top, low] = [Math.max(...energies), Math.min(...energies)];
    const across = (this.width - this.left - 16) / (energies.length - 1);
    return [this.left + step * across, 14 + ((top - energies[step]) / (top - low || 1)) * (this.height - 60)];
  }

  draw(energies, step) {
    const { context, width, height } = this;
    context.clearRect(0, 0, width, height);
    context.font = "14px system-ui, sans-serif";
    if (!energies.length) return this.text("draw first", width / 2, height / 2, "center");
    const [top, low] = [Math.max(...energies), Math.min(...energies)];
    this.left = 14 + Math.max(...[top, low].map((value) => context.measureText(grouped(value)).width));
    this.energies = energies;
    const places = energies.map((_, n) => this.place(n, energies));
    this.axes(places, [top, low]);
    Object.assign(context, { strokeStyle: LIT, fillStyle: LIT, lineWidth: 2 });
    context.beginPath();
    places.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    places.forEach(([x, y], n) => {
      context.beginPath();
      context.arc(x, y, n === step ? 7 : 4, 0, 2 * Math.PI);
      Object.assign(context, { fillStyle: n === step ? "#fff" : LIT, strokeStyle: n === step ? "#d55e00" : LIT, lineWidth: n === step ? 3.5 : 1 });
      context.fill();
      context.stroke();
    });
    return undefined;
  }

  axes(places, [top, low]) {
    const { context, height, left, width } = this;
    Object.assign(context, { strokeStyle: "#bbb", lineWidth: 1 });
    context.strokeRect(left - 8, 6, width - left, height - 44);
    this.text(grouped(top), left - 12, 14, "right");
    if (top !== low) this.text(grouped(low), left - 12, height - 46, "right");
    const every = places.length > 12 ? 4 : 2;
    places.forEach(([x], n) => { if (n % every === 0) this.text(`${n}`, x, height - 27, "center"); });
    this.text("iteration", (left + width) / 2, height - 9, "center");
  }

  text(words, x, y, textAlign) {
    Object.assign(this.context, { textAlign, textBaseline: "middle", fillStyle: INK });
    this.context.fillText(words, x, y);
  }

  stepAt(event) {
    if (!this.energies?.length) return null;
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const step = Math.round(((x - this.left) / (this.width - this.left - 16)) * (this.energies.length - 1));
    return Math.max(0, Math.min(this.energies.length - 1, step));
  }
}
