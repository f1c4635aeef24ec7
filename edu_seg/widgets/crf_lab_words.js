// The sentences of CRFLab.
import { NOTHING } from "./crf_lab_maths.js";

export const NEEDS_KERNEL = "This page has no kernel: it plays the iterations that it holds. To draw or to change a setting, run the cell in JupyterLab.";
export const SILENT = "Python has not answered yet: is the kernel busy, or gone?";

export function grouped(value) {
  return Math.round(value).toString().replace("-", "−").replace(/\B(?=(\d{3})+$)/g, ",");
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function listed(names, shares) {
  const order = shares.map((_, label) => label).sort((a, b) => shares[b] - shares[a] || a - b);
  return order.map((label) => `${names[label]} ${percent(shares[label])}`).join(", ");
}

// The iteration that is shown: energy, what moved, and the labels' shares of the pixels.
export function stepWords(found, step, names) {
  if (!found) return "Nothing is drawn yet: choose a label, then draw on the photograph where you are sure of it, and do so for each label.";
  const shares = found.shares(step).map((count) => count / found.pixels);
  const what = step ? `${grouped(found.moved[step - 1])} ${found.moved[step - 1] === 1 ? "pixel" : "pixels"} changed label` : "only what is drawn counts";
  return `Iteration ${step} of ${found.count - 1}: ${what}, free energy ${grouped(found.energies[step])}. Of all pixels: ${listed(names, shares)}.`;
}

export function pixelWords(found, step, names, [row, column], mark, pen = "") {
  const drawn = mark === NOTHING ? "" : `, drawn as ${names[mark]}`;
  const place = `Pixel (${row}, ${column})${drawn}`;
  const probs = found?.probs(step, row * found.width + column);
  return `${pen}${place}${probs ? `, iteration ${step}: ${listed(names, probs)}` : ""}.`;
}

export function penWords(label, names, isDown) {
  const name = label === NOTHING ? "eraser" : names[label];
  return isDown ? `Pen down, ${name}. ` : `Pen up, ${name}. `;
}
