// The canvases of StitchLab: the image as one pass sees it, and maps whose cells are filled, empty, framed or crossed.
import { fit, offscreen } from "./rf_image_view.js";

const CIVIDIS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56]];
const [ORANGE, BLUE] = ["#d55e00", "#0072b2"]; // Okabe and Ito's; frames have a white halo besides
const ROOM_FOR_DIGITS = 46; // pixels of a cell, with digits of 14

export function cividis(share) {
  const place = Math.max(0, Math.min(1, share)) * (CIVIDIS.length - 1);
  const low = Math.min(CIVIDIS.length - 2, Math.floor(place));
  return CIVIDIS[low].map((v, c) => Math.round(v + (place - low) * (CIVIDIS[low + 1][c] - v)));
}

// Paper with slanted lines: nothing is here.
function hatch(context, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.fillStyle = "#f3f1ec";
  context.fillRect(x, y, width, height);
  Object.assign(context, { strokeStyle: "#aaa395", lineWidth: 1 });
  context.beginPath();
  const first = Math.floor((x + y) / 7) * 7; // lines x + y = constant, so that neighbours join
  for (let line = first; line < x + y + width + height; line += 7) { context.moveTo(line - y, y); context.lineTo(line - y - height, y + height); }
  context.stroke();
  context.restore();
}

function frame(context, [x, y, width, height], colour, line, dash = []) {
  for (const [stroke, thick, dashes] of [["#ffffff", line + 3, []], [colour, line, dash]]) {
    context.setLineDash(dashes);
    Object.assign(context, { strokeStyle: stroke, lineWidth: thick });
    context.strokeRect(x, y, width, height);
  }
  context.setLineDash([]);
}

export class MapView {
  constructor(canvas) {
    this.canvas = canvas;
  }

  // cells: [rows, columns]; side: of one cell, in pixels of the page.
  show(cells, side) {
    Object.assign(this, { cells, side });
    this.canvas.dataset.cells = cells.join(",");
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    return share.map((v, axis) => Math.max(0, Math.min(this.cells[axis] - 1, Math.floor(v * this.cells[axis]))));
  }

  rectangle([y, x]) {
    return [x * this.side, y * this.side, this.side, this.side];
  }

  // look(cell) → {value, framed, crossed, from}; value null: empty. range: [low, high] of the colours. `from` is a place on the canvas that
  // the cell grows out of while `grown` goes from 0 to 1.
  draw({ look, range, pointed, grown = 1 }) {
    const [rows, columns] = this.cells;
    const context = fit(this.canvas, columns * this.side, rows * this.side);
    hatch(context, 0, 0, columns * this.side, rows * this.side);
    const all = Array.from({ length: rows * columns }, (_, n) => [Math.floor(n / columns), n % columns]).map((cell) => ({ cell, place: this.rectangle(cell), ...look(cell) }));
    all.forEach(({ place }) => this.line(context, place));
    const filled = all.filter(({ value }) => value !== null);
    const grows = ({ from }) => from && grown < 1;
    const still = all.filter((one) => !grows(one));
    filled.filter((one) => !grows(one)).forEach((one) => { this.fill(context, one, one.place, range); this.digits(context, one, range); });
    filled.filter(grows).forEach((one) => this.fill(context, one, one.from.map((v, n) => v + grown * (one.place[n] - v)), range));
    still.filter(({ framed }) => framed).forEach(({ place }) => this.mark(context, place));
    still.filter(({ crossed }) => crossed).forEach(({ place }) => this.cross(context, place));
    if (pointed) frame(context, this.whole(this.rectangle(pointed)), BLUE, 4);
  }

  // A place whose frame, half of it outside, still lies on the canvas.
  whole([x, y, width, height]) {
    const [left, top] = [Math.max(3.5, x), Math.max(3.5, y)];
    const [right, bottom] = [Math.min(this.cells[1] * this.side - 3.5, x + width), Math.min(this.cells[0] * this.side - 3.5, y + height)];
    return [left, top, right - left, bottom - top];
  }

  line(context, [x, y, width, height]) {
    Object.assign(context, { strokeStyle: "#c9c3b5", lineWidth: 1 });
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  }

  fill(context, { value }, [x, y, width, height], [low, high]) {
    context.fillStyle = `rgb(${cividis((value - low) / (high - low || 1))})`;
    context.fillRect(x, y, width, height);
    Object.assign(context, { strokeStyle: "rgba(0, 0, 0, 0.25)", lineWidth: 1 });
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  }

  digits(context, { value, place: [x, y, width, height] }, [low, high]) {
    if (width < ROOM_FOR_DIGITS) return;
    const colour = cividis((value - low) / (high - low || 1));
    context.fillStyle = colour[0] + colour[1] + colour[2] > 400 ? "#000" : "#fff";
    Object.assign(context, { font: "14px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    context.fillText(value.toFixed(2).replace("-", "−"), x + width / 2, y + height / 2);
  }

  // Of the pass that is shown.
  mark(context, [x, y, width, height]) {
    const line = width < 16 ? 1 : 2;
    for (const [colour, inset] of [["#000", line / 2], ["#fff", 1.5 * line]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.strokeRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
    }
  }

  cross(context, [x, y, width, height]) {
    const [inset, thick] = [width * 0.28, Math.max(1.5, width / 11)];
    for (const [colour, line] of [["#fff", thick + 2], [ORANGE, thick]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.beginPath();
      context.moveTo(x + inset, y + inset);
      context.lineTo(x + width - inset, y + height - inset);
      context.moveTo(x + width - inset, y + inset);
      context.lineTo(x + inset, y + height - inset);
      context.stroke();
    }
  }
}

export class CropView {
  constructor(canvas, pixels, [height, width]) {
    Object.assign(this, { canvas, height, width });
    this.source = offscreen(width, height);
    const data = new ImageData(width, height);
    for (let n = 0; n < height * width; n++) data.data.set([...pixels.slice(3 * n, 3 * n + 3), 255], 4 * n);
    this.source.getContext("2d").putImageData(data, 0, 0);
  }

  // margins: [top, bottom, left, right], how much beside the image is shown, in pixels of it.
  show([top, bottom, left, right], room, most) {
    this.view = [-top, -left, this.height + top + bottom, this.width + left + right];
    this.scale = Math.min(room / this.view[3], most / this.view[2]);
    this.canvas.dataset.view = JSON.stringify(this.view);
  }

  rectangle([top, bottom, left, right]) {
    return [(left - this.view[1]) * this.scale, (top - this.view[0]) * this.scale, (right - left + 1) * this.scale, (bottom - top + 1) * this.scale];
  }

  // shift: of the pass. places: [y, x, kept] where its units look. look: {hull, pixels} of the unit that is pointed at.
  draw({ shift, places, look }) {
    const [dy, dx] = shift;
    const context = fit(this.canvas, this.view[3] * this.scale, this.view[2] * this.scale);
    const [width, height] = [this.view[3] * this.scale, this.view[2] * this.scale];
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    const crop = this.rectangle([dy, dy + this.height - 1, dx, dx + this.width - 1]);
    hatch(context, ...crop); // what the copy ends in: zeros
    const whole = this.rectangle([0, this.height - 1, 0, this.width - 1]);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.source, ...whole);
    this.dim(context, look ? null : shift);
    look?.pixels.forEach((product) => this.light(context, product));
    frame(context, crop, ORANGE, 3, [10, 5]);
    if (look) frame(context, this.rectangle(look.hull), BLUE, 4);
    else places.forEach((place) => this.dot(context, place));
  }

  // Rows and columns that the pass does not see; shift null: everything.
  dim(context, shift) {
    context.fillStyle = "rgba(8, 12, 18, 0.68)";
    const [bottom, right] = [this.height - 1, this.width - 1];
    if (!shift) context.fillRect(...this.rectangle([0, bottom, 0, right]));
    else if (shift[0]) context.fillRect(...this.rectangle([0, shift[0] - 1, 0, right]));
    if (shift?.[1]) context.fillRect(...this.rectangle([shift[0], bottom, 0, shift[1] - 1]));
  }

  light(context, { rows, columns }) {
    for (const y of rows) for (const x of columns) context.drawImage(this.source, x, y, 1, 1, ...this.rectangle([y, y, x, x]));
  }

  dot(context, [y, x, kept]) {
    const [left, top, side] = this.rectangle([y, y, x, x]);
    const radius = Math.max(3, Math.min(8, this.scale * 0.28));
    context.beginPath();
    context.arc(left + side / 2, top + side / 2, radius, 0, 2 * Math.PI);
    Object.assign(context, { fillStyle: kept ? ORANGE : "#fff", strokeStyle: kept ? "#fff" : ORANGE, lineWidth: 2 });
    context.fill();
    context.stroke();
  }
}
