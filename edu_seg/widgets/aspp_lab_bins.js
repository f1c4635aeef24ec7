// The pyramid of ASPPLab: bins over the image, and the means that average pooling keeps of them.
import { fit, offscreen } from "./rf_image_view.js";

const [FRAME, CHOSEN] = ["#0072b2", "#d55e00"];

// Colours, rows of [red, green, blue], as a picture of one pixel each.
export function pictureOf(rows) {
  const canvas = offscreen(Math.max(1, rows[0]?.length ?? 1), Math.max(1, rows.length));
  const pixels = new ImageData(canvas.width, canvas.height);
  rows.flat().forEach((colour, n) => pixels.data.set([...colour.map(Math.round), 255], 4 * n));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

export function photoOf(bytes, [height, width]) {
  const canvas = offscreen(width, height);
  const pixels = new ImageData(width, height);
  for (let n = 0; n < height * width; n += 1) pixels.data.set([bytes[3 * n], bytes[3 * n + 1], bytes[3 * n + 2], 255], 4 * n);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function framed(context, [x, y, width, height], colour, line, dash = []) {
  for (const [stroke, thick, dashes] of [["#fff", line + 2, []], [colour, line, dash]]) {
    context.setLineDash(dashes);
    Object.assign(context, { strokeStyle: stroke, lineWidth: thick });
    context.strokeRect(x, y, width, height);
  }
  context.setLineDash([]);
}

class ImageArea {
  constructor(canvas, [height, width]) {
    Object.assign(this, { canvas, size: [height, width] });
  }

  measure(width) {
    this.scale = width / this.size[1];
    this.box = [width, Math.round(this.scale * this.size[0])];
  }

  start(picture) {
    const context = fit(this.canvas, ...this.box);
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, ...this.box);
    return context;
  }

  // A frame that lies on the canvas, half of it outside or not.
  inside([x, y, width, height]) {
    const [left, top] = [Math.max(2.5, x), Math.max(2.5, y)];
    return [left, top, Math.min(this.box[0] - 2.5, x + width) - left, Math.min(this.box[1] - 2.5, y + height) - top];
  }

  pointed(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width].map((v) => Math.max(0, Math.min(0.999999, v)));
  }
}

export class BinsView extends ImageArea {
  // pool: from binMeans.
  take(photo, pool, stride) {
    Object.assign(this, { photo, pool, stride });
  }

  place([row, column]) {
    const [[top, bottom], [left, right]] = [this.pool.down[row], this.pool.across[column]].map((ends) => ends.map((unit) => unit * this.stride * this.scale));
    return this.inside([left, top, right - left, bottom - top]);
  }

  // The bin under the mouse; of several that share a unit, the one whose middle is nearest.
  at(event) {
    const shares = this.pointed(event);
    const bin = [this.pool.down, this.pool.across].map((windows, axis) => {
      const unit = (shares[axis] * this.size[axis]) / this.stride;
      const off = windows.map(([first, end]) => Math.abs(unit - (first + end) / 2));
      return off.indexOf(Math.min(...off));
    });
    return bin.includes(-1) ? null : bin;
  }

  draw(chosen) {
    const context = this.start(this.photo);
    if (this.stride * this.scale >= 8) this.grid(context);
    this.pool.means.forEach((bins, row) => bins.forEach((_, column) => framed(context, this.place([row, column]), FRAME, 2, (row + column) % 2 ? [7, 5] : [])));
    if (chosen) framed(context, this.place(chosen), CHOSEN, 4);
  }

  // Units of the map.
  grid(context) {
    const step = this.stride * this.scale;
    context.beginPath();
    for (let x = step; x < this.box[0]; x += step) { context.moveTo(x, 0); context.lineTo(x, this.box[1]); }
    for (let y = step; y < this.box[1]; y += step) { context.moveTo(0, y); context.lineTo(this.box[0], y); }
    Object.assign(context, { strokeStyle: "rgba(255, 255, 255, 0.28)", lineWidth: 1 });
    context.stroke();
  }
}

export class KeptView extends ImageArea {
  take(pool) {
    this.pool = pool;
    this.picture = pictureOf(pool.means);
  }

  at(event) {
    const shares = this.pointed(event);
    const many = [this.pool.down.length, this.pool.across.length];
    return many.includes(0) ? null : shares.map((share, axis) => Math.floor(share * many[axis]));
  }

  draw(chosen) {
    const [rows, columns] = [this.pool.down.length, this.pool.across.length];
    if (!rows || !columns) return this.nothing();
    const context = this.start(this.picture);
    const [wide, high] = [this.box[0] / columns, this.box[1] / rows];
    Object.assign(context, { strokeStyle: "rgba(255, 255, 255, 0.7)", lineWidth: 1 });
    context.beginPath();
    for (let n = 1; n < columns; n += 1) { context.moveTo(n * wide, 0); context.lineTo(n * wide, this.box[1]); }
    for (let n = 1; n < rows; n += 1) { context.moveTo(0, n * high); context.lineTo(this.box[0], n * high); }
    context.stroke();
    if (chosen) framed(context, this.inside([chosen[1] * wide, chosen[0] * high, wide, high]), CHOSEN, 4);
    return context;
  }

  nothing() {
    const context = fit(this.canvas, ...this.box);
    context.fillStyle = "#f3f1ec";
    context.fillRect(0, 0, ...this.box);
    Object.assign(context, { fillStyle: "#7a3200", font: "600 16px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    context.fillText("no windows: the stride is 0", this.box[0] / 2, this.box[1] / 2);
  }
}
