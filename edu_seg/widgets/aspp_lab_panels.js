// The controls of ASPPLab: tabs, the map's size and the rates; levels, units and rule of the pyramid.
import { element, setMark, setText } from "./lab.js";
import { binMeans, meanShare, problemWith, validHere } from "./aspp_lab_maths.js";
import { percent } from "./aspp_lab_words.js";
import { GLYPHS } from "./aspp_lab_views.js";
import { pictureOf } from "./aspp_lab_bins.js";

const isTyped = (node) => node === node.getRootNode().activeElement;
const isOff = (button) => button.getAttribute("aria-disabled") === "true"; // not `disabled`: the keyboard's focus would be lost to the notebook

export class Tabs {
  constructor(parent, names, open) {
    this.row = element("div", parent, { className: "tabs" });
    this.row.setAttribute("role", "tablist");
    this.tabs = Object.entries(names).map(([name, text]) => {
      const tab = element("button", this.row, { type: "button" }, text);
      tab.setAttribute("role", "tab");
      tab.onclick = () => open(name);
      return { name, tab };
    });
    this.row.onkeydown = (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const { name, tab } = this.tabs.find((one) => !isTyped(one.tab)) ?? this.tabs[0];
      open(name);
      tab.focus();
      event.preventDefault();
    };
  }

  show(open) {
    this.tabs.forEach(({ name, tab }) => {
      setMark(tab, "aria-selected", String(name === open));
      tab.tabIndex = name === open ? 0 : -1;
    });
  }
}

// A slider and a field for the same integer.
class Both {
  constructor(parent, label, limits, change, complain) {
    Object.assign(this, { label, limits, complain });
    this.slider = element("input", parent, { type: "range", min: limits[0], max: limits[1], step: 1, ariaLabel: label });
    this.field = element("input", parent, { type: "text", inputMode: "numeric", autocomplete: "off", size: 3, ariaLabel: `${label}, typed` });
    this.slider.oninput = () => change(Number(this.slider.value));
    this.field.oninput = () => {
      const problem = problemWith(this.label, this.field.value, this.limits);
      setMark(this.field, "aria-invalid", String(Boolean(problem)));
      complain(problem ?? "");
      if (!problem) change(Number(this.field.value));
    };
    this.field.onblur = () => { if (this.field.getAttribute("aria-invalid") === "true") complain(""); this.show(this.value); };
    this.field.onkeydown = (event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!by) return;
      change(Math.max(limits[0], Math.min(limits[1], this.value + by)));
      event.preventDefault();
    };
  }

  show(value, max = this.limits[1]) {
    this.value = value;
    this.slider.max = max;
    this.slider.value = value;
    if (isTyped(this.field) && Number(this.field.value) === value) return;
    if (isTyped(this.field) && this.field.getAttribute("aria-invalid") === "true") return;
    this.field.value = `${value}`;
    setMark(this.field, "aria-invalid", "false");
  }
}

export class TapsControls {
  constructor(parent, data, change) {
    Object.assign(this, { data, change, lines: [] });
    const row = element("div", parent, { className: "row" });
    const box = element("label", row, { className: "preset" }, "Rates");
    this.menu = element("select", box);
    ["your own", ...data.presets.map(({ name, rates }) => `${name}: ${rates.join(", ")}`)].forEach((text, n) => element("option", this.menu, { value: `${n - 1}`, disabled: n === 0 }, text));
    this.menu.onchange = () => change({ rates: [...data.presets[Number(this.menu.value)].rates] });
    this.more = element("button", row, { type: "button" }, "+ rate");
    this.more.onclick = () => { if (!isOff(this.more)) this.add(); };
    const complain = (words) => setText(this.problem, words);
    this.complain = complain;
    const line = element("div", parent, { className: "line" });
    element("b", line, {}, "Map, N × N");
    this.map = new Both(line, "Map size", data.limits.map, (value) => change({ map_size: value }), complain);
    this.box = element("div", parent, { className: "rates", role: "group", ariaLabel: "Rates" });
    this.problem = element("p", parent, { className: "problem" });
    this.problem.setAttribute("role", "alert");
  }

  add() {
    const [last, before] = [this.state.rates.at(-1), this.state.rates.at(-2) ?? 0];
    const next = Math.max(1, Math.min(this.data.limits.rates[1], 2 * last - before));
    this.change({ rates: [...this.state.rates, next], active: this.state.rates.length });
  }

  build(many) {
    const place = [...this.box.querySelectorAll("button, input")].indexOf(this.box.getRootNode().activeElement);
    this.box.replaceChildren();
    this.lines = Array.from({ length: many }, (_, k) => this.line(k));
    if (place >= 0) [...this.box.querySelectorAll("button, input")].at(Math.min(place, this.box.querySelectorAll("button, input").length - 1)).focus();
  }

  line(k) {
    const line = element("div", this.box, { className: "line" });
    const bold = element("button", line, { type: "button", className: "bold", title: "Show this rate in bold" });
    element("i", bold, { ariaHidden: "true" }, GLYPHS[k]).style.color = this.data.colours[k];
    element("span", bold, {}, `rate ${k + 1}`);
    bold.onclick = () => this.change({ active: k });
    const both = new Both(line, `Rate ${k + 1}`, this.data.limits.rates, (value) => this.change({ rates: this.state.rates.map((rate, n) => (n === k ? value : rate)), active: k }), this.complain);
    const says = element("output", line);
    const away = element("button", line, { type: "button", className: "away", ariaLabel: `Rate ${k + 1}: take away` }, "×");
    away.onclick = () => {
      if (isOff(away)) return;
      const { rates, active } = this.state;
      this.change({ rates: rates.filter((_, n) => n !== k), active: active > k ? active - 1 : active });
    };
    return { line, bold, both, says, away };
  }

  // place: of the unit that is shown, which may be pointed at only.
  show(state, place) {
    this.state = state;
    const { map_size: size, rates, active } = state;
    if (this.lines.length !== rates.length) this.build(rates.length);
    this.map.show(size);
    this.menu.value = `${this.data.presets.findIndex((one) => `${one.rates}` === `${rates}`)}`;
    setMark(this.more, "aria-disabled", String(rates.length >= this.data.limits.most));
    this.lines.forEach(({ line, bold, both, says, away }, k) => {
      line.dataset.bold = String(k === active);
      setMark(bold, "aria-pressed", String(k === active));
      both.show(rates[k], Math.max(Math.ceil(1.25 * size), ...rates));
      setText(says, `${validHere(size, rates[k], place)} of 9 here, mean ${percent(meanShare(size, rates[k]))}`);
      setMark(away, "aria-disabled", String(rates.length === 1));
    });
  }
}

export class PyramidControls {
  constructor(parent, data, change) {
    Object.assign(this, { data, change });
    const row = element("div", parent, { className: "row levels", role: "group", ariaLabel: "Bins of a level" });
    this.levels = data.bins.map((level) => {
      const button = element("button", row, { type: "button" });
      const picture = element("canvas", button, { ariaHidden: "true" });
      element("span", button, {}, `${level} × ${level}`);
      button.onclick = () => change({ level });
      return { level, button, picture };
    });
    const other = element("div", parent, { className: "row" });
    const box = element("label", other, { className: "stride" }, "Map");
    this.strides = element("select", box);
    data.strides.forEach((stride) => element("option", this.strides, { value: `${stride}` }, this.name(stride)));
    this.strides.onchange = () => change({ stride: Number(this.strides.value) });
    const group = element("span", other, { className: "rules", role: "group", ariaLabel: "Rule of the windows" });
    this.rules = [["adaptive", "Adaptive pooling"], ["window", "SPP's rule"]].map(([rule, text]) => {
      const button = element("button", group, { type: "button" }, text);
      button.onclick = () => change({ rule });
      return { rule, button };
    });
  }

  name(stride) {
    const [rows, columns] = this.data.size.map((pixels) => Math.ceil(pixels / stride));
    return stride === 1 ? `${rows} × ${columns} pixels` : `${rows} × ${columns} units, stride ${stride}`;
  }

  // Each level's button shows its means.
  pictures(units, rule) {
    this.levels.forEach(({ level, picture }) => {
      const { means } = binMeans(units, level, rule);
      Object.assign(picture, { width: 42, height: Math.max(14, Math.min(42, Math.round((42 * this.data.size[0]) / this.data.size[1]))) });
      const context = picture.getContext("2d");
      context.imageSmoothingEnabled = false;
      if (means.length && means[0].length) context.drawImage(pictureOf(means), 0, 0, picture.width, picture.height);
    });
  }

  show({ level, stride, rule }) {
    this.levels.forEach((one) => setMark(one.button, "aria-pressed", String(one.level === level)));
    this.strides.value = `${stride}`;
    this.rules.forEach((one) => setMark(one.button, "aria-pressed", String(one.rule === rule)));
  }
}
