// The parts of GridLab made of text: the schedule's controls, the table of numbers, the legends and the lines of PyTorch.
import { element } from "./lab.js";
import { problemOf, pytorchStack } from "./grid_lab_maths.js";
import { grouped, percent, ruleWords, truthWords } from "./grid_lab_words.js";
import { READER_COLOURS, shadeOf } from "./grid_lab_views.js";

// Not `disabled`: the keyboard's focus would be lost to the notebook.
const allow = (button, isAllowed) => button.setAttribute("aria-disabled", String(!isAllowed));
const same = (a, b) => a.kernel_size === b.kernel_size && `${a.dilations}` === `${b.dilations}`;

// change(state) is called with a schedule that can be shown, compare() with nothing.
export class ScheduleControls {
  constructor(parent, { limits, presets }, change, compare) {
    Object.assign(this, { limits, presets, change, steppers: [] });
    this.row = element("div", parent, { className: "row" });
    this.menu = this.select("Preset", ["", ...presets.keys()], (n) => (n === "" ? "your own" : `${presets[n].name}: ${presets[n].dilations.join(", ")}`));
    this.menu.onchange = () => this.ask({ ...presets[Number(this.menu.value)] });
    this.kernel = this.select("Kernel", limits.kernels, (k) => `${k} × ${k}`);
    this.kernel.onchange = () => this.ask({ ...this.state, kernel_size: Number(this.kernel.value) });
    this.typing();
    this.compare = element("button", this.row, { type: "button", className: "compare" }, "Compare with the next output");
    this.compare.onclick = compare;
    this.layers = element("div", parent, { className: "row layers", role: "group", ariaLabel: "Dilation of each layer, from the input up" });
    this.problem = element("p", parent, { className: "problem" });
    this.problem.setAttribute("role", "alert");
  }

  select(label, values, nameOf) {
    const box = element("label", this.row, { className: label.toLowerCase() }, label);
    const select = element("select", box);
    [...values].forEach((value) => element("option", select, { value: `${value}`, disabled: value === "" }, nameOf(value)));
    return select;
  }

  typing() {
    const box = element("label", this.row, {}, "Dilations");
    this.typed = element("input", box, { type: "text", spellcheck: false, autocomplete: "off", size: 18 });
    this.typed.title = `Up to ${this.limits.layers} integers from ${this.limits.dilations.join(" to ")}, from the input up`;
    this.typed.oninput = () => this.read();
    this.typed.onblur = () => { if (this.problem.textContent) this.show(this.state); };
  }

  read() {
    const words = this.typed.value.split(/[\s,;]+/).filter(Boolean);
    const wrong = words.find((word) => !/^\d+$/.test(word));
    if (wrong !== undefined) this.complain(`“${wrong}” is no dilation: type integers, 2, 2, 1 say.`);
    else this.ask({ ...this.state, dilations: words.map(Number) });
  }

  ask(state) {
    const { dilations, kernel_size } = state;
    const problem = problemOf({ dilations, kernel_size }, this.limits);
    if (problem) this.complain(problem);
    else this.change({ dilations: [...dilations], kernel_size });
  }

  complain(words) {
    this.problem.textContent = words;
    this.typed.setAttribute("aria-invalid", "true");
    this.kernel.value = `${this.state.kernel_size}`;
    this.menu.value = this.chosen();
  }

  chosen() {
    const found = this.presets.findIndex((one) => same(one, this.state));
    return found < 0 ? "" : `${found}`;
  }

  show(state, compared = this.compare.getAttribute("aria-pressed") === "true") {
    this.state = state;
    this.problem.textContent = "";
    this.typed.setAttribute("aria-invalid", "false");
    const numbers = this.typed.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    const isTyping = this.typed === this.typed.getRootNode().activeElement && `${numbers}` === `${state.dilations}`;
    if (!isTyping) this.typed.value = state.dilations.join(", ");
    this.menu.value = this.chosen();
    this.kernel.value = `${state.kernel_size}`;
    this.compare.setAttribute("aria-pressed", String(compared));
    if (this.steppers.length !== state.dilations.length) this.build();
    this.steppers.forEach((stepper, layer) => this.fill(stepper, layer));
    allow(this.add, !problemOf(this.added(), this.limits));
  }

  added() {
    return { ...this.state, dilations: [...this.state.dilations, 1] };
  }

  changed(layer, by) {
    return { ...this.state, dilations: this.state.dilations.map((one, n) => (n === layer ? one + by : one)) };
  }

  without(layer) {
    return { ...this.state, dilations: this.state.dilations.filter((_, n) => n !== layer) };
  }

  build() {
    const focused = [...this.layers.querySelectorAll("button")].indexOf(this.layers.getRootNode().activeElement);
    this.layers.replaceChildren();
    element("span", this.layers, {}, "Layers, input first");
    this.steppers = this.state.dilations.map((_, layer) => this.stepper(layer));
    this.add = element("button", this.layers, { type: "button" }, "+ layer");
    this.add.onclick = () => { if (this.add.getAttribute("aria-disabled") !== "true") this.ask(this.added()); };
    const buttons = [...this.layers.querySelectorAll("button")];
    if (focused >= 0) (focused >= buttons.length - 1 ? this.add : buttons[focused]).focus();
  }

  stepper(layer) {
    const box = element("span", this.layers, { className: "stepper" });
    const button = (text, name, next) => {
      const made = element("button", box, { type: "button" }, text);
      made.setAttribute("aria-label", `Layer ${layer + 1}: ${name}`);
      made.onclick = () => { if (made.getAttribute("aria-disabled") !== "true") this.ask(next()); };
      return made;
    };
    const less = button("−", "smaller dilation", () => this.changed(layer, -1));
    const value = element("b", box);
    const more = button("+", "larger dilation", () => this.changed(layer, 1));
    const away = button("×", "take away", () => this.without(layer));
    return { less, value, more, away };
  }

  fill({ less, value, more, away }, layer) {
    value.textContent = `${this.state.dilations[layer]}`;
    [[less, this.changed(layer, -1)], [more, this.changed(layer, 1)], [away, this.without(layer)]].forEach(([button, next]) => allow(button, !problemOf(next, this.limits)));
  }
}

export class FactsPanel {
  constructor(parent) {
    element("h3", parent, {}, "In numbers");
    this.rows = element("tbody", element("table", parent));
    this.verdict = element("p", parent, { className: "verdict" });
  }

  row(name, value, kind = "") {
    const row = element("tr", this.rows);
    const head = element("th", row, { scope: "row" }, name);
    element("td", row, { className: kind }, value);
    return head;
  }

  show(state, facts) {
    const { window: side, read, total, paths, weights, dense, right, diagonal, common, gapFree } = facts;
    const { rule, agrees } = ruleWords(facts, state.kernel_size);
    this.rows.replaceChildren();
    this.row("field", `${side} × ${side}`);
    this.row("inputs read", `${grouped(read)} of ${grouped(total)} (${percent(read, total)})`);
    this.row("paths", grouped(paths));
    this.row("weights", `${grouped(weights)}; dense: ${grouped(dense)}`);
    this.row("shared, right", `${grouped(right)} of ${grouped(read)}`);
    this.row("shared, diagonal", `${grouped(diagonal)} of ${grouped(read)}`);
    this.row("common divisor", `${common}`);
    this.row("HDC rule M₂ ≤ k", rule);
    this.row("in truth", truthWords(facts), gapFree ? "free" : "holes");
    this.verdict.textContent = agrees === null ? "" : agrees ? "The rule agrees with the count." : "The rule is wrong here: count.";
    this.verdict.dataset.agrees = `${agrees ?? ""}`;
  }
}

export class CodePiece {
  constructor(parent) {
    const head = element("div", parent, { className: "row" });
    element("h3", head, {}, "The same in PyTorch");
    this.button = element("button", head, { type: "button" }, "Copy");
    this.button.onclick = () => this.copy();
    this.code = element("pre", parent, { tabIndex: 0, ariaLabel: "PyTorch code of this stack" });
    this.code.dataset.lmSuppressShortcuts = "true";
  }

  show(state) {
    this.code.textContent = pytorchStack(state);
    this.button.textContent = "Copy";
  }

  // Where a page may not write to the clipboard, the lines are selected instead.
  async copy() {
    try {
      await navigator.clipboard.writeText(this.code.textContent);
      this.button.textContent = "Copied";
    } catch {
      const [range, selection] = [document.createRange(), window.getSelection()];
      range.selectNodeContents(this.code);
      selection.removeAllRanges();
      selection.addRange(range);
      this.button.textContent = "Selected: press Ctrl + C";
    }
  }
}

// What the marks in the window mean: paths, or who reads.
export function fillLegend(box, { counts, gapFree }, compared) {
  box.replaceChildren();
  const entry = (kind, words, style = {}) => {
    const item = element("span", box);
    Object.assign(element("i", item, { className: kind }).style, style);
    item.append(words);
  };
  if (compared) {
    entry("own", "● this output", { background: READER_COLOURS.own });
    entry("other", "□ its neighbour", { background: READER_COLOURS.other });
    entry("both", "both", { background: READER_COLOURS.both });
  } else {
    const most = Math.max(...counts) ** 2;
    const stops = Array.from({ length: 9 }, (_, n) => `rgb(${shadeOf(most ** (n / 8), most)})`);
    entry("ramp", most === 1 ? "1 path" : `1 … ${grouped(most)} paths, log scale`, { background: most === 1 ? stops[0] : `linear-gradient(90deg, ${stops.join(", ")})` });
  }
  if (!gapFree || compared) entry("void", compared ? "neither" : "hole");
  entry("middle", "place of the output");
}
