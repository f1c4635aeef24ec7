// Receptive fields in the browser: which units of every earlier map one unit reads, and which units see one pixel.
// The same arithmetic as edu_seg.receptive_field, relation by relation; a test holds the two equal.
//
// A graph is {relations, nodes}; a node {sizes: [rows, columns], parents: [[node, relation of rows, relation of columns], …]}, node 0
// the image, parents always before their children. A set of units along one axis is an array of integers, sorted, each once.

const floorDiv = (a, b) => Math.floor(a / b);
const mod = (a, b) => ((a % b) + b) % b;

// relation → the input indices that one unit reads, maps thought without a border. Each is [kind, …numbers, border].
const TAPS = {
  window: ([, kernel, stride, padding, dilation], unit) => Array.from({ length: kernel }, (_, t) => unit * stride - padding + dilation * t),
  transposed([, kernel, stride, padding, dilation], unit) {
    const found = [];
    for (let t = kernel - 1; t >= 0; t--) {
      const reached = unit + padding - t * dilation;
      if (mod(reached, stride) === 0) found.push(floorDiv(reached, stride));
    }
    return found;
  },
  repeat: ([, times], unit) => [floorDiv(unit, times)],
  flip: ([, size], unit) => [size - 1 - unit],
  whole: ([, size]) => Array.from({ length: size }, (_, t) => t),
  adaptive([, size, bins], unit) {
    const [first, end] = [floorDiv(unit * size, bins), -floorDiv(-(unit + 1) * size, bins)];
    return Array.from({ length: Math.max(0, end - first) }, (_, t) => first + t);
  },
  // Unit i lies at (step · i + offset) / whole of the input.
  interpolation([, whole, step, offset, reach], unit) {
    const place = unit * step + offset;
    if (reach < 1) return [floorDiv(place, whole)];
    const found = [];
    for (let near = 1 - reach; near <= reach; near++) if (near === 0 || mod(place, whole) !== 0) found.push(floorDiv(place, whole) + near);
    return found;
  },
  part: ([, start, size], unit) => (unit >= start && unit < start + size ? [unit - start] : []),
  table: ([, first, rows], unit) => rows[unit - first] ?? [],
};

export function taps(relation, unit) {
  return TAPS[relation[0]](relation, unit);
}

// What stands where an index leaves a map of `size` units: null is nothing.
const BORDERS = {
  zero: (tap, size) => (tap < 0 || tap >= size ? null : tap),
  replicate: (tap, size) => Math.max(0, Math.min(size - 1, tap)),
  reflect: (tap, size) => size - 1 - Math.abs(size - 1 - Math.abs(tap)),
  circular: (tap, size) => mod(tap, size),
};

// The taps that are really there on a map of `size` units.
export function tapsInside(relation, unit, size) {
  const border = BORDERS[relation.at(-1)];
  return taps(relation, unit).map((tap) => border(tap, size)).filter((tap) => tap !== null);
}

const isIdentity = (relation) => relation[0] === "window" && relation.slice(1, 5).join() === "1,1,0,1";
const memo = new WeakMap(); // relation → "units,size" → for each unit what it really reads

function tableInside(relation, units, size) {
  if (!memo.has(relation)) memo.set(relation, new Map());
  const tables = memo.get(relation);
  const key = `${units},${size}`;
  if (!tables.has(key)) tables.set(key, Array.from({ length: units }, (_, unit) => tapsInside(relation, unit, size)));
  return tables.get(key);
}

function sortedSet(lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) for (const v of list) { if (v < low) low = v; if (v > high) high = v; }
  if (low > high) return [];
  const there = new Uint8Array(high - low + 1);
  for (const list of lists) for (const v of list) there[v - low] = 1;
  const found = [];
  for (let v = low; v <= high; v++) if (there[v - low]) found.push(v);
  return found;
}

const isRun = (set) => set.at(-1) - set[0] + 1 === set.length;
const range = (first, last) => Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);

// [first, last] of what a run of units reads through a window that leaves no gap; null where it is not so simple.
function readRun([kind, kernel, stride, padding, dilation], set) {
  if (kind !== "window" || !set.length || !isRun(set)) return null;
  const closed = (dilation === 1 && stride <= kernel) || (stride === 1 && set.length >= dilation);
  return closed ? [set[0] * stride - padding, set.at(-1) * stride - padding + dilation * (kernel - 1)] : null;
}

function united(a, b) {
  if (contains(a, b)) return a;
  return contains(b, a) ? b : sortedSet([a, b]);
}

// The nodes that `node` is made from, itself included: a flag for each.
export function ancestors(graph, node) {
  const flags = new Array(graph.nodes.length).fill(false);
  flags[node] = true;
  for (let n = node; n > 0; n--) if (flags[n]) for (const [parent] of graph.nodes[n].parents) flags[parent] = true;
  return flags;
}

// Along one axis: for each node the units that one unit of `node` reads, also beside the maps: what no border cuts off.
export function setsBack(graph, node, axis, unit) {
  const sets = new Array(graph.nodes.length).fill(null);
  sets[node] = [unit];
  for (let n = node; n > 0; n--) {
    if (!sets[n] || !sets[n].length) continue;
    for (const [parent, ...relations] of graph.nodes[n].parents) {
      const relation = graph.relations[relations[axis]];
      const run = readRun(relation, sets[n]);
      const read = run ? range(...run) : sortedSet(sets[n].map((u) => taps(relation, u)));
      sets[parent] = sets[parent] ? united(sets[parent], read) : read;
    }
  }
  return sets;
}

// For each node [top, bottom, left, right] of the units that one unit reads, not cut off; null where it reads none.
export function hullsBack(graph, node, [i, j]) {
  const [rows, columns] = [setsBack(graph, node, 0, i), setsBack(graph, node, 1, j)];
  return rows.map((set, n) => (set?.length && columns[n]?.length ? [set[0], set.at(-1), columns[n][0], columns[n].at(-1)] : null));
}

// Sets in two dimensions are lists of products (rows × columns): branches that read different windows give several.
const MOST_PRODUCTS = 64;

function contains(big, small) {
  if (big === small || !small.length) return true;
  if (small.length > big.length || small[0] < big[0] || small.at(-1) > big.at(-1)) return false;
  if (isRun(big)) return true;
  let place = 0;
  for (const v of small) {
    while (big[place] < v) place++;
    if (big[place] !== v) return false;
  }
  return true;
}

function addProduct(products, rows, columns) {
  if (!rows.length || !columns.length || products.some((p) => contains(p.rows, rows) && contains(p.columns, columns))) return products;
  const kept = products.filter((p) => !(contains(rows, p.rows) && contains(columns, p.columns)));
  kept.push({ rows, columns });
  if (kept.length <= MOST_PRODUCTS) return kept;
  return [{ rows: sortedSet(kept.map((p) => p.rows)), columns: sortedSet(kept.map((p) => p.columns)), rough: true }];
}

function readInside(graph, relation, set, units, size) {
  const run = relation.at(-1) === "zero" ? readRun(relation, set) : null;
  if (run) return range(Math.max(0, run[0]), Math.min(size - 1, run[1]));
  const table = tableInside(relation, units, size);
  return sortedSet(set.map((unit) => table[unit]));
}

// For each node the products of units that one unit really reads, borders as the layers treat them.
export function reach(graph, node, [i, j]) {
  const found = graph.nodes.map(() => []);
  found[node] = [{ rows: [i], columns: [j] }];
  for (let n = node; n > 0; n--) {
    for (const { rows, columns } of found[n]) {
      for (const [parent, ry, rx] of graph.nodes[n].parents) {
        const [own, other] = [graph.nodes[n].sizes, graph.nodes[parent].sizes];
        const up = readInside(graph, graph.relations[ry], rows, own[0], other[0]);
        const across = readInside(graph, graph.relations[rx], columns, own[1], other[1]);
        found[parent] = addProduct(found[parent], up, across);
      }
    }
  }
  return found;
}

function readersOf(relation, set, units, size) {
  if (!set.length || (isIdentity(relation) && units === size)) return set;
  const marked = new Uint8Array(size);
  for (const v of set) marked[v] = 1;
  const found = [];
  tableInside(relation, units, size).forEach((row, unit) => { if (row.some((tap) => marked[tap])) found.push(unit); });
  return found;
}

// For each node on the way to `node` the products of units that really see one pixel of the image.
export function seenBy(graph, node, [y, x]) {
  const wanted = ancestors(graph, node);
  const found = graph.nodes.map(() => []);
  found[0] = [{ rows: [y], columns: [x] }];
  for (let n = 1; n <= node; n++) {
    if (!wanted[n]) continue;
    for (const [parent, ry, rx] of graph.nodes[n].parents) {
      const [own, other] = [graph.nodes[n].sizes, graph.nodes[parent].sizes];
      for (const { rows, columns } of found[parent]) {
        const up = readersOf(graph.relations[ry], rows, own[0], other[0]);
        found[n] = addProduct(found[n], up, readersOf(graph.relations[rx], columns, own[1], other[1]));
      }
    }
  }
  return found;
}

// The smallest [top, bottom, left, right] around products; null around none.
export function boxOf(products) {
  if (!products.length) return null;
  const [rows, columns] = [products.map((p) => p.rows), products.map((p) => p.columns)];
  return [
    Math.min(...rows.map((set) => set[0])), Math.max(...rows.map((set) => set.at(-1))),
    Math.min(...columns.map((set) => set[0])), Math.max(...columns.map((set) => set.at(-1))),
  ];
}

export const area = (box) => (box ? (box[1] - box[0] + 1) * (box[3] - box[2] + 1) : 0);

export function overlap(a, b) {
  const shared = [Math.max(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.min(a[3], b[3])];
  return shared[0] > shared[1] || shared[2] > shared[3] ? null : shared;
}

// How many units products hold, and whether they fill their box; without gaps no unit needs to be looked at.
export function countOf(products, box = boxOf(products)) {
  const solid = products.some((p) => p.rows.length * p.columns.length === area(box));
  if (!box || solid) return area(box);
  return maskOf(products, box).reduce((sum, v) => sum + v, 0);
}

// 1 for each unit of `box`, row by row, that a product holds.
export function maskOf(products, box) {
  const width = box[3] - box[2] + 1;
  const mask = new Uint8Array(area(box));
  for (const { rows, columns } of products) for (const r of rows) for (const c of columns) mask[(r - box[0]) * width + c - box[2]] = 1;
  return mask;
}

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

// {size, stride, padding, uniform} of a map along one axis, as ReceptiveField has them: stride as text, "–" where there is no period.
export function describeAxis(graph, node, axis) {
  const number = Math.max(2, graph.nodes[node].sizes[axis]);
  const ends = Array.from({ length: number }, (_, unit) => setsBack(graph, node, axis, unit)[0] ?? []);
  const there = ends.filter((set) => set.length);
  if (!there.length) return { size: 0, stride: "–", padding: 0, uniform: false };
  const [low, high] = [ends.map((set) => set[0]), ends.map((set) => set.at(-1))];
  const size = Math.max(...there.map((set) => set.at(-1) - set[0])) + 1;
  for (let period = 1; there.length === number && period < Math.max(2, Math.floor(number / 2)); period++) {
    const step = low[period] - low[0];
    const even = low.every((v, i) => i < period || (v - low[i - period] === step && high[i] - high[i - period] === step));
    if (even) {
      const common = gcd(Math.abs(step), period) || 1;
      const stride = period === common ? `${step / common}` : `${step / common}/${period / common}`;
      return { size, stride, padding: 0 - low[0], uniform: period === 1 };
    }
  }
  return { size, stride: "–", padding: 0 - there[0][0], uniform: false };
}
