// The layers of GridLab along one axis: rows of units, the taps between them, and the path counts under the inputs.
import { fit } from "./rf_image_view.js";

export const [INK, POINTED] = ["#222", "#cc2a78"];
const [OWN, OTHER, HOLE] = ["#0072b2", "#d55e00", "#a33b00"];
const GUTTER = 62;
const MARGIN = 14;
const BARS = 84;
const TYPE = "14px system-ui, sans-serif";

export class StackView {
  constructor(canvas) {
    this.canvas = canvas;
  }

  // half: offsets −half … half + extra are shown (extra: 1 where a neighbour is compared); layers: how many.
  measure(half, extra, layers, width) {
    const units = 2 * half + 1 + extra;
    const cell = Math.min(40, (width - GUTTER - 6) / units);
    const step = Math.max(34, Math.min(70, 300 / layers));
    Object.assign(this, { half, extra, layers, cell, step, width: GUTTER + cell * units + 6, height: 2 * MARGIN + layers * step + BARS });
    this.radius = Math.max(1.3, Math.min(8, 0.34 * cell));
    this.canvas.dataset.units = JSON.stringify([GUTTER, cell, MARGIN, step, half, layers]);
  }

  x(offset) {
    return GUTTER + (offset + this.half + 0.5) * this.cell;
  }

  y(level) {
    return MARGIN + (this.layers - level) * this.step;
  }

  // [level, offset] under the mouse; the bars are the inputs'.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const level = this.layers - Math.round((event.clientY - box.top - MARGIN) / this.step);
    const offset = Math.floor((event.clientX - box.left - GUTTER) / this.cell) - this.half;
    return [Math.max(0, Math.min(this.layers, level)), Math.max(-this.half, Math.min(this.half + this.extra, offset))];
  }

  // own, other: for every level the reached units (Map or Set), other null; ties, otherTies: [level, above, below]; lit: the ties on the
  // paths through `pointed` ([level, offset]), or null; counts: along the window; names: of the layers.
  draw({ own, other, ties, otherTies, lit, pointed, counts, names }) {
    const context = fit(this.canvas, this.width, this.height);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, this.width, this.height);
    this.labels(context, names);
    this.lines(context, ties, "#8d99a3", lit ? 0.35 : 1, []);
    if (otherTies) this.lines(context, otherTies, OTHER, lit ? 0.35 : 0.8, [5, 4]);
    if (lit) this.lines(context, lit, OWN, 1, [], Math.max(2, Math.min(3, this.cell / 5)));
    this.units(context, own, other, lit);
    this.bars(context, counts, pointed);
    if (pointed) this.ring(context, pointed);
  }

  labels(context, names) {
    Object.assign(context, { font: TYPE, fillStyle: INK, textAlign: "left", textBaseline: "middle" });
    context.fillText("output", 0, this.y(this.layers));
    names.forEach((name, layer) => context.fillText(name, 0, this.y(layer + 0.5)));
    context.fillText("input", 0, this.y(0));
    context.fillText("paths", 0, this.y(0) + MARGIN + BARS / 2);
  }

  lines(context, ties, colour, alpha, dash, line = this.cell < 8 ? 0.7 : 1.2) {
    Object.assign(context, { strokeStyle: colour, lineWidth: line, globalAlpha: alpha });
    context.setLineDash(dash);
    context.beginPath();
    ties.forEach(([level, above, below]) => { context.moveTo(this.x(above), this.y(level + 1)); context.lineTo(this.x(below), this.y(level)); });
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  units(context, own, other, lit) {
    const alight = new Set((lit ?? []).flatMap(([level, above, below]) => [`${level + 1},${above}`, `${level},${below}`]));
    for (let level = 0; level <= this.layers; level += 1) {
      for (let offset = -this.half; offset <= this.half + this.extra; offset += 1) {
        const [mine, its] = [own[level].has(offset), other?.[level].has(offset - 1) ?? false];
        this.unit(context, level, offset, mine, its, alight.has(`${level},${offset}`));
      }
    }
  }

  // A disc: this output's; a square around it: its neighbour's; a small ring: nobody's; a cross: an input that nobody reads.
  unit(context, level, offset, mine, its, isLit) {
    const [x, y, r] = [this.x(offset), this.y(level), this.radius];
    const disc = (radius) => { context.beginPath(); context.arc(x, y, radius, 0, 7); };
    if (!mine && !its && level === 0 && Math.abs(offset) <= this.half) return this.cross(context, x, y);
    if (!mine && !its) {
      if (this.cell < 6) return undefined;
      disc(0.55 * r);
      Object.assign(context, { fillStyle: "#fff", strokeStyle: "#bbb", lineWidth: 1 });
      context.fill();
      return context.stroke();
    }
    if (its) {
      Object.assign(context, { fillStyle: "#fff", strokeStyle: OTHER, lineWidth: r < 3 ? 1 : 2 });
      context.fillRect(x - r, y - r, 2 * r, 2 * r);
      context.strokeRect(x - r, y - r, 2 * r, 2 * r);
    }
    if (!mine) return undefined;
    disc(its ? 0.62 * r : r);
    context.fillStyle = isLit ? OWN : INK;
    return context.fill();
  }

  cross(context, x, y) {
    const r = Math.max(1.5, Math.min(6, 0.3 * this.cell));
    Object.assign(context, { strokeStyle: HOLE, lineWidth: r < 3 ? 1 : 2.2 });
    context.beginPath();
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r);
    context.lineTo(x - r, y + r);
    context.stroke();
  }

  // Heights in proportion; numbers where there is room for them all.
  bars(context, counts, pointed) {
    const [top, most, room] = [this.y(0) + MARGIN, Math.max(...counts), BARS - 22];
    context.font = TYPE;
    const isNumbered = counts.every((count) => context.measureText(`${count}`).width < this.cell - 1);
    Object.assign(context, { textAlign: "center", textBaseline: "top" });
    counts.forEach((count, at) => {
      const offset = at - this.half;
      const [x, width] = [this.x(offset), Math.max(1, this.cell * 0.72)];
      const height = count ? Math.max(3, (room * count) / most) : 0;
      context.fillStyle = pointed?.[0] === 0 && pointed[1] === offset ? OWN : "#6b7680";
      context.fillRect(x - width / 2, top, width, height);
      context.fillStyle = count ? INK : HOLE;
      if (isNumbered) context.fillText(`${count}`, x, top + height + 4);
    });
  }

  ring(context, [level, offset]) {
    const r = Math.max(5, this.radius + 4);
    for (const [colour, line] of [["#fff", 5.5], [POINTED, 3]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.beginPath();
      context.arc(this.x(offset), this.y(level), r, 0, 7);
      context.stroke();
    }
  }
}
