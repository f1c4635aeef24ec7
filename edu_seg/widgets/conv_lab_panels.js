// The parts of ConvLab made of text: its controls, and the line of PyTorch with the size formula.
import { element } from "./lab.js";
import { CASES, adjoint, choices, possible, pytorchLine, sizeFormula, sizesOf, unreached } from "./conv_lab_maths.js";
import { restWords } from "./conv_lab_words.js";

const LABELS = { size: "input size", kernel_size: "kernel", stride: "stride", padding: "padding", dilation: "dilation", output_padding: "output padding" };
const KINDS = [[false, "convolution"], [true, "transposed convolution"]];

export function buttonRow(parent, label) {
  const row = element("div", parent, { className: "row", role: "group", ariaLabel: label });
  element("span", row, {}, label);
  return row;
}

// Only what is possible can be chosen: every other value is there, but greyed out.
export class Controls {
  constructor(parent, limits, change) {
    Object.assign(this, { limits, change });
    const kinds = buttonRow(parent, "Layer");
    this.kinds = KINDS.map(([transposed, name]) => {
      const button = element("button", kinds, { type: "button" }, name);
      button.onclick = () => { if (this.state.transposed !== transposed) this.change(adjoint(this.state)); };
      return { transposed, button };
    });
    const settings = element("div", parent, { className: "row settings" });
    this.selects = Object.entries(LABELS).map(([name, label]) => {
      const box = element("label", settings, {}, label);
      const select = element("select", box);
      select.dataset.name = name;
      select.onchange = () => this.change({ ...this.state, [name]: Number(select.value) });
      return { name, select };
    });
    const starts = buttonRow(parent, "Start from");
    this.cases = Object.entries(CASES).filter(([, state]) => possible(state, limits)).map(([name, state]) => {
      const button = element("button", starts, { type: "button" }, name);
      button.onclick = () => this.change({ ...state });
      return { state, button };
    });
  }

  show(state) {
    this.state = state;
    const canSwap = possible(adjoint(state), this.limits);
    this.kinds.forEach(({ transposed, button }) => {
      button.setAttribute("aria-pressed", String(transposed === state.transposed));
      button.disabled = transposed !== state.transposed && !canSwap;
    });
    this.selects.forEach(({ name, select }) => this.fill(name, select));
    this.cases.forEach(({ state: one, button }) => button.setAttribute("aria-pressed", String(Object.keys(one).every((name) => one[name] === state[name]))));
  }

  fill(name, select) {
    const offered = choices(this.state, name, this.limits);
    select.replaceChildren();
    for (const { value, possible: allowed } of offered) {
      const option = element("option", select, { value, disabled: !allowed, selected: value === this.state[name] }, `${value}`);
      if (!allowed) option.title = "not possible, or too large, with the rest as it stands";
    }
    select.disabled = name === "output_padding" && !this.state.transposed;
    select.title = select.disabled ? "only a transposed convolution has one" : "";
  }
}

export class CodePanel {
  constructor(parent) {
    const code = element("div", parent, { className: "code" });
    element("h3", code, {}, "The same in PyTorch");
    this.code = element("pre", code, { tabIndex: 0 });
    this.code.setAttribute("aria-label", "PyTorch line of this layer");
    this.code.dataset.lmSuppressShortcuts = "true";
    element("p", code, { className: "hint" }, "Its bias is no part of the matrix: it is added to every output cell afterwards.");
    this.legend = element("ul", code, { className: "legend" });
    const size = element("div", parent, { className: "size" });
    element("h3", size, {}, "Output size");
    this.symbols = element("p", size, { className: "symbols" });
    this.formula = element("p", size, { className: "formula" });
    this.rest = element("p", size, { className: "rest" });
  }

  show(state) {
    this.code.textContent = pytorchLine(state);
    this.symbols.textContent = state.transposed
      ? "(size − 1) · stride − 2 · padding + dilation · (kernel − 1) + output padding + 1"
      : "⌊(size + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1";
    this.formula.textContent = `= ${sizeFormula(state)}`;
    this.rest.textContent = restWords(state);
    this.rest.dataset.left = `${sizesOf(state).remainder}`;
    this.explain(state);
  }

  // The marks that are on the page now, in words.
  explain(state) {
    const { padding, transposed } = state;
    const { large, remainder } = sizesOf(state);
    const kind = unreached(state);
    const places = Array.from({ length: large }, (_, n) => n);
    const hasGaps = places.some((row) => places.some((column) => kind(row, column) === "gap"));
    const found = [
      [padding > 0, "padding", transposed ? "cut off by the padding" : "padding: zeros, which have no column"],
      [remainder > 0, "remainder", transposed ? "output padding: behind the last window" : "unused: left over by the floor"],
      [hasGaps, "gap", transposed ? "no input reaches it" : "unused: the windows step over it"],
    ];
    this.legend.replaceChildren();
    found.filter(([isShown]) => isShown).forEach(([, name, words]) => {
      const line = element("li", this.legend);
      element("i", line, { className: name });
      line.append(words);
    });
  }
}
