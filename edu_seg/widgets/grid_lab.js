// Edit a schedule of dilations: which inputs an output reads, by how many paths, and which it skips. All of it is worked out here.
import { BaseLab, clamp, element } from "./lab.js";
import { factsOf, gainAt, periodicPlaces, pytorchStack, reachedUnits, throughUnit, tiesBetween, problemOf } from "./grid_lab_maths.js";
import { cellWords, grouped, percent, stackWords, unitWords, waveWords } from "./grid_lab_words.js";
import { StackView } from "./grid_lab_stack.js";
import { ResponseView, WindowView } from "./grid_lab_views.js";
import { CodePiece, FactsPanel, ScheduleControls, fillLegend } from "./grid_lab_panels.js";

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const GUIDE = "Choose a preset, type dilations, or step a layer up and down. Point at a unit of the layers, an input of the window or a place of the curve, or " +
  "move there with Tab and the arrow keys. A click or Enter holds it, Escape lets go.";
const KEYS = "arrow keys move, Enter holds, Escape lets go";

class GridLab extends BaseLab {
  constructor(model, el) {
    super();
    const data = model.get("data");
    Object.assign(this, { model, limits: data.limits, compared: false, held: false, point: null });
    this.build(el, data);
    this.listen();
    this.take(this.sent());
    this.follow(1220, 850);
    this.onSent = () => this.hear();
    model.on("change:dilations", this.onSent);
    model.on("change:kernel_size", this.onSent);
  }

  // What is on the page.
  build(el, data) {
    this.root = element("div", el, { className: "edu-seg grid" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.controls = new ScheduleControls(element("div", this.root, { className: "controls" }), data, (state) => this.change(state), () => this.compare());
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    const stage = element("div", this.root, { className: "stage" });
    this.panels = {
      stack: this.panel(stage, "stack", "Layers along one axis", `Layers and taps along one axis: ${KEYS}`),
      window: this.panel(stage, "window", "Window", `Window of inputs: ${KEYS}`),
      response: this.panel(stage, "response", "Frequency response", `Gain at each frequency: left and right move, Page keys go from mark to mark, ${KEYS}`),
    };
    this.views = { stack: new StackView(this.panels.stack.canvas), window: new WindowView(this.panels.window.canvas), response: new ResponseView(this.panels.response.canvas) };
    this.marks = element("p", this.panels.stack.section, { className: "legend" });
    this.legend = element("p", this.panels.window.section, { className: "legend" });
    this.waves = element("p", this.panels.response.section, { className: "note" });
    const side = element("div", stage, { className: "side" });
    this.facts = new FactsPanel(element("section", side, { className: "facts" }));
    this.code = new CodePiece(element("section", side, { className: "code" }));
    element("p", this.root, { className: "hint" }, GUIDE);
  }

  panel(parent, name, title, label) {
    const section = element("section", parent, { className: name });
    const heading = element("h3", section, {}, title);
    const canvas = element("canvas", section, { tabIndex: 0, ariaLabel: label });
    canvas.setAttribute("role", "application");
    canvas.dataset.lmSuppressShortcuts = "true";
    return { section, heading, canvas };
  }

  listen() {
    this.root.onkeydown = (event) => { this.key(event); event.stopPropagation(); };
    for (const [name, { canvas }] of Object.entries(this.panels)) {
      canvas.onpointermove = (event) => { if (this.moved(event) && !this.held) this.look(this.pointAt(name, event)); };
      canvas.onpointerdown = (event) => this.hold(this.pointAt(name, event));
      canvas.onpointerleave = (event) => { if (!this.rests(event) && !this.held) this.look(null); };
      canvas.onkeydown = (event) => this.canvasKey(name, event);
    }
  }

  // A point is [level, offset] in the stack, [row, column] in the window, [frequency] in the response.
  pointAt(name, event) {
    if (name === "response") return { name, at: [this.views.response.at(event, this.places)] };
    return { name, at: this.views[name].at(event) };
  }

  look(point) {
    this.point = point;
    this.schedule();
  }

  hold(point) {
    this.held = !(this.held && JSON.stringify(point) === JSON.stringify(this.point));
    this.look(point);
  }

  // The state: from Python, or from the controls, which tell Python.
  sent() {
    return { dilations: [...this.model.get("dilations")], kernel_size: this.model.get("kernel_size") };
  }

  hear() {
    const state = this.sent();
    if (!problemOf(state, this.limits) && JSON.stringify(state) !== JSON.stringify(this.state)) this.take(state);
  }

  change(state) {
    const isNew = JSON.stringify(state) !== JSON.stringify(this.state);
    if (!isNew) return this.controls.show(this.state);
    this.take(state);
    this.model.set("dilations", state.dilations);
    this.model.set("kernel_size", state.kernel_size);
    this.model.save_changes();
  }

  compare() {
    this.compared = !this.compared;
    this.take(this.state);
  }

  // Everything that does not depend on what is pointed at.
  take(state) {
    Object.assign(this, { state, point: null, held: false, numbers: factsOf(state), reached: reachedUnits(state), places: periodicPlaces(state.dilations) });
    this.ties = tiesBetween(state, this.reached);
    this.controls.show(state, this.compared);
    this.facts.show(state, this.numbers);
    this.code.show(state);
    fillLegend(this.legend, this.numbers, this.compared);
    this.describe();
    if (this.root.dataset.layout) this.arrange();
  }

  describe() {
    const { read, total, gapFree, common } = this.numbers;
    this.panels.window.heading.textContent = this.compared ? "Who reads which input" : `Window: ${grouped(read)} of ${grouped(total)} read (${percent(read, total)})`;
    this.marks.replaceChildren();
    [["disc", this.compared ? "read by this output" : "on a path to the output"], ...(this.compared ? [["square", "read by its right neighbour"]] : []), ...(gapFree ? [] : [["cross", "hole"]])]
      .forEach(([kind, words]) => { const item = element("span", this.marks); element("i", item, { className: kind }); item.append(words); });
    this.waves.textContent = this.places.length === 0
      ? "|H(ω)| with equal weights. No layer is dilated, so only the constant passes unchanged."
      : `|H(ω)| with equal weights. Dashed: ω = 2πm/d, which a layer of dilation d passes unchanged; ${common > 1 ? `full: all layers do (2πm/${common}), so patterns of period ${common} survive.` : "no such wave passes them all."}`;
  }

  arrange() {
    const room = (name) => this.panels[name].section.clientWidth - 2;
    const half = (this.numbers.window - 1) / 2;
    const extra = this.compared ? 1 : 0;
    this.views.stack.measure(half, extra, this.state.dilations.length, room("stack"));
    this.views.window.measure(half, extra, room("window"), 460);
    this.views.response.measure(room("response"), 230);
    this.draw();
  }

  // Keys: Escape anywhere; arrows, Enter and the Page keys on a drawing.
  key(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    this.held = false;
    this.look(null);
    event.preventDefault();
  }

  canvasKey(name, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = this.point?.name === name ? this.point.at : null;
    const isMove = MOVES[event.key] || (name === "response" && ["PageUp", "PageDown"].includes(event.key));
    if (isMove) this.look({ name, at: here ? this.step(name, here, event.key) : this.start(name) });
    else if (event.key === "Enter") this.hold({ name, at: here ?? this.start(name) });
    else return;
    event.preventDefault();
  }

  start(name) {
    return name === "response" ? [0] : [0, 0];
  }

  step(name, [first, second], key) {
    const half = (this.numbers.window - 1) / 2;
    const right = half + (this.compared ? 1 : 0);
    if (name === "response") return [this.nextFrequency(first, key)];
    const [down, across] = MOVES[key];
    if (name === "window") return [clamp(first + down, -half, half), clamp(second + across, -half, right)];
    return [clamp(first - down, 0, this.state.dilations.length), clamp(second + across, -half, right)];
  }

  nextFrequency(omega, key) {
    const marks = [0, ...this.places.map((place) => place.omega), Math.PI];
    if (key === "PageUp") return marks.find((mark) => mark > omega + 1e-9) ?? Math.PI;
    if (key === "PageDown") return marks.findLast((mark) => mark < omega - 1e-9) ?? 0;
    const way = MOVES[key][1] - MOVES[key][0];
    return clamp(omega + (way * Math.PI) / 100, 0, Math.PI);
  }

  // The unit of the stack that is pointed at; a cell of the window stands for its column.
  get unit() {
    if (!this.point || this.point.name === "response") return null;
    return this.point.name === "stack" ? this.point.at : [0, this.point.at[1]];
  }

  get cell() {
    if (!this.point || this.point.name === "response") return null;
    if (this.point.name === "window") return { row: this.point.at[0], column: this.point.at[1] };
    return this.point.at[0] === 0 ? { row: null, column: this.point.at[1] } : null;
  }

  draw() {
    const { state, numbers, reached, unit, point } = this;
    const through = unit && throughUnit(state, reached, ...unit);
    const lit = through && tiesBetween(state, through);
    this.views.stack.draw({
      own: reached, other: this.compared ? reached : null, ties: this.ties, otherTies: this.compared ? this.ties.map(([level, above, below]) => [level, above + 1, below + 1]) : null,
      lit, pointed: unit, counts: numbers.counts, names: state.dilations.map((dilation) => `d = ${dilation}`),
    });
    this.views.window.draw({ counts: numbers.counts, compared: this.compared, pointed: this.cell });
    const omega = point?.name === "response" ? point.at[0] : null;
    this.views.response.draw({ gain: (at) => gainAt(state, at), places: this.places, pointed: omega });
    this.say(this.words(omega));
    this.tell(through, omega);
  }

  words(omega) {
    const { state, numbers, point } = this;
    if (!point) return stackWords(state, numbers);
    if (point.name === "window") return cellWords(numbers, point.at, this.compared);
    if (point.name === "stack") return unitWords(state, this.reached, ...point.at, this.compared);
    return waveWords(omega, gainAt(state, omega), this.places.find((place) => place.omega === omega));
  }

  // The state as attributes, for those who read the page by program.
  tell(through, omega) {
    const { state, numbers, point } = this;
    const { counts, window: side, read, total, paths, weights, gap, passes, right, diagonal, gapFree } = numbers;
    const values = {
      dilations: state.dilations, kernel: state.kernel_size, counts, window: side, read, total, paths, weights, gap, passes, shared: [right, diagonal], free: gapFree,
      code: pytorchStack(state), point: point && [point.name, ...point.at], held: this.held, compared: this.compared,
      through: through && through.map((units) => [...units].sort((a, b) => a - b).join(" ")).join(";"),
      gain: omega === null ? null : gainAt(state, omega),
    };
    this.publish(values);
  }

  end() {
    this.watcher.disconnect();
    this.model.off?.("change:dilations", this.onSent);
    this.model.off?.("change:kernel_size", this.onSent);
  }
}

export default {
  render({ model, el }) {
    const lab = new GridLab(model, el);
    return () => lab.end();
  },
};
