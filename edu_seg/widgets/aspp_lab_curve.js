// The curves of ASPPLab, DeepLab v3's figure 4: at which share of the places so many weights are valid, against the rate; and their mean.
import { fit } from "./rf_image_view.js";
import { VALID_COUNTS, meanShare, placesBy } from "./aspp_lab_maths.js";
import { INK, TYPE, outline } from "./aspp_lab_views.js";

const ROOM = { left: 50, right: 14, top: 24, bottom: 42 };
const STROKES = { 9: { dash: [], line: 2 }, 6: { dash: [2, 3], line: 1.6 }, 4: { dash: [9, 5], line: 2 }, 2: { dash: [2, 6], line: 1.6 }, 1: { dash: [10, 4, 2, 4], line: 2 } };
const GREY = "#44525c";

export class CurveView {
  constructor(canvas, colours) {
    Object.assign(this, { canvas, colours });
  }

  // Rates from 1 to beyond the map's size.
  measure({ map_size: size, rates }, width, height) {
    Object.assign(this, { size, width, height, last: Math.max(Math.ceil(1.25 * size), ...rates) });
    this.counts = Array.from({ length: this.last }, (_, n) => placesBy(size, n + 1));
    this.means = this.counts.map((_, n) => meanShare(size, n + 1));
    this.canvas.dataset.axes = JSON.stringify([ROOM.left, width - ROOM.left - ROOM.right, this.last]);
  }

  x(rate) {
    return ROOM.left + ((rate - 1) / (this.last - 1)) * (this.width - ROOM.left - ROOM.right);
  }

  y(share) {
    return ROOM.top + (1 - share) * (this.height - ROOM.top - ROOM.bottom);
  }

  at(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const rate = 1 + ((x - ROOM.left) / (this.width - ROOM.left - ROOM.right)) * (this.last - 1);
    return Math.max(1, Math.min(this.last, Math.round(rate)));
  }

  share(taps, rate) {
    return (this.counts[rate - 1][taps] ?? 0) / this.size ** 2;
  }

  draw({ rates, active }, pointed) {
    const context = fit(this.canvas, this.width, this.height);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, this.width, this.height);
    this.axes(context);
    this.end(context);
    rates.forEach((rate, kind) => this.upright(context, rate, this.colours[kind], kind === active ? 3 : 1.2));
    VALID_COUNTS.forEach((taps) => this.line(context, (rate) => this.share(taps, rate), { colour: GREY, ...STROKES[taps] }));
    this.line(context, (rate) => this.means[rate - 1], { colour: "#000", dash: [], line: 4 });
    this.names(context);
    if (pointed !== null) this.pointer(context, pointed);
    const order = [...rates.keys()].sort((a, b) => (a === active) - (b === active));
    order.forEach((kind) => this.mark(context, rates[kind], kind, kind === active ? 8 : 6));
  }

  axes(context) {
    Object.assign(context, { font: TYPE, fillStyle: INK, strokeStyle: "#d5d5d5", lineWidth: 1, textAlign: "right", textBaseline: "middle" });
    context.beginPath();
    [0, 0.25, 0.5, 0.75, 1].forEach((share) => {
      context.moveTo(ROOM.left, this.y(share));
      context.lineTo(this.width - ROOM.right, this.y(share));
      if ((share * 100) % 50 === 0) context.fillText(`${100 * share}\u202f%`, ROOM.left - 6, this.y(share));
    });
    context.stroke();
    Object.assign(context, { textAlign: "center", textBaseline: "top" });
    const step = [1, 2, 5, 10, 20, 50].find((one) => this.last / one <= Math.max(4, this.width / 70));
    for (let rate = step; rate <= this.last; rate += step) {
      if (rate !== this.size && Math.abs(this.x(rate) - this.x(this.size)) < 42) continue;
      context.fillText(`${rate}`, this.x(rate), this.y(0) + 5);
    }
    context.textAlign = "right";
    context.fillText("rate", this.width - ROOM.right, this.y(0) + 23);
  }

  // From the map's size on, a 1 × 1.
  end(context) {
    const x = this.x(this.size);
    context.fillStyle = "#f3f1ec";
    context.fillRect(x, this.y(1), this.width - ROOM.right - x, this.y(0) - this.y(1));
    Object.assign(context, { strokeStyle: INK, lineWidth: 1.2 });
    context.beginPath();
    context.moveTo(x, this.y(1));
    context.lineTo(x, this.y(0) + 4);
    context.stroke();
    Object.assign(context, { fillStyle: INK, textAlign: "center", textBaseline: "top" });
    context.fillText(`N = ${this.size}`, x, this.y(0) + 5);
    if (this.width - ROOM.right - x > 44) context.fillText("1 × 1", (x + this.width - ROOM.right) / 2, this.y(0.5) - 7);
  }

  upright(context, rate, colour, line) {
    Object.assign(context, { strokeStyle: colour, lineWidth: line });
    context.beginPath();
    context.moveTo(this.x(rate), this.y(0));
    context.lineTo(this.x(rate), this.y(1));
    context.stroke();
  }

  line(context, shareAt, { colour, dash, line }) {
    context.setLineDash(dash);
    context.beginPath();
    for (let rate = 1; rate <= this.last; rate += 1) context.lineTo(this.x(rate), this.y(shareAt(rate)));
    Object.assign(context, { strokeStyle: colour, lineWidth: line, lineJoin: "round" });
    context.stroke();
    context.setLineDash([]);
  }

  // Each curve's number, beside the curve where it stands alone.
  names(context) {
    const near = (part) => Math.max(1, Math.min(this.last, Math.round(part * this.size)));
    const spots = [[9, near(0.38), 0, -13], [6, near(0.25), 0, -11], [4, near(0.5), 0, -11], [2, near(0.75), 0, -11], [1, near(0.92), -15, -4]];
    Object.assign(context, { font: `700 ${TYPE}`, textAlign: "center", textBaseline: "middle", lineJoin: "round" });
    spots.forEach(([taps, rate, across, up]) => this.name(context, `${taps}`, this.x(rate) + across, this.y(this.share(taps, rate)) + up, GREY));
    this.name(context, "mean", this.x(near(0.62)), this.y(this.means[near(0.62) - 1]) - 15, "#000");
  }

  name(context, words, x, y, colour) {
    Object.assign(context, { strokeStyle: "#fff", lineWidth: 4, fillStyle: colour });
    context.strokeText(words, x, y);
    context.fillText(words, x, y);
  }

  mark(context, rate, kind, r) {
    outline(context, kind, this.x(rate), this.y(this.means[rate - 1]), r);
    Object.assign(context, { fillStyle: this.colours[kind], strokeStyle: "#fff", lineWidth: 2 });
    context.stroke();
    context.fill();
  }

  pointer(context, rate) {
    this.upright(context, rate, INK, 1.5);
    VALID_COUNTS.filter((taps) => this.share(taps, rate)).forEach((taps) => {
      outline(context, 0, this.x(rate), this.y(this.share(taps, rate)), 4.5);
      Object.assign(context, { fillStyle: "#fff", strokeStyle: INK, lineWidth: 2 });
      context.fill();
      context.stroke();
    });
  }
}
