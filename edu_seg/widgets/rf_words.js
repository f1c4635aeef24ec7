// The sentences of RFExplorer.
import { area, overlap } from "./rf_geometry.js";

export const signed = (v) => (v < 0 ? `−${-v}` : `${v}`);
export const both = (values) => (`${values[0]}` === `${values[1]}` ? `${values[0]}` : values.join(" × "));
export const sides = (box) => `${box[1] - box[0] + 1} × ${box[3] - box[2] + 1}`;
export const lengths = (box) => both([box[1] - box[0] + 1, box[3] - box[2] + 1]);
const span = (box) => `rows ${signed(box[0])} to ${signed(box[1])} and columns ${signed(box[2])} to ${signed(box[3])}`;
const percent = (part, whole) => {
  const share = (100 * part) / whole;
  return share > 0 && share < 1 ? "less than 1\u00a0%" : share < 100 && share > 99 ? "over 99\u00a0%" : `${Math.round(share)}\u00a0%`;
};

// hull: the unclipped field; inside: the box really reached in the image, with `count` of its pixels read.
export function unitWords(name, unit, hull, inside, count, size) {
  const start = `Unit (${unit.join(", ")}) of ${name}`;
  if (!hull || !inside) return `${start} reads no pixel of the image.`;
  const within = overlap(hull, [0, size[0] - 1, 0, size[1] - 1]);
  const outside = area(hull) - area(within);
  const words = [`${start} sees ${span(hull)}: ${sides(hull)} pixels.`];
  if (outside) words.push(`${percent(outside, area(hull))} of this field lies outside of the image.`);
  if (count < area(inside)) words.push(`There are gaps: of ${area(inside)} pixels inside it really reads ${count}.`);
  else if (area(inside) === size[0] * size[1]) words.push("It covers the whole image.");
  return words.join(" ");
}

export function pixelWords(name, [y, x], seen, count, held) {
  const start = `Pixel in row ${y}, column ${x}${held ? " (held)" : ""}: `;
  if (!seen) return `${start}no unit of ${name} sees it.`;
  const units = count === 1 ? `1 unit of ${name} sees it` : `${count} units of ${name} see it`;
  const gaps = count < area(seen) ? `, with gaps in ${sides(seen)}` : `, ${sides(seen)}`;
  return `${start}${units}${gaps}: rows ${seen[0]} to ${seen[1]}, columns ${seen[2]} to ${seen[3]}.`;
}

// a, b: {name, unit, hull}.
export function compareWords(a, b) {
  const one = ({ name, unit, hull }) => `unit (${unit.join(", ")}) of ${name}, ${hull ? sides(hull) : "no pixel"}`;
  const start = `A is ${one(a)}; B is ${one(b)}.`;
  const shared = a.hull && b.hull && overlap(a.hull, b.hull);
  if (!shared) return `${start} Their fields share no pixel.`;
  return `${start} Their fields share ${sides(shared)} pixels: ${percent(area(shared), area(a.hull))} of A, ${percent(area(shared), area(b.hull))} of B.`;
}

// The badge: the browser's box, Python's and the gradient's, each [top, bottom, left, right] or null.
export function verdict(own, analytic, measured) {
  const text = (box) => (box ? `rows ${box[0]} to ${box[1]}, columns ${box[2]} to ${box[3]}` : "no pixel");
  if (`${own}` === `${measured}` && `${analytic}` === `${measured}`) return { same: true, words: `analytic = measured: ${text(measured)}` };
  if (`${analytic}` === `${measured}`) {
    return { same: false, words: `they differ, because layers that look at a whole map are left out here: shown ${text(own)}; measured ${text(measured)}` };
  }
  return { same: false, words: `they differ: analytic ${text(analytic)}; measured ${text(measured)}` };
}
