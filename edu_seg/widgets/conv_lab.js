// Point at a row or column of the matrix, at an input cell or an output cell: what it ties lights up everywhere. All of it is worked out here.
import { BaseLab, element } from "./lab.js";
import { NAMES, entries, otherSide, possible, pytorchLine, sizeFormula, sizesOf, tiesOf, isSmall, unreached } from "./conv_lab_maths.js";
import { matrixName, tieWords } from "./conv_lab_words.js";
import { GridView, KernelView, MatrixView } from "./conv_lab_views.js";
import { CodePanel, Controls } from "./conv_lab_panels.js";

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const HINT = "Point at an input cell, an output cell, or a row or column of the matrix. Arrow keys move, Tab goes to the next panel; in the matrix Enter changes between row and column.";
const LARGEST = { wide: 46, medium: 40, narrow: 34 };
const HIGHEST = { wide: 470, medium: 470, narrow: 420 };

class ConvLab extends BaseLab {
  constructor(model, el) {
    super();
    const { ranges, most, colours } = model.get("data");
    Object.assign(this, { model, limits: { ranges, most }, colours, cell: { output: 0, input: 0 }, side: "output", entry: false, by: "output" });
    this.build(el);
    this.take(this.sent());
    this.follow(1180, 720);
    NAMES.forEach((name) => this.model.on?.(`change:${name}`, () => this.hear()));
  }

  // What is on the page.
  build(el) {
    this.root = element("div", el, { className: "edu-seg cv" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    this.controls = new Controls(element("div", this.root, { className: "controls" }), this.limits, (state) => this.change(state));
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    this.stage = element("div", this.root, { className: "stage" });
    const panel = (name, label) => {
      const section = element("section", this.stage, { className: name });
      return { section, title: element("h3", section), canvas: this.canvas(section, label) };
    };
    this.panels = {
      input: panel("input", "Input map: arrow keys move the cell that is lit"),
      matrix: panel("matrix", "Matrix: arrow keys move from entry to entry, Enter changes between its row and its column"),
      output: panel("output", "Output map: arrow keys move the cell that is lit"),
    };
    this.grids = { input: new GridView(this.panels.input.canvas), output: new GridView(this.panels.output.canvas) };
    this.matrix = new MatrixView(this.panels.matrix.canvas);
    this.switches(this.panels.matrix.section);
    this.foot(element("div", this.root, { className: "foot" }));
    element("p", this.root, { className: "hint" }, HINT);
    this.listen();
  }

  canvas(parent, label) {
    const canvas = element("canvas", parent, { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", label);
    canvas.dataset.lmSuppressShortcuts = "true";
    return canvas;
  }

  switches(parent) {
    const row = element("div", parent, { className: "row", role: "group", ariaLabel: "An entry lights its" });
    element("span", row, {}, "An entry lights its");
    this.buttons = [["output", "row"], ["input", "column"]].map(([side, name]) => {
      const button = element("button", row, { type: "button" }, name);
      button.onclick = () => this.readBy(side);
      return { side, button };
    });
  }

  foot(parent) {
    const left = element("div", parent, { className: "kernel" });
    element("h3", left, {}, "Kernel taps");
    const drawing = element("canvas", left);
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", "The kernel: its taps are numbered row by row, each has a colour");
    this.kernel = new KernelView(drawing);
    this.code = new CodePanel(parent);
  }

  listen() {
    for (const side of ["input", "output"]) {
      const { canvas } = this.panels[side];
      const point = (event) => {
        const index = this.grids[side].at(event);
        if (index !== null) this.light(side, index);
      };
      canvas.onpointermove = (event) => { if (this.moved(event)) point(event); };
      canvas.onpointerdown = point;
      canvas.onfocus = () => { if (canvas.matches(":focus-visible")) this.light(side, this.cell[side]); };
      canvas.onkeydown = (event) => this.gridKey(event, side);
    }
    const { canvas } = this.panels.matrix;
    const point = (event) => this.lightEntry(...this.matrix.at(event));
    canvas.onpointermove = (event) => { if (this.moved(event)) point(event); };
    canvas.onpointerdown = point;
    canvas.onkeydown = (event) => this.matrixKey(event);
  }

  // The state: from Python, or from the controls, which tell Python.
  sent() {
    return Object.fromEntries(NAMES.map((name) => [name, this.model.get(name)]));
  }

  hear() {
    const state = this.sent();
    if (possible(state, this.limits) && NAMES.some((name) => state[name] !== this.state[name])) this.take(state);
  }

  change(state) {
    if (!possible(state, this.limits) || NAMES.every((name) => state[name] === this.state[name])) return this.controls.show(this.state);
    this.take(state);
    NAMES.forEach((name) => this.model.set(name, state[name]));
    this.model.save_changes();
  }

  take(state) {
    const old = this.sizes;
    this.state = state;
    this.sizes = sizesOf(state);
    for (const side of ["input", "output"]) {
      const [from, to] = [old?.[side] ?? 1, this.sizes[side]];
      const [row, column] = [Math.floor(this.cell[side] / from), this.cell[side] % from].map((place) => Math.min(to - 1, place));
      this.cell[side] = row * to + column;
    }
    this.entry = false;
    this.entries = entries(state);
    this.controls.show(state);
    this.code.show(state);
    if (this.root.dataset.layout) this.arrange();
  }

  get padded() {
    return this.state.transposed ? "output" : "input";
  }

  around(side) {
    return side === this.padded ? this.state.padding : 0;
  }

  arrange() {
    const layout = this.root.dataset.layout;
    const across = ["input", "output"].map((side) => this.sizes[side] + 2 * this.around(side));
    const shares = across.map((cells) => `minmax(0, ${Math.max(cells, 0.45 * Math.max(...across))}fr)`).join(" ");
    this.stage.style.gridTemplateColumns = layout === "narrow" ? shares : "";
    const room = (name) => this.panels[name].section.clientWidth - 2;
    const fits = ["input", "output"].map((side, n) => (room(side) - 2) / across[n]);
    this.cellSide = Math.floor(Math.min(LARGEST[layout], ...fits));
    this.matrix.measure(this.sizes.output, this.sizes.input, [room("matrix"), HIGHEST[layout]]);
    for (const side of ["input", "output"]) this.title(side);
    const [rows, columns] = [this.sizes.output ** 2, this.sizes.input ** 2];
    this.panels.matrix.title.replaceChildren(`Matrix ${matrixName(this.state)} `);
    element("small", this.panels.matrix.title, {}, `${rows} × ${columns}; rows: output cells, columns: input cells`);
    this.draw();
  }

  title(side) {
    const [size, around] = [this.sizes[side], this.around(side)];
    const { title } = this.panels[side];
    title.replaceChildren(side === "input" ? "Input " : "Output ");
    const padding = around ? `, ${this.state.transposed ? "cut from" : "padded to"} ${size + 2 * around} × ${size + 2 * around}` : "";
    element("small", title, {}, `${size} × ${size}${padding}`);
  }

  // What is lit.
  light(side, index) {
    if (!this.entry && side === this.side && index === this.cell[side]) return;
    Object.assign(this, { side, entry: false });
    this.cell[side] = index;
    this.schedule();
  }

  lightEntry(row, column) {
    if (row === null && column === null) return;
    const isEntry = row !== null && column !== null;
    this.side = isEntry ? this.by : row === null ? "input" : "output";
    this.cell = { output: row ?? this.cell.output, input: column ?? this.cell.input };
    this.entry = isEntry;
    this.schedule();
  }

  readBy(side) {
    Object.assign(this, { by: side, side });
    this.schedule();
  }

  step(index, size, [down, right]) {
    const clamp = (value) => Math.max(0, Math.min(size - 1, value));
    return clamp(Math.floor(index / size) + down) * size + clamp((index % size) + right);
  }

  gridKey(event, side) {
    const step = STEPS[event.key];
    if (!step) return;
    this.light(side, this.step(this.cell[side], this.sizes[side], step));
    event.preventDefault();
  }

  matrixKey(event) {
    const step = STEPS[event.key];
    const [rows, columns] = [this.sizes.output ** 2, this.sizes.input ** 2];
    const moved = (value, by, most) => Math.max(0, Math.min(most - 1, value + by));
    if (step) this.lightEntry(moved(this.cell.output, step[0], rows), moved(this.cell.input, step[1], columns));
    else if (event.key === "Enter" || event.key === " ") this.readBy(this.by === "output" ? "input" : "output");
    else return;
    event.preventDefault();
  }

  draw() {
    const { side, state } = this;
    const found = tiesOf(state, side, this.cell[side]);
    const other = otherSide(side);
    const colour = (tap) => this.colours[Math.floor((tap - 1) / state.kernel_size) * this.limits.ranges.kernel_size[1] + ((tap - 1) % state.kernel_size)];
    const nowhere = { taps: new Map(), outside: [] };
    this.drawGrid(side, { ...nowhere, focus: this.cell[side], colour });
    this.drawGrid(other, { taps: new Map(found.ties), outside: isSmall(state, side) ? found.outside : [], focus: this.entry ? this.cell[other] : null, colour });
    this.matrix.draw({ entries: this.entries, side, cell: this.cell, entry: this.entry, colour });
    this.kernel.draw(state.kernel_size, colour, new Set([...found.ties.map(([, tap]) => tap), ...found.outside.map(([, , tap]) => tap)]));
    this.buttons.forEach(({ side: one, button }) => button.setAttribute("aria-pressed", String(one === this.by)));
    this.say(tieWords(state, side, this.cell[side], this.entry ? [this.cell.output, this.cell.input] : null));
    this.mark(found);
  }

  drawGrid(side, lit) {
    const kind = side === this.padded ? unreached(this.state) : () => "";
    const numbers = this.cellSide >= 22;
    this.grids[side].draw({ size: this.sizes[side], padding: this.around(side), paddingText: this.state.transposed ? "" : "0", kind, numbers, ...lit }, this.cellSide);
  }

  // A cell's two numbers stay on one line.
  say(words) {
    super.say(words.replace(/\((\d+), (\d+)\)/g, "($1,\u00a0$2)"));
  }

  // The state as attributes, for those who read the page by program.
  mark({ ties, outside }) {
    const lit = {
      side: this.side, index: this.cell[this.side], cells: ties.map(([cell]) => cell), taps: ties.map(([, tap]) => tap), outside: outside.length,
      entry: this.entry ? [this.cell.output, this.cell.input] : "", output: this.sizes.output, remainder: this.sizes.remainder,
      line: pytorchLine(this.state), formula: sizeFormula(this.state), state: NAMES.map((name) => Number(this.state[name])),
    };
    this.publish(lit);
  }
}

export default {
  render({ model, el }) {
    const lab = new ConvLab(model, el);
    return () => lab.watcher.disconnect();
  },
};
