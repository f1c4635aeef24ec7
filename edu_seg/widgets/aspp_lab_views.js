// The map of ASPPLab: its units, the taps of every rate around one of them, and those that fall beyond the border.
import { fit } from "./rf_image_view.js";
import { middleOf, stretches, tapsAt } from "./aspp_lab_maths.js";

export const INK = "#222222";
export const GLYPHS = ["●", "■", "◆", "▲"];
export const TYPE = "14px system-ui, sans-serif";
const TINTS = { 9: "#c3dcee", 6: "#d5e7f3", 4: "#e5f0f8", 2: "#f0f6fb", 1: "#fafcfe" };
const [PADDING, OFF] = ["#f3f1ec", "#767676"];

// The outline of a rate's mark: disc, square, diamond, triangle.
export function outline(context, kind, x, y, r) {
  context.beginPath();
  if (kind === 0) return context.arc(x, y, r, 0, 7);
  const corners = [null, [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]], [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]], [[0, -1.2], [1.15, 0.85], [-1.15, 0.85]]][kind];
  corners.forEach(([across, down]) => context.lineTo(x + across * r, y + down * r));
  return context.closePath();
}

export class TapsView {
  constructor(canvas, colours) {
    Object.assign(this, { canvas, colours });
  }

  // Around the map as much padding as the largest rate needs, if that leaves the map large.
  measure({ map_size: size, rates }, width) {
    const margin = Math.max(1.5, Math.min(Math.max(...rates) + 1, 0.6 * size));
    Object.assign(this, { size, margin, width, side: width / (size + 2 * margin) });
    this.canvas.dataset.units = JSON.stringify([this.margin, this.side]);
  }

  // The middle of a unit, in pixels.
  middle(at) {
    return (at + this.margin + 0.5) * this.side;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientY - box.top, event.clientX - box.left].map((v) => Math.max(0, Math.min(this.size - 1, Math.floor(v / this.side - this.margin))));
  }

  draw({ rates, active }, place) {
    const context = fit(this.canvas, this.width, this.width);
    context.fillStyle = PADDING;
    context.fillRect(0, 0, this.width, this.width);
    this.zones(context, rates[active]);
    this.border(context);
    this.frame(context, rates[active], this.colours[active], place);
    rates.forEach((rate, kind) => { if (kind !== active) this.taps(context, rate, kind, place, false); });
    this.taps(context, rates[active], active, place, true);
    this.dot(context, place);
  }

  // The map, shaded by how many weights are valid there, with the number where there is room.
  zones(context, rate) {
    const along = stretches(this.size, rate);
    const edge = (at) => (at + this.margin) * this.side;
    Object.assign(context, { font: TYPE, textAlign: "left", textBaseline: "top", strokeStyle: "#8fb0c6", lineWidth: 1 });
    along.forEach(([top, bottom, rows]) => along.forEach(([left, right, columns]) => {
      const [x, y, wide, high] = [edge(left), edge(top), (right - left) * this.side, (bottom - top) * this.side];
      context.fillStyle = TINTS[rows * columns];
      context.fillRect(x, y, wide, high);
      context.strokeRect(x, y, wide, high);
      if (Math.min(wide, high) < 22) return;
      context.fillStyle = "#3d5465";
      context.fillText(`${rows * columns}`, x + 6, y + 5);
    }));
  }

  border(context) {
    const [start, wide] = [this.margin * this.side, this.size * this.side];
    if (this.side >= 9) {
      context.beginPath();
      for (let n = 1; n < this.size; n += 1) {
        const at = start + n * this.side;
        context.moveTo(at, start); context.lineTo(at, start + wide);
        context.moveTo(start, at); context.lineTo(start + wide, at);
      }
      Object.assign(context, { strokeStyle: "rgba(60, 90, 110, 0.2)", lineWidth: 1 });
      context.stroke();
    }
    Object.assign(context, { strokeStyle: INK, lineWidth: 2 });
    context.strokeRect(start, start, wide, wide);
  }

  // The square that the taps of the rate in bold lie on.
  frame(context, rate, colour, place) {
    const [y, x] = place.map((at) => this.middle(at - rate));
    Object.assign(context, { strokeStyle: colour, lineWidth: 1.5 });
    context.globalAlpha = 0.45;
    context.setLineDash([5, 4]);
    context.strokeRect(x, y, 2 * rate * this.side, 2 * rate * this.side);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  taps(context, rate, kind, place, isBold) {
    const r = isBold ? 8 : 5;
    for (const { row, column, inside } of tapsAt(this.size, rate, place)) {
      const [y, x] = [this.middle(row), this.middle(column)];
      const held = [x, y].map((v) => Math.max(r + 3, Math.min(this.width - r - 3, v)));
      if (inside) this.mark(context, kind, x, y, r, this.colours[kind], "#fff");
      else if (held[0] !== x || held[1] !== y) this.arrow(context, held, [Math.sign(x - held[0]), Math.sign(y - held[1])]);
      else this.off(context, kind, x, y, r);
    }
  }

  mark(context, kind, x, y, r, fill, halo) {
    outline(context, kind, x, y, r);
    Object.assign(context, { fillStyle: fill, strokeStyle: halo, lineWidth: 2 });
    context.stroke();
    context.fill();
  }

  // Greyed and crossed out: it reads padding.
  off(context, kind, x, y, r) {
    this.mark(context, kind, x, y, r - 1, "#e2e0db", OFF);
    context.beginPath();
    [[-1, -1, 1, 1], [-1, 1, 1, -1]].forEach(([a, b, c, d]) => { context.moveTo(x + 0.4 * a * r, y + 0.4 * b * r); context.lineTo(x + 0.4 * c * r, y + 0.4 * d * r); });
    Object.assign(context, { strokeStyle: OFF, lineWidth: 1.5 });
    context.stroke();
  }

  // Farther away than is shown: it lies there.
  arrow(context, [x, y], [across, down]) {
    const turn = Math.atan2(down, across);
    context.save();
    context.translate(x, y);
    context.rotate(turn);
    context.beginPath();
    [[8, 0], [-4, -6], [-4, 6]].forEach(([a, b]) => context.lineTo(a, b));
    context.closePath();
    Object.assign(context, { fillStyle: "#e2e0db", strokeStyle: OFF, lineWidth: 1.5 });
    context.fill();
    context.stroke();
    context.restore();
  }

  // The unit itself, and, where units are large enough, its square.
  dot(context, place) {
    const [y, x] = place.map((at) => this.middle(at));
    this.mark(context, 0, x, y, 4, INK, "#fff");
    const half = Math.max(this.side / 2, 11);
    for (const [colour, line] of [["#fff", 4], [INK, 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }
}

export const placeOf = ({ centre, map_size: size }) => centre ?? middleOf(size);
