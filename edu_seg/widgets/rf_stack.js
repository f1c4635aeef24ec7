// A small stack of layers that can be edited: which settings are possible, its graph, and its PyTorch code.
// A layer is [kernel, stride, padding, dilation, kind], the same as in Python.
import { describeAxis } from "./rf_geometry.js";

export const KINDS = { conv: "conv", pool: "max pool", transposed: "transposed" };
export const SETTINGS = ["kernel", "stride", "padding", "dilation"];
export const NEW_LAYER = [3, 1, 1, 1, "conv"];
export const MOST_LAYERS = 12;
export const MOST_UNITS = 512;
export const CHANNELS = 16;
const RANGES = [[1, 11], [1, 8], [0, 24], [1, 16]];

// Units that a layer makes of `size`; below one where it is impossible.
export function unitsAfter(size, [kernel, stride, padding, dilation, kind]) {
  const span = dilation * (kernel - 1) + 1;
  if (kind === "transposed") return (size - 1) * stride + span - 2 * padding;
  return Math.floor((size + 2 * padding - span) / stride) + 1;
}

// No more padding than lets every unit read something; PyTorch's pools take half a window at most.
export function mostPadding([kernel, , , dilation, kind]) {
  const span = dilation * (kernel - 1) + 1;
  return kind === "pool" ? Math.floor(span / 2) : span - 1;
}

// [rows, columns] of the image and of the map after each layer.
export function mapSizes(layers, size) {
  const sizes = [[...size]];
  for (const layer of layers) sizes.push(sizes.at(-1).map((units) => unitsAfter(units, layer)));
  return sizes;
}

export function possible(layers, size) {
  if (!layers.length || layers.length > MOST_LAYERS) return false;
  const inRange = layers.every((layer) => RANGES.every(([low, high], k) => layer[k] >= low && layer[k] <= high) && layer[2] <= mostPadding(layer));
  return inRange && mapSizes(layers, size).flat().every((units) => units >= 1 && units <= MOST_UNITS);
}

export const replaced = (layers, index, setting, value) =>
  layers.map((layer, n) => (n === index ? layer.map((old, k) => (k === setting ? value : old)) : layer));
export const without = (layers, index) => layers.filter((_, n) => n !== index);

// Every value that a setting could ever have, with whether the stack is possible with it as the rest stands.
export function choices(layers, size, index, setting) {
  const values = setting === 4 ? Object.keys(KINDS) : Array.from({ length: RANGES[setting][1] - RANGES[setting][0] + 1 }, (_, v) => v + RANGES[setting][0]);
  return values.map((value) => ({ value, possible: possible(replaced(layers, index, setting, value), size) }));
}

export function stackGraph(layers, size) {
  const sizes = mapSizes(layers, size);
  const relations = layers.map(([kernel, stride, padding, dilation, kind]) =>
    [kind === "transposed" ? "transposed" : "window", kernel, stride, padding, dilation, "zero"]);
  const nodes = sizes.map((units, n) => ({ sizes: units, parents: n ? [[n - 1, n - 1, n - 1]] : [] }));
  return { relations, nodes };
}

// The rows of the table for a stack, described here as Python describes a network's.
export function stackRows(layers, graph) {
  const names = { conv: "conv", pool: "pool", transposed: "transposed" };
  return layers.map((layer, n) => {
    const axes = [0, 1].map((axis) => describeAxis(graph, n + 1, axis));
    const of = (key) => axes.map((axis) => axis[key]);
    const name = `${n} ${names[layer[4]]} ${layer[0]}×${layer[0]}`;
    return {
      name, label: `layer ${n}`, also: [], kind: SETTINGS.map((name, k) => `${name} ${layer[k]}`).join(", "), node: n + 1,
      map: graph.nodes[n + 1].sizes, size: of("size"), stride: of("stride"), padding: of("padding"),
      uniform: axes.every((axis) => axis.uniform), whole: [], group: "", measured: `${n}`,
    };
  });
}

export function pytorchCode(layers) {
  const lines = [];
  let channels = 3;
  for (const [kernel, stride, padding, dilation, kind] of layers) {
    const parts = kind === "pool" ? [`${kernel}`] : [`${channels}`, `${CHANNELS}`, `${kernel}`];
    if (stride !== (kind === "pool" ? kernel : 1)) parts.push(`stride=${stride}`);
    if (padding) parts.push(`padding=${padding}`);
    if (dilation !== 1) parts.push(`dilation=${dilation}`);
    lines.push(`    nn.${{ conv: "Conv2d", pool: "MaxPool2d", transposed: "ConvTranspose2d" }[kind]}(${parts.join(", ")}),`);
    if (kind !== "pool") channels = CHANNELS;
  }
  return ["from torch import nn", "", "model = nn.Sequential(", ...lines, ")"].join("\n");
}

// A few stacks to start from; those that the image is large enough for are offered.
export const STACKS = {
  "three 3 × 3": [[3, 1, 1, 1, "conv"], [3, 1, 1, 1, "conv"], [3, 1, 1, 1, "conv"]],
  "one 7 × 7": [[7, 1, 3, 1, "conv"]],
  "VGG's beginning": [[3, 1, 1, 1, "conv"], [3, 1, 1, 1, "conv"], [2, 2, 0, 1, "pool"], [3, 1, 1, 1, "conv"], [3, 1, 1, 1, "conv"], [2, 2, 0, 1, "pool"]],
  "dilations 1, 2, 4": [[3, 1, 1, 1, "conv"], [3, 1, 2, 2, "conv"], [3, 1, 4, 4, "conv"]],
  "dilations 2, 2, 2": [[3, 1, 2, 2, "conv"], [3, 1, 2, 2, "conv"], [3, 1, 2, 2, "conv"]],
  "down and up": [[3, 2, 1, 1, "conv"], [3, 2, 1, 1, "conv"], [4, 2, 1, 1, "transposed"]],
};
