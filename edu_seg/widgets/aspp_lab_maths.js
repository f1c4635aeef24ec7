// Taps on a map, and bins over another, by arithmetic alone: the same as edu_seg/layers.py and edu_seg/widgets/aspp_lab.py.
// A place is [row, column]; a window is [first unit, end], the end not included.

export const VALID_COUNTS = [9, 6, 4, 2, 1]; // so many weights of a 3 × 3 can be valid; 3 rows with 1 column never meet

// Which of three taps along an axis are on it.
const onAxis = (size, rate, at) => [-rate, 0, rate].filter((step) => at + step >= 0 && at + step < size).length;

export const validHere = (size, rate, [row, column]) => onAxis(size, rate, row) * onAxis(size, rate, column);

export function tapsAt(size, rate, [row, column]) {
  const steps = [-rate, 0, rate];
  const isOn = (at) => at >= 0 && at < size;
  return steps.flatMap((down) => steps.map((across) => ({ row: row + down, column: column + across, inside: isOn(row + down) && isOn(column + across) })));
}

// Stretches of an axis with the same number of valid taps: [first, end, taps].
export function stretches(size, rate) {
  const cuts = [...new Set([0, Math.min(rate, size), Math.max(size - rate, 0), size])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, n) => [cuts[n], end, onAxis(size, rate, cuts[n])]);
}

// Places with so many valid weights: { 9: …, 4: … }, those that occur.
export function placesBy(size, rate) {
  const found = {};
  const along = stretches(size, rate);
  along.forEach(([top, bottom, rows]) => along.forEach(([left, right, columns]) => {
    found[rows * columns] = (found[rows * columns] ?? 0) + (bottom - top) * (right - left);
  }));
  return found;
}

// Mean share of valid weights over the map.
export function meanShare(size, rate) {
  return Object.entries(placesBy(size, rate)).reduce((sum, [taps, places]) => sum + taps * places, 0) / (9 * size * size);
}

// SPP-net's rule, ⌈a/n⌉ and ⌊a/n⌋; null where the stride would be 0.
export function sppRule(size, level) {
  if (level > size) return null;
  const [window_, stride] = [Math.ceil(size / level), Math.floor(size / level)];
  return { window: window_, stride, made: Math.floor((size - window_) / stride) + 1 };
}

export function binWindows(size, level, rule) {
  if (rule === "adaptive") return Array.from({ length: level }, (_, n) => [Math.floor((n * size) / level), Math.ceil(((n + 1) * size) / level)]);
  const spp = sppRule(size, level);
  return Array.from({ length: spp?.made ?? 0 }, (_, n) => [n * spp.stride, n * spp.stride + spp.window]);
}

export const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// The image, RGB bytes, as means over stride × stride pixels; fewer at the far edges.
export function unitMap(pixels, [height, width], stride) {
  const [rows, columns] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  const values = new Float64Array(3 * rows * columns);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const [bottom, right] = [Math.min(height, (row + 1) * stride), Math.min(width, (column + 1) * stride)];
      const many = (bottom - row * stride) * (right - column * stride);
      for (let y = row * stride; y < bottom; y += 1) {
        for (let at = 3 * (y * width + column * stride); at < 3 * (y * width + right); at += 1) values[3 * (row * columns + column) + (at % 3)] += pixels[at] / many;
      }
    }
  }
  return { rows, columns, values };
}

const meanOver = ({ columns, values }, [top, bottom], [left, right]) => [0, 1, 2].map((channel) => {
  let sum = 0;
  for (let row = top; row < bottom; row += 1) for (let column = left; column < right; column += 1) sum += values[3 * (row * columns + column) + channel];
  return sum / ((bottom - top) * (right - left));
});

// Rows of bins, each the mean colour that average pooling keeps; with the windows themselves.
export function binMeans(units, level, rule) {
  const [down, across] = [binWindows(units.rows, level, rule), binWindows(units.columns, level, rule)];
  return { down, across, means: down.map((rows) => across.map((columns) => meanOver(units, rows, columns))) };
}

// The nearest place there is; null where there is none.
export const onto = (place, [rows, columns]) => (place && rows && columns ? [Math.min(place[0], rows - 1), Math.min(place[1], columns - 1)] : null);
export const middleOf = (size) => [Math.floor(size / 2), Math.floor(size / 2)];
export const unitsOf = ([height, width], stride) => [Math.ceil(height / stride), Math.ceil(width / stride)];

// A state whose parts fit together: what depends on the rest comes back into range.
export function fitted(state, size) {
  const [rows, columns] = unitsOf(size, state.stride).map((units) => binWindows(units, state.level, state.rule).length);
  const { map_size: n, rates, active, centre, bin } = state;
  return { ...state, active: Math.min(active, rates.length - 1), centre: onto(centre, [n, n]), bin: onto(bin, [rows, columns]) };
}

// Why a number cannot be taken; null: it can.
export function problemWith(name, text, [low, high]) {
  const value = Number(text);
  return /^\d+$/.test(text.trim()) && value >= low && value <= high ? null : `${name} “${text}”: give an integer from ${low} to ${high}.`;
}
