// The drawn parts of ConvLab: a map with its padding, the matrix, the kernel. Sizes are in CSS pixels; screens may have finer ones.
const INK = "#222";
const LINE = "#9a9a9a";
const PADDING = "#ececec";
const LEAST_FONT = 14;

class Sheet {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  clear(width, height) {
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.ceil(width * ratio), height: Math.ceil(height * ratio) });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // Only where it fits: no text is smaller than LEAST_FONT.
  text(words, x, y, [width, height], { bold = false, colour = INK } = {}) {
    const size = Math.min(20, Math.max(LEAST_FONT, Math.round(Math.min(width, height) * 0.45)));
    this.context.font = `${bold ? "700 " : ""}${size}px system-ui, sans-serif`;
    if (height < size || this.context.measureText(words).width > width - 2) return;
    Object.assign(this.context, { textAlign: "center", textBaseline: "middle", fillStyle: colour });
    this.context.fillText(words, x + width / 2, y + height / 2 + 1);
  }

  box(x, y, width, height, colour, line = 1) {
    Object.assign(this.context, { strokeStyle: colour, lineWidth: line });
    this.context.strokeRect(x, y, width, height);
  }

  ring(x, y, width, height) {
    this.box(x + 0.5, y + 0.5, width - 1, height - 1, INK, 3);
  }

  // Stripes: left over behind the last window. Dots: stepped over.
  mark(kind, x, y, side) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(x, y, side, side);
    context.clip();
    Object.assign(context, { strokeStyle: "#8a5a00", fillStyle: "#444", lineWidth: 1.5 });
    context.beginPath();
    if (kind === "remainder") for (let step = -side; step < side; step += 7) { context.moveTo(x + step, y + side); context.lineTo(x + step + side, y); }
    context.stroke();
    if (kind === "gap") { context.beginPath(); context.arc(x + side / 2, y + side / 2, Math.max(2, side / 10), 0, 7); context.fill(); }
    context.restore();
  }
}

// A map of size × size cells inside `padding` more on each side.
export class GridView extends Sheet {
  // shown: { size, padding, paddingText, kind(row, column), taps: Map(cell -> tap), outside: [row, column, tap], focus, colour(tap) }
  draw(shown, side) {
    const { size, padding } = shown;
    const whole = size + 2 * padding;
    this.cells = { size, padding, side };
    this.clear(whole * side + 2, whole * side + 2);
    this.canvas.dataset.cells = JSON.stringify([size, padding, side]);
    const outside = new Map(shown.outside.map(([row, column, tap]) => [`${row},${column}`, tap]));
    for (let row = -padding; row < size + padding; row += 1) {
      for (let column = -padding; column < size + padding; column += 1) this.cell(shown, row, column, outside);
    }
    const inner = this.corner(0, 0);
    this.box(inner[0], inner[1], size * side, size * side, INK, padding ? 2 : 1.5);
    if (shown.focus !== null) this.ring(...this.corner(Math.floor(shown.focus / size), shown.focus % size), side, side);
  }

  corner(row, column) {
    const { padding, side } = this.cells;
    return [(column + padding) * side + 1, (row + padding) * side + 1];
  }

  cell({ size, taps, kind, colour, paddingText, numbers }, row, column, outside) {
    const { side } = this.cells;
    const [x, y] = this.corner(row, column);
    const inside = Math.min(row, column) >= 0 && Math.max(row, column) < size;
    const tap = inside ? taps.get(row * size + column) : outside.get(`${row},${column}`);
    this.context.fillStyle = tap ? colour(tap) : inside ? "#fff" : PADDING;
    this.context.globalAlpha = tap && !inside ? 0.55 : 1;
    this.context.fillRect(x, y, side, side);
    this.context.globalAlpha = 1;
    const unread = kind(row, column);
    if (unread) this.mark(unread, x, y, side);
    this.context.setLineDash(inside ? [] : [3, 3]);
    this.box(x, y, side, side, LINE);
    this.context.setLineDash([]);
    if (tap) this.text(`${tap}`, x, y, [side, side], { bold: inside });
    else if (!unread && numbers) this.text(inside ? `${row * size + column}` : paddingText, x, y, [side, side], { colour: "#666" });
  }

  // The flat index under the mouse, or null in the padding.
  at(event) {
    const { size, padding, side } = this.cells;
    const [x, y] = this.place(event);
    const [row, column] = [y, x].map((value) => Math.floor((value - 1) / side) - padding);
    return Math.min(row, column) >= 0 && Math.max(row, column) < size ? row * size + column : null;
  }
}

const LEFT = 34;
const TOP = 24;

function headings(count, block, room, wanted, lit) {
  const step = room >= wanted ? 1 : Math.max(1, Math.ceil(wanted / (block * room))) * block;
  const usual = Array.from({ length: count }, (_, n) => n).filter((n) => n % step === 0);
  return lit === null ? usual : [...usual.filter((n) => n === lit || Math.abs(n - lit) * room >= wanted), ...(lit % step ? [lit] : [])];
}

// A row for each output cell, a column for each input cell.
export class MatrixView extends Sheet {
  // entries: [row, column, tap]; rowsOf, columnsOf: cells along one axis of the output and of the input; most: [width, height].
  measure(rowsOf, columnsOf, most) {
    const [rows, columns] = [rowsOf * rowsOf, columnsOf * columnsOf];
    let [width, height] = [Math.min(40, (most[0] - LEFT - 4) / columns), Math.min(40, (most[1] - TOP - 4) / rows)];
    [width, height] = [Math.min(width, 3 * height), Math.min(height, 2 * width)];
    this.cells = { rowsOf, columnsOf, rows, columns, width, height };
    this.canvas.dataset.cells = JSON.stringify([LEFT, TOP, width, height, rows, columns]);
  }

  draw({ entries, side, cell, entry, colour }) {
    const { rows, columns, width, height } = this.cells;
    this.clear(LEFT + columns * width + 3, TOP + rows * height + 3);
    const { context } = this;
    context.fillStyle = "#fff";
    context.fillRect(LEFT, TOP, columns * width, rows * height);
    for (const [row, column, tap] of entries) {
      const isLit = side === "output" ? row === cell.output : column === cell.input;
      const [x, y] = [LEFT + column * width, TOP + row * height];
      context.globalAlpha = isLit ? 1 : 0.42;
      context.fillStyle = colour(tap);
      context.fillRect(x, y, width, height);
      context.globalAlpha = 1;
      this.text(`${tap}`, x, y, [width, height], { bold: isLit, colour: isLit ? INK : "#555" });
    }
    this.rules();
    this.heads(entry || side === "output" ? cell.output : null, entry || side === "input" ? cell.input : null);
    if (side === "output") this.box(LEFT - 1, TOP + cell.output * height - 1, columns * width + 2, height + 2, INK, 2);
    else this.box(LEFT + cell.input * width - 1, TOP - 1, width + 2, rows * height + 2, INK, 2);
    if (entry) this.box(LEFT + cell.input * width + 1, TOP + cell.output * height + 1, width - 2, height - 2, "#d55e00", 3);
  }

  // Thick lines part the rows and columns of the maps.
  rules() {
    const { rowsOf, columnsOf, rows, columns, width, height } = this.cells;
    const line = (a, b, isThick) => {
      Object.assign(this.context, { strokeStyle: isThick ? "#666" : "#d5d5d5", lineWidth: isThick ? 1.2 : 1 });
      this.context.beginPath();
      this.context.moveTo(...a);
      this.context.lineTo(...b);
      this.context.stroke();
    };
    for (const thick of [false, true]) {
      for (let row = 0; row <= rows; row += 1) if ((row % rowsOf === 0) === thick && (thick || height >= 6)) line([LEFT, TOP + row * height], [LEFT + columns * width, TOP + row * height], thick);
      for (let column = 0; column <= columns; column += 1) if ((column % columnsOf === 0) === thick && (thick || width >= 6)) line([LEFT + column * width, TOP], [LEFT + column * width, TOP + rows * height], thick);
    }
  }

  // Numbers of rows and columns, as many as there is room for; what is lit always has its own.
  heads(output, input) {
    const { rowsOf, columnsOf, rows, columns, width, height } = this.cells;
    for (const row of headings(rows, rowsOf, height, 17, output)) {
      this.text(`${row}`, 0, TOP + row * height + Math.min(0, height - 18) / 2, [LEFT - 2, Math.max(18, height)], { bold: row === output, colour: INK });
    }
    for (const column of headings(columns, columnsOf, width, 24, input)) {
      this.text(`${column}`, LEFT + column * width + Math.min(0, width - 30) / 2, 0, [Math.max(30, width), TOP], { bold: column === input, colour: INK });
    }
  }

  // [row, column]; null on either stands for the heads, both for outside.
  at(event) {
    const { rows, columns, width, height } = this.cells;
    const [x, y] = this.place(event);
    const within = (value, count) => (value >= 0 && value < count ? value : null);
    return [within(Math.floor((y - TOP) / height), rows), within(Math.floor((x - LEFT) / width), columns)];
  }
}

export class KernelView extends Sheet {
  draw(size, colour, litTaps) {
    const side = Math.min(40, Math.floor(150 / size));
    this.clear(size * side + 2, size * side + 2);
    for (let n = 0; n < size * size; n += 1) {
      const [x, y] = [(n % size) * side + 1, Math.floor(n / size) * side + 1];
      const isLit = litTaps.has(n + 1);
      this.context.globalAlpha = isLit ? 1 : 0.42;
      this.context.fillStyle = colour(n + 1);
      this.context.fillRect(x, y, side, side);
      this.context.globalAlpha = 1;
      this.box(x, y, side, side, LINE);
      this.text(`${n + 1}`, x, y, [side, side], { bold: isLit, colour: isLit ? INK : "#555" });
    }
    this.box(1, 1, size * side, size * side, INK, 2);
  }
}
