// The window of GridLab as a grid of inputs, shaded by their paths, and the curve of its frequency response.
import { fit } from "./rf_image_view.js";
import { INK, POINTED } from "./grid_lab_stack.js";
import { cividis } from "./stitch_lab_views.js";
import { readerOf, angleName } from "./grid_lab_words.js";

const LETTERS = "14px system-ui, sans-serif";
export const READER_COLOURS = { own: "#0072b2", other: "#f0b54a", both: "#2b2b2b" };
export const shadeOf = (count, most) => cividis(most > 1 ? Math.log(count) / Math.log(most) : 0.5);

// Slanted lines over whatever the clip leaves.
function stripes(context, width, height, gap) {
  context.beginPath();
  for (let start = -height; start < width; start += gap) { context.moveTo(start, height); context.lineTo(start + height, 0); }
  Object.assign(context, { strokeStyle: "#9a8f7a", lineWidth: 1 });
  context.stroke();
}

export class WindowView {
  constructor(canvas) {
    this.canvas = canvas;
  }

  // extra: columns to the right, for the neighbour's window.
  measure(half, extra, width, most) {
    const units = 2 * half + 1;
    const side = Math.min(44, (width - 2) / (units + extra), (most - 2) / units);
    Object.assign(this, { half, extra, units, side: side >= 6 ? Math.floor(side) : side });
    this.canvas.dataset.cells = JSON.stringify([this.side, half, extra]);
  }

  // Left, top, width and height, in whole pixels: else the ground would shine through between small cells.
  box([row, column]) {
    const edge = (offset) => Math.round(1 + (offset + this.half) * this.side);
    return [edge(column), edge(row), edge(column + 1) - edge(column), edge(row + 1) - edge(row)];
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [row, column] = [event.clientY - box.top, event.clientX - box.left].map((v) => Math.floor((v - 1) / this.side) - this.half);
    return [Math.max(-this.half, Math.min(this.half, row)), Math.max(-this.half, Math.min(this.half + this.extra, column))];
  }

  // counts: along an axis; compared: whether to show who reads instead of how often; pointed: {row, column}, either null for a whole line.
  draw({ counts, compared, pointed }) {
    const [width, height] = [(this.units + this.extra) * this.side + 2, this.units * this.side + 2];
    const context = fit(this.canvas, width, height);
    context.fillStyle = "#f3f1ec";
    context.fillRect(0, 0, width, height);
    stripes(context, width, height, 6);
    const most = Math.max(...counts);
    const isNumbered = this.fits(context, `${most * most}`) && !compared;
    for (let row = -this.half; row <= this.half; row += 1) {
      for (let column = -this.half; column <= this.half + this.extra; column += 1) {
        const down = counts[row + this.half];
        const [own, other] = [down * (counts[column + this.half] ?? 0), this.extra ? down * (counts[column - 1 + this.half] ?? 0) : 0];
        if (compared) this.reader(context, [row, column], readerOf(own, other));
        else if (own) this.count(context, [row, column], own, most * most, isNumbered);
      }
    }
    if (this.side >= 9) this.rules(context, width, height);
    this.middle(context, [0, 0], INK);
    if (this.extra) this.middle(context, [0, 1], "#8a4a00");
    if (pointed) this.ring(context, pointed);
  }

  fits(context, words) {
    context.font = LETTERS;
    return context.measureText(words).width < this.side - 3 && this.side >= 17;
  }

  count(context, cell, count, most, isNumbered) {
    const [x, y, width, height] = this.box(cell);
    const colour = shadeOf(count, most);
    context.fillStyle = `rgb(${colour})`;
    context.fillRect(x, y, width, height);
    if (!isNumbered) return;
    context.fillStyle = colour[0] + colour[1] + colour[2] > 380 ? "#000" : "#fff";
    Object.assign(context, { font: LETTERS, textAlign: "center", textBaseline: "middle" });
    context.fillText(`${count}`, x + this.side / 2, y + this.side / 2 + 1);
  }

  // A disc for this output, a square for its neighbour, plain for both.
  reader(context, cell, kind) {
    if (kind === "hole") return;
    const [x, y, width, height] = this.box(cell);
    const [middle, r] = [this.side / 2, this.side * 0.2];
    context.fillStyle = READER_COLOURS[kind];
    context.fillRect(x, y, width, height);
    if (this.side < 9 || kind === "both") return;
    context.beginPath();
    Object.assign(context, { fillStyle: "#fff", strokeStyle: "#000", lineWidth: 1.5 });
    if (kind === "other") context.strokeRect(x + middle - 1.35 * r, y + middle - 1.35 * r, 2.7 * r, 2.7 * r);
    else context.arc(x + middle, y + middle, r, 0, 7);
    context.fill();
  }

  rules(context, width, height) {
    Object.assign(context, { strokeStyle: "rgba(70, 70, 70, 0.35)", lineWidth: 1 });
    context.beginPath();
    for (let x = 0; x <= this.units + this.extra; x += 1) { context.moveTo(x * this.side + 1, 0); context.lineTo(x * this.side + 1, height); }
    for (let y = 0; y <= this.units; y += 1) { context.moveTo(0, y * this.side + 1); context.lineTo(width, y * this.side + 1); }
    context.stroke();
  }

  // Where the output itself lies.
  middle(context, cell, colour) {
    this.boxed(context, ...this.box(cell), colour, this.side < 10 ? 1.5 : 2.5);
  }

  boxed(context, x, y, width, height, colour, line) {
    for (const [stroke, thick] of [["#fff", line + 2.5], [colour, line]]) {
      Object.assign(context, { strokeStyle: stroke, lineWidth: thick });
      context.strokeRect(x, y, width, height);
    }
  }

  ring(context, { row, column }) {
    const [x, y] = this.box([row ?? -this.half, column ?? -this.half]);
    const [width, height] = [column === null ? (this.units + this.extra) * this.side : this.side, row === null ? this.units * this.side : this.side];
    this.boxed(context, Math.max(2, x), Math.max(2, y), width, height, POINTED, 3);
  }
}

const [LEFT, RIGHT, TOP, BOTTOM] = [34, 12, 30, 26];

export class ResponseView {
  constructor(canvas) {
    this.canvas = canvas;
  }

  measure(width, height) {
    Object.assign(this, { width, height });
    this.canvas.dataset.axes = JSON.stringify([LEFT, width - LEFT - RIGHT, TOP, height - TOP - BOTTOM]);
  }

  x(omega) {
    return LEFT + (omega / Math.PI) * (this.width - LEFT - RIGHT);
  }

  y(size) {
    return TOP + (1 - size) * (this.height - TOP - BOTTOM);
  }

  // The frequency under the mouse; a marked place that is near draws it there.
  at(event, places) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const omega = Math.max(0, Math.min(1, (x - LEFT) / (this.width - LEFT - RIGHT))) * Math.PI;
    const near = places.find((place) => Math.abs(this.x(place.omega) - x) <= 4);
    return near ? near.omega : omega;
  }

  // gain(ω); places: from periodicPlaces; pointed: a frequency or null.
  draw({ gain, places, pointed }) {
    const context = fit(this.canvas, this.width, this.height);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, this.width, this.height);
    this.axes(context);
    this.marks(context, places);
    context.beginPath();
    const steps = 3 * Math.round(this.width);
    for (let n = 0; n <= steps; n += 1) {
      const omega = (Math.PI * n) / steps;
      context.lineTo(this.x(omega), this.y(Math.abs(gain(omega))));
    }
    Object.assign(context, { strokeStyle: "#0072b2", lineWidth: 2, lineJoin: "round" });
    context.stroke();
    places.forEach((place) => this.dot(context, place.omega, Math.abs(gain(place.omega)), place.passed));
    if (pointed !== null) this.pointer(context, pointed, Math.abs(gain(pointed)));
  }

  axes(context) {
    Object.assign(context, { font: LETTERS, fillStyle: INK, strokeStyle: "#999", lineWidth: 1, textBaseline: "middle", textAlign: "right" });
    context.beginPath();
    [0, 0.5, 1].forEach((size) => {
      context.moveTo(LEFT, this.y(size));
      context.lineTo(this.width - RIGHT, this.y(size));
      context.fillText(`${size}`, LEFT - 5, this.y(size));
    });
    context.stroke();
    Object.assign(context, { textBaseline: "alphabetic", textAlign: "left" });
    context.fillText("ω = 0", LEFT, this.height - 8);
    context.textAlign = "right";
    context.fillText("π", this.width - RIGHT + 4, this.height - 8);
    context.textAlign = "center";
    context.fillText("π/2", this.x(Math.PI / 2), this.height - 8);
  }

  // Dashed where a layer passes the wave unchanged; named where there is room.
  marks(context, places) {
    Object.assign(context, { strokeStyle: "#d55e00", lineWidth: places.length > 16 ? 0.8 : 1.4 });
    context.setLineDash([4, 4]);
    context.beginPath();
    places.forEach(({ omega }) => { context.moveTo(this.x(omega), this.y(0)); context.lineTo(this.x(omega), TOP - 4); });
    context.stroke();
    context.setLineDash([]);
    Object.assign(context, { fillStyle: "#8a3c00", textAlign: "center", textBaseline: "alphabetic", font: LETTERS });
    [...places].sort((a, b) => a.d - b.d || a.m - b.m).reduce((taken, place) => this.name(context, place, taken), []);
  }

  name(context, place, taken) {
    const words = angleName(place);
    const width = context.measureText(words).width;
    const x = Math.min(this.x(place.omega), this.width - width / 2 - 1);
    if (taken.some(([left, right]) => x + width / 2 + 5 > left && x - width / 2 - 5 < right)) return taken;
    context.fillText(words, x, TOP - 10);
    return [...taken, [x - width / 2, x + width / 2]];
  }

  // Full: all layers pass it.
  dot(context, omega, size, passed) {
    context.beginPath();
    context.arc(this.x(omega), this.y(size), passed ? 6 : 4, 0, 7);
    Object.assign(context, { fillStyle: passed ? "#d55e00" : "#fff", strokeStyle: "#d55e00", lineWidth: 2 });
    context.fill();
    context.stroke();
  }

  pointer(context, omega, size) {
    Object.assign(context, { strokeStyle: POINTED, lineWidth: 2 });
    context.beginPath();
    context.moveTo(this.x(omega), this.y(0));
    context.lineTo(this.x(omega), this.y(size));
    context.stroke();
    context.beginPath();
    context.arc(this.x(omega), this.y(size), 8, 0, 7);
    context.stroke();
  }
}
