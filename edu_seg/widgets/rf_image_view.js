// The image of RFExplorer: what a unit sees is lit, the rest dimmed; what lies outside of the picture is an outlined frame around it.
import { area, boxOf, countOf, maskOf } from "./rf_geometry.js";

// Okabe and Ito's colours; each look has a line style and a letter as well.
export const LOOKS = {
  current: { colour: "#0072b2", halo: "#ffffff", dash: [], letter: "" },
  A: { colour: "#d55e00", halo: "#ffffff", dash: [], letter: "A" },
  B: { colour: "#f0e442", halo: "#000000", dash: [9, 6], letter: "B" },
};
const RAMP = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

export function offscreen(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

// A canvas that is sharp on any screen: drawn in CSS pixels.
export function fit(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    Object.assign(canvas, { width: w, height: h });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

export function rampColour(value) {
  const place = (value / 255) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(place));
  return RAMP[low].map((v, c) => Math.round(v + (place - low) * (RAMP[low + 1][c] - v)));
}

// Heat in 0..255 as a picture; clear where it is 0.
export function heatPicture(heat, width, height) {
  const canvas = offscreen(width, height);
  const pixels = new ImageData(width, height);
  heat.forEach((value, i) => pixels.data.set([...rampColour(value), value ? 235 : 0], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

// The part of the plane that is shown, [top, left, height, width] in pixels of the image: the field of the middle unit, and as much of
// the others' as leaves the picture large.
export function viewOf(middle, others, [height, width]) {
  const side = Math.max(height, width);
  const out = (box) => (box ? 1.06 * Math.max(-box[0], box[1] - height + 1, -box[2], box[3] - width + 1, 0) : 0);
  const around = Math.max(0.035 * side, Math.min(0.55 * side, out(middle)), Math.min(0.2 * side, ...others.map(out)));
  return [-around, -around, height + 2 * around, width + 2 * around];
}

export class ImageView {
  constructor(canvas, image, [height, width]) {
    Object.assign(this, { canvas, image, height, width, view: viewOf(null, [], [height, width]), side: [300, 300] });
    const source = offscreen(width, height);
    const context = source.getContext("2d");
    context.drawImage(image, 0, 0, width, height);
    this.pixels = context.getImageData(0, 0, width, height);
    this.source = source;
  }

  resize(width, most) {
    const scale = Math.min(width / this.view[3], most / this.view[2]);
    Object.assign(this, { scale, side: [this.view[3] * scale, this.view[2] * scale] });
    [this.bright, this.dimmed] = [false, true].map((dim) => this.backdrop(dim));
    this.canvas.dataset.view = JSON.stringify(this.view);
  }

  // The pixel under a pointer, or null beside the picture.
  pixelAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const y = Math.floor(this.view[0] + ((event.clientY - box.top) / box.height) * this.view[2]);
    const x = Math.floor(this.view[1] + ((event.clientX - box.left) / box.width) * this.view[3]);
    return y >= 0 && x >= 0 && y < this.height && x < this.width ? [y, x] : null;
  }

  at(y, x) {
    return [(x - this.view[1]) * this.scale, (y - this.view[0]) * this.scale];
  }

  // [x, y, width, height] on the canvas of a box in pixels of the image.
  rectangle([top, bottom, left, right]) {
    const [x, y] = this.at(top, left);
    return [x, y, (right - left + 1) * this.scale, (bottom - top + 1) * this.scale];
  }

  draw({ looks, pixel, heat }) {
    const context = fit(this.canvas, ...this.side);
    const whole = this.rectangle([0, this.height - 1, 0, this.width - 1]);
    context.drawImage(looks.length ? this.dimmed : this.bright, 0, 0, ...this.side);
    looks.forEach((look) => this.light(context, look.inside));
    context.imageSmoothingEnabled = this.scale < 3;
    if (heat) context.drawImage(heat, ...whole);
    looks.map((look) => this.frame(context, look)).forEach((tag) => tag?.());
    if (pixel) this.cross(context, pixel);
  }

  // The picture on its paper, bright or dimmed, drawn once for a size: a frame then only copies it.
  backdrop(dim) {
    const canvas = offscreen(1, 1);
    const context = fit(canvas, ...this.side);
    const whole = this.rectangle([0, this.height - 1, 0, this.width - 1]);
    this.paper(context);
    context.imageSmoothingEnabled = this.scale < 3;
    context.drawImage(this.source, ...whole);
    context.fillStyle = "rgba(8, 12, 18, 0.7)";
    if (dim) context.fillRect(...whole);
    Object.assign(context, { strokeStyle: "#222", lineWidth: 1 });
    context.strokeRect(...whole);
    return canvas;
  }

  // What lies outside of the picture: hatched paper.
  paper(context) {
    const [width, height] = this.side;
    context.fillStyle = "#f3f1ec";
    context.fillRect(0, 0, width, height);
    context.strokeStyle = "#d9d4c8";
    context.lineWidth = 1;
    context.beginPath();
    for (let x = -height; x < width; x += 9) { context.moveTo(x, height); context.lineTo(x + height, 0); }
    context.stroke();
  }

  light(context, products) {
    const box = boxOf(products);
    if (!box) return;
    const [top, bottom, left, right] = box;
    const place = this.rectangle(box);
    if (countOf(products, box) === area(box)) {
      const ratio = this.bright.width / this.side[0];
      context.drawImage(this.bright, ...place.map((v) => v * ratio), ...place);
      return;
    }
    const part = offscreen(right - left + 1, bottom - top + 1);
    const pixels = new ImageData(part.width, part.height);
    maskOf(products, box).forEach((yes, i) => {
      if (!yes) return;
      const from = 4 * ((top + Math.floor(i / part.width)) * this.width + left + (i % part.width));
      for (let c = 0; c < 4; c++) pixels.data[4 * i + c] = this.pixels.data[from + c];
    });
    part.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(part, ...place);
  }

  // The whole field, also outside of the picture; sides that lie beyond the canvas are drawn at its edge, with arrows.
  // Returns what writes the size, to be done after all frames.
  frame(context, { hull, style }) {
    if (!hull) return null;
    const [width, height] = this.side;
    const [x, y, w, h] = this.rectangle(hull);
    const inset = 3;
    const [x0, y0] = [Math.max(inset, x), Math.max(inset, y)];
    const [x1, y1] = [Math.min(width - inset, x + w), Math.min(height - inset, y + h)];
    const { colour, halo, dash } = LOOKS[style];
    for (const [stroke, line, dashes] of [[halo, 6, []], [colour, 3, dash]]) {
      context.setLineDash(dashes);
      Object.assign(context, { strokeStyle: stroke, lineWidth: line });
      context.strokeRect(x0, y0, Math.max(2, x1 - x0), Math.max(2, y1 - y0));
    }
    context.setLineDash([]);
    const middle = [(x0 + x1) / 2, (y0 + y1) / 2];
    if (x < 0) this.arrow(context, style, [2, middle[1]], [-1, 0]);
    if (x + w > width) this.arrow(context, style, [width - 2, middle[1]], [1, 0]);
    if (y < 0) this.arrow(context, style, [middle[0], 2], [0, -1]);
    if (y + h > height) this.arrow(context, style, [middle[0], height - 2], [0, 1]);
    const letter = LOOKS[style].letter;
    return () => this.tag(context, style, `${letter ? `${letter}: ` : ""}${hull[1] - hull[0] + 1} × ${hull[3] - hull[2] + 1}`, [x0, y0, x1, y1]);
  }

  arrow(context, style, [x, y], [dx, dy]) {
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x - 13 * dx - 9 * dy, y - 13 * dy - 9 * dx);
    context.lineTo(x - 13 * dx + 9 * dy, y - 13 * dy + 9 * dx);
    context.closePath();
    Object.assign(context, { fillStyle: LOOKS[style].colour, strokeStyle: LOOKS[style].halo, lineWidth: 2 });
    context.stroke();
    context.fill();
  }

  // The field's size, above the box or, where there is no room, inside.
  tag(context, style, text, [x0, y0, x1]) {
    const size = Math.max(14, Math.min(20, this.side[0] / 26));
    context.font = `600 ${size}px system-ui, sans-serif`;
    const width = context.measureText(text).width + 12;
    const room = style === "B" ? x1 - width : x0;
    const left = Math.max(1, Math.min(this.side[0] - width - 1, room));
    const top = y0 - size - 10 >= 1 ? y0 - size - 10 : y0 + 6;
    context.fillStyle = LOOKS[style].colour;
    context.fillRect(left, top, width, size + 8);
    Object.assign(context, { fillStyle: LOOKS[style].halo, textAlign: "left", textBaseline: "middle" });
    context.fillText(text, left + 6, top + size / 2 + 4.5);
  }

  cross(context, [y, x]) {
    const [px, py, w] = this.rectangle([y, y, x, x]);
    const [cx, cy, reach] = [px + w / 2, py + w / 2, Math.max(w / 2 + 2, 6)];
    for (const [colour, line] of [["#ffffff", 5], ["#cc2a78", 2.5]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: line });
      context.strokeRect(cx - reach, cy - reach, 2 * reach, 2 * reach);
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(cx + dx * reach, cy + dy * reach);
        context.lineTo(cx + dx * (reach + 14), cy + dy * (reach + 14));
      }
      context.stroke();
    }
  }
}
