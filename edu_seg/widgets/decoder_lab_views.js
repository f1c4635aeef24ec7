// The canvases of DecoderLab: maps of values, of labels, of what differs; and marks on a unit, its window, the place of its value.
import { fit, offscreen } from "./rf_image_view.js";
import { cividis } from "./stitch_lab_views.js";

const [EMPTY, LINES] = [[243, 241, 236], [198, 191, 176]];
const HEAT = [[240, 240, 240], [243, 178, 110], [213, 94, 0], [120, 40, 0], [50, 10, 0]]; // light: the same
export const [MARKED, LANDED] = ["#d55e00", "#cc2a78"];
const HATCHED = 0.68;

// Whether a pixel of the screen lies on a label's hatch.
export function onStripe(pattern, x, y) {
  const within = (value) => ((value % 12) + 12) % 12 < 2;
  if (pattern.includes(".")) return (x % 9) < 3 && (y % 9) < 3;
  if (pattern.includes("/")) return within(x + y);
  if (pattern.includes("\\")) return within(x - y);
  if (pattern.includes("-")) return within(y);
  return pattern.includes("|") && within(x);
}

// Painters: colour(cell, x, y) → [r, g, b]; x and y in pixels of the screen.
export function valuePainter({ values, filled }) {
  return (cell, x, y) => (filled && !filled[cell] ? ((x + y) % 7 ? EMPTY : LINES) : cividis(values[cell] / 255));
}

export function labelPainter(labels, palette, hatches) {
  return (cell, x, y) => {
    const colour = palette[labels[cell]];
    return onStripe(hatches[labels[cell]], x, y) ? colour.map((part) => part * HATCHED) : colour;
  };
}

export function pixelPainter(image) {
  return (cell) => image.subarray(3 * cell, 3 * cell + 3);
}

export function heatColour(share) {
  const place = share * (HEAT.length - 1);
  const low = Math.min(HEAT.length - 2, Math.floor(place));
  return HEAT[low].map((part, n) => Math.round(part + (place - low) * (HEAT[low + 1][n] - part)));
}

// Differences, the largest dark; labels, which differ or do not, with the `band` near a boundary.
export function differencePainter(bytes, band = null) {
  const most = bytes.reduce((high, one) => Math.max(high, one), 1);
  return (cell, x, y) => {
    if (band) return bytes[cell] ? (Math.abs((x % 8) - (y % 8)) < 2 ? [255, 255, 255] : [213, 94, 0]) : band[cell] ? [172, 190, 203] : HEAT[0];
    return heatColour(bytes[cell] / most);
  };
}

export class MapPane {
  constructor(canvas) {
    Object.assign(this, { canvas, layer: offscreen(1, 1), key: null });
  }

  // cells: [rows, columns], in a square of `room` pixels; whole pixels a unit where that wastes little.
  measure(cells, room) {
    const side = room / Math.max(...cells);
    Object.assign(this, { cells, side: side >= 5 ? Math.floor(side) : side });
    this.size = [Math.round(cells[1] * this.side), Math.round(cells[0] * this.side)];
    this.canvas.dataset.cells = JSON.stringify([this.side, ...cells]);
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = [(event.clientY - box.top) / this.side, (event.clientX - box.left) / this.side];
    return at.map((part, axis) => Math.max(0, Math.min(this.cells[axis] - 1, Math.floor(part))));
  }

  // key: what is painted; painted again only where it or the size has changed. marks(pane, context): drawn on top.
  draw(key, painter, marks) {
    const full = `${key} ${this.size}`;
    if (full !== this.key) this.paint(painter());
    this.key = full;
    const context = fit(this.canvas, ...this.size);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.layer, 0, 0, ...this.size);
    marks?.(this, context);
  }

  paint(colour) {
    const [wide, high] = this.size;
    Object.assign(this.layer, { width: wide, height: high });
    const picture = new ImageData(wide, high);
    for (let y = 0; y < high; y += 1) {
      const row = Math.min(this.cells[0] - 1, Math.floor(y / this.side)) * this.cells[1];
      for (let x = 0; x < wide; x += 1) {
        const shade = colour(row + Math.min(this.cells[1] - 1, Math.floor(x / this.side)), x, y);
        const at = 4 * (y * wide + x);
        for (let part = 0; part < 3; part += 1) picture.data[at + part] = shade[part];
        picture.data[at + 3] = 255;
      }
    }
    this.layer.getContext("2d").putImageData(picture, 0, 0);
  }

  box([first, last], [left, right]) {
    return [left * this.side, first * this.side, (right - left + 1) * this.side, (last - first + 1) * this.side];
  }

  // A frame around rows and columns, cut off at the map's edge.
  ring(context, rows, columns, colour, dash = []) {
    const inside = ([first, last], size) => [Math.max(0, first), Math.min(size - 1, last)];
    const [x, y, width, height] = this.box(inside(rows, this.cells[0]), inside(columns, this.cells[1]));
    const grown = width < 8 ? 3 : 0;
    for (const [stroke, line, dashes] of [["#fff", 5, []], [colour, 2.6, dash]]) {
      context.setLineDash(dashes);
      Object.assign(context, { strokeStyle: stroke, lineWidth: line });
      const left = Math.max(1.5, x - grown);
      const top = Math.max(1.5, y - grown);
      context.strokeRect(left, top, Math.min(this.size[0] - 1.5, x + width + grown) - left, Math.min(this.size[1] - 1.5, y + height + grown) - top);
    }
    context.setLineDash([]);
  }

  // A disc where a value lies, or (hollow) would lie.
  disc(context, [row, column], colour, hollow = false) {
    context.beginPath();
    context.arc((column + 0.5) * this.side, (row + 0.5) * this.side, Math.max(3.5, Math.min(8, this.side * 0.28)), 0, 7);
    Object.assign(context, { fillStyle: hollow ? "#fff" : colour, strokeStyle: hollow ? colour : "#fff", lineWidth: 2.2 });
    context.fill();
    context.stroke();
  }
}

// A label's colour and hatch, for the legend.
export function drawSample(canvas, colour, pattern) {
  Object.assign(canvas, { width: 26, height: 18 });
  const picture = new ImageData(26, 18);
  const paint = labelPainter([0], [colour], [pattern]);
  for (let n = 0; n < 26 * 18; n += 1) picture.data.set([...paint(0, n % 26, Math.floor(n / 26)), 255], 4 * n);
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
