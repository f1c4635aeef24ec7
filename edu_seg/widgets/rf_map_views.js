// The maps of RFExplorer: the grid of the chosen layer's units, and the cone through the layers between.
import { boxOf, countOf, hullsBack } from "./rf_geometry.js";
import { LOOKS, fit, offscreen } from "./rf_image_view.js";
import { sides } from "./rf_words.js";

const MOST_QUADS = 400;
const BEYOND = 0.12; // how far the cone is drawn beyond the image, as a share of its side
export const PIXEL_COLOUR = "#cc2a78";

// Where units lie on the image, along rows and columns: unit u is centred at first + u · step.
export function places(graph, node) {
  const [rows, columns] = graph.nodes[node].sizes;
  const ends = [hullsBack(graph, node, [0, 0]), hullsBack(graph, node, [rows - 1, columns - 1])].map((hulls) => hulls[0]);
  return [0, 1].map((axis) => {
    const units = [rows, columns][axis];
    const size = graph.nodes[0].sizes[axis];
    const middle = (box) => (box[2 * axis] + box[2 * axis + 1] + 1) / 2;
    if (units === 1 || !ends[0] || !ends[1]) return { first: size / units / 2, step: size / units };
    const step = (middle(ends[1]) - middle(ends[0])) / (units - 1);
    return { first: middle(ends[0]), step };
  });
}

// The image as one square a unit, each with the mean colour of its place.
export function mosaic(source, [down, across], [rows, columns]) {
  const canvas = offscreen(columns, rows);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#ddd9d0";
  context.fillRect(0, 0, columns, rows);
  const [x, y] = [across.first - across.step / 2, down.first - down.step / 2];
  context.setTransform(1 / across.step, 0, 0, 1 / down.step, -x / across.step, -y / down.step);
  context.drawImage(source, 0, 0);
  return canvas;
}

export class GridView {
  constructor(canvas) {
    this.canvas = canvas;
  }

  show(picture, [rows, columns], width, most) {
    const cell = Math.min(width / columns, most / rows, 44);
    Object.assign(this, { picture, rows, columns, cell, side: [columns * cell, rows * cell] });
    [this.bright, this.dimmed] = [false, true].map((dim) => this.backdrop(dim));
  }

  unitAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const i = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
    const j = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
    return [Math.max(0, Math.min(this.rows - 1, i)), Math.max(0, Math.min(this.columns - 1, j))];
  }

  draw({ units, seen }) {
    const context = fit(this.canvas, ...this.side);
    context.drawImage(seen ? this.dimmed : this.bright, 0, 0, ...this.side);
    if (seen) this.light(context, seen);
    units.forEach(({ unit, style }) => this.mark(context, unit, style));
  }

  backdrop(dim) {
    const canvas = offscreen(1, 1);
    const context = fit(canvas, ...this.side);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture, 0, 0, ...this.side);
    context.fillStyle = "rgba(8, 12, 18, 0.72)";
    if (dim) context.fillRect(0, 0, ...this.side);
    if (this.cell >= 6) this.lines(context);
    return canvas;
  }

  lines(context) {
    context.beginPath();
    for (let j = 0; j <= this.columns; j++) { context.moveTo(j * this.cell, 0); context.lineTo(j * this.cell, this.side[1]); }
    for (let i = 0; i <= this.rows; i++) { context.moveTo(0, i * this.cell); context.lineTo(this.side[0], i * this.cell); }
    Object.assign(context, { strokeStyle: "rgba(255,255,255,0.75)", lineWidth: 1 });
    context.stroke();
  }

  light(context, products) {
    const ratio = this.bright.width / this.side[0];
    context.beginPath();
    for (const [top, bottom, left, right] of pieces(products)) {
      const place = [left, top, right - left + 1, bottom - top + 1].map((v) => v * this.cell);
      context.drawImage(this.bright, ...place.map((v) => v * ratio), ...place);
      context.rect(place[0] + 1.5, place[1] + 1.5, place[2] - 3, place[3] - 3);
    }
    Object.assign(context, { strokeStyle: PIXEL_COLOUR, lineWidth: 3 });
    context.stroke();
  }

  mark(context, [i, j], style) {
    const side = Math.max(this.cell, 9);
    const [x, y] = [(j + 0.5) * this.cell - side / 2, (i + 0.5) * this.cell - side / 2];
    const { colour, halo, dash, letter } = LOOKS[style];
    for (const [stroke, line, dashes] of [[halo, 6, []], [colour, 3.5, dash.map((v) => v / 2)]]) {
      context.setLineDash(dashes);
      Object.assign(context, { strokeStyle: stroke, lineWidth: line });
      context.strokeRect(x, y, side, side);
    }
    context.setLineDash([]);
    if (!letter || side < 18) return;
    Object.assign(context, { fillStyle: halo, textAlign: "center", textBaseline: "middle", font: "700 15px system-ui, sans-serif" });
    context.fillRect(x + side / 2 - 9, y + side / 2 - 9, 18, 18);
    context.fillStyle = letter === "B" ? "#f0e442" : colour;
    context.fillText(letter, x + side / 2, y + side / 2 + 1);
  }
}

// Runs of neighbours in a sorted set, as [first, last].
const runs = (set) => set.reduce((found, v) => {
  if (found.length && found.at(-1)[1] === v - 1) found.at(-1)[1] = v;
  else found.push([v, v]);
  return found;
}, []);

// Boxes that products are made of.
const pieces = (products) => products.flatMap(({ rows, columns }) => runs(rows).flatMap((r) => runs(columns).map((c) => [...r, ...c])));

export class ConeView {
  constructor(canvas, source) {
    Object.assign(this, { canvas, source });
  }

  // planes: [{node, name, sizes, places, picture}], the image first.
  show(planes, width, height) {
    const label = Math.max(124, Math.min(0.44 * width, 180));
    const room = width - label - 12;
    const shear = 0.2 * room;
    const wide = room / (1 + 2 * BEYOND) - shear;
    const deep = Math.min(0.4 * room, (1.1 * height) / (planes.length + 0.2));
    const gap = (height - 1.3 * deep) / Math.max(1, planes.length - 1);
    Object.assign(this, { planes, side: [width, height], deep, shear, gap, wide, size: planes[0].sizes, label });
    this.backdrops = planes.map((plane, k) => {
      const canvas = offscreen(1, 1);
      this.plane(fit(canvas, ...this.side), plane, k);
      return canvas;
    });
  }

  // A place of the image, in pixels, on the plane number k.
  at(k, y, x) {
    const within = (v) => Math.max(-BEYOND, Math.min(1 + BEYOND, v));
    const [v, u] = [within(y / this.size[0]), within(x / this.size[1])];
    const base = this.side[1] - 1.15 * this.deep - k * this.gap;
    return [1 + BEYOND * (this.wide + this.shear) + this.shear * (1 - v) + u * this.wide, base + v * this.deep];
  }

  // The corners of a box of units, on its plane.
  corners(k, [top, bottom, left, right]) {
    const [down, across] = this.planes[k].places;
    const [y0, y1] = [down.first + (top - 0.5) * down.step, down.first + (bottom + 0.5) * down.step];
    const [x0, x1] = [across.first + (left - 0.5) * across.step, across.first + (right + 0.5) * across.step];
    return [this.at(k, y0, x0), this.at(k, y0, x1), this.at(k, y1, x1), this.at(k, y1, x0)];
  }

  // looks: [{style, boxes: node → box, sets: node → products}]; style "pixel" is the forward cone.
  draw(looks) {
    const context = fit(this.canvas, ...this.side);
    context.clearRect(0, 0, ...this.side);
    const found = looks.map((look) => {
      const boxes = this.planes.map(({ node }) => look.boxes[node] ?? null);
      return { ...look, boxes, quads: boxes.map((box, k) => (box ? this.corners(k, box) : null)) };
    });
    this.planes.forEach((plane, k) => {
      this.copy(context, k);
      found.forEach((look) => this.read(context, look, k));
      if (k + 1 < this.planes.length) found.forEach((look) => this.sides(context, look, k));
    });
    this.planes.forEach((plane, k) => this.name(context, plane, k, found[0]?.boxes[k], found[0]?.style));
  }

  // The part of the canvas where plane k lies, as it was drawn once.
  copy(context, k) {
    const ratio = window.devicePixelRatio || 1;
    const top = Math.max(0, Math.floor(this.at(k, 0, 0)[1]) - this.deep);
    const place = [0, top, this.side[0] - this.label, Math.min(this.side[1] - top, 2.4 * this.deep)];
    context.drawImage(this.backdrops[k], ...place.map((v) => v * ratio), ...place);
  }

  plane(context, { picture, sizes, places: [down, across] }, k) {
    const ratio = window.devicePixelRatio || 1;
    const whole = this.corners(k, [0, sizes[0] - 1, 0, sizes[1] - 1]);
    this.path(context, whole);
    context.fillStyle = "#ffffff";
    context.fill();
    const origin = this.at(k, 0, 0);
    const [perX, perY] = [this.wide / this.size[1], [-this.shear / this.size[0], this.deep / this.size[0]]];
    const [y0, x0] = [down.first - down.step / 2, across.first - across.step / 2];
    context.save();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.transform(perX, 0, perY[0], perY[1], ...origin);
    context.globalAlpha = k ? 0.65 : 1;
    context.imageSmoothingEnabled = !k;
    context.drawImage(picture, x0, y0, across.step * sizes[1], down.step * sizes[0]);
    context.restore();
    this.path(context, whole);
    Object.assign(context, { strokeStyle: "#555", lineWidth: 1.2 });
    context.stroke();
  }

  read(context, { boxes, quads, sets, style }, k) {
    if (!quads[k]) return;
    const { colour, halo, dash } = LOOKS[style] ?? { colour: PIXEL_COLOUR, halo: "#fff", dash: [] };
    const read = pieces(sets?.[this.planes[k].node] ?? []);
    context.beginPath();
    for (const piece of read.length && read.length <= MOST_QUADS ? read : [boxes[k]]) this.path(context, this.corners(k, piece), true);
    Object.assign(context, { fillStyle: colour, globalAlpha: k ? 0.55 : 0.3 });
    context.fill();
    context.globalAlpha = 1;
    this.path(context, quads[k]);
    for (const [stroke, line, dashes] of [[halo, 4, []], [colour, 2.2, dash.map((v) => v / 2)]]) {
      context.setLineDash(dashes);
      Object.assign(context, { strokeStyle: stroke, lineWidth: line });
      context.stroke();
    }
    context.setLineDash([]);
  }

  sides(context, { quads, style }, k) {
    if (!quads[k] || !quads[k + 1]) return;
    const { colour, dash } = LOOKS[style] ?? { colour: PIXEL_COLOUR, dash: [] };
    Object.assign(context, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.4 });
    context.setLineDash(dash.map((v) => v / 2));
    for (const [a, b] of [[0, 1], [1, 2], [2, 3], [3, 0]]) {
      this.path(context, [quads[k][a], quads[k][b], quads[k + 1][b], quads[k + 1][a]]);
      context.globalAlpha = 0.07;
      context.fill();
      context.globalAlpha = 0.75;
      context.stroke();
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  name(context, { name, sizes }, k, box, style) {
    const x = this.side[0] - this.label;
    const y = this.at(k, this.size[0] / 2, 0)[1];
    const step = this.label < 130 ? 12 : Math.min(15, Math.max(12, this.gap / 2.6));
    Object.assign(context, { textAlign: "left", textBaseline: "middle", fillStyle: "#222", font: `600 ${step}px system-ui, sans-serif` });
    const units = `  ${sizes[0]} × ${sizes[1]}`;
    const said = shortened(context, name, this.label - 4 - context.measureText(units).width);
    context.fillText(said, x, y - step * 0.6);
    const after = x + context.measureText(said).width;
    context.font = `${step}px system-ui, sans-serif`;
    context.fillText(units, after, y - step * 0.6);
    if (!box) return;
    context.fillStyle = { pixel: "#a01f5e", A: "#a34700" }[style] ?? "#00558a";
    context.fillText(`${style === "A" ? "A " : ""}${style === "pixel" ? "seen by" : "reads"} ${sides(box)}`, x, y + step * 0.6);
  }

  path(context, points, add = false) {
    if (!add) context.beginPath();
    points.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
  }
}

// Long names lose their beginning: the end tells layers apart.
function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let start = 1;
  while (start < text.length - 4 && context.measureText(`…${text.slice(start)}`).width > width) start++;
  return `…${text.slice(start)}`;
}

// Which layers the cone shows: the image, the chosen one, and up to `most` between; first the last map of each size, then the rest evenly.
export function chosenPlanes(nodes, sizes, most = 4) {
  const [first, ...rest] = nodes;
  const last = rest.pop();
  const ends = rest.filter((node, n) => `${sizes(node)}` !== `${sizes(rest[n + 1] ?? last)}`);
  const others = rest.filter((node) => !ends.includes(node));
  const spare = Math.max(0, most - ends.length);
  const added = others.filter((_, n) => Math.floor(((n + 1) * spare) / others.length) > Math.floor((n * spare) / others.length));
  const kept = ends.length > most ? ends.filter((_, n) => Math.floor(((n + 1) * most) / ends.length) > Math.floor((n * most) / ends.length)) : ends;
  return [first, ...rest.filter((node) => kept.includes(node) || added.includes(node)), ...(last === undefined ? [] : [last])];
}

export const countBox = (products) => countOf(products, boxOf(products));
