// What CRFLab is operated with: labels and pen, sliders and presets, and the player.
import { element, setMark, setText } from "./lab.js";
import { NOTHING, OFFERED, SETTINGS, placeOf } from "./crf_lab_maths.js";
import { percent } from "./crf_lab_words.js";
import { drawSwatch } from "./crf_lab_views.js";

const WIDTHS = [1, 3, 5, 9, 15];

// A button for each label, with a bar of its probability; pen width, eraser, number of labels, undo.
export class LabelPanel {
  // act: { choose(label), width(pixels), classes(count), undo(), redo(), clear() }
  constructor(parent, { names, palette, hatches }, act) {
    this.title = element("h3", parent);
    const list = element("div", parent, { className: "labels", role: "group", ariaLabel: "Label to draw with" });
    this.rows = names.map((name, label) => this.row(list, name, label, { palette, hatches }, act));
    const pen = element("div", parent, { className: "row" });
    this.eraser = element("button", pen, { type: "button" }, "Eraser (E)");
    this.eraser.onclick = () => act.choose(NOTHING);
    const box = element("label", pen, {}, "pen");
    this.widths = element("select", box);
    this.widths.setAttribute("aria-label", "Width of the pen in pixels");
    WIDTHS.forEach((width) => element("option", this.widths, { value: width }, `${width} px`));
    this.widths.onchange = () => act.width(Number(this.widths.value));
    const count = element("span", pen, { className: "count", role: "group", ariaLabel: "Number of labels" }, "labels");
    this.fewer = element("button", count, { type: "button", ariaLabel: "One label fewer" }, "−");
    this.number = element("b", count);
    this.more = element("button", count, { type: "button", ariaLabel: "One label more" }, "+");
    this.fewer.onclick = () => act.classes(this.classes - 1);
    this.more.onclick = () => act.classes(this.classes + 1);
    const history = element("div", parent, { className: "row" });
    this.history = ["undo", "redo", "clear"].map((name) => {
      const button = element("button", history, { type: "button" }, name === "undo" ? "Undo (U)" : name === "redo" ? "Redo" : "Clear");
      button.onclick = act[name];
      return button;
    });
  }

  row(parent, name, label, { palette, hatches }, act) {
    const line = element("div", parent, { className: "line" });
    const button = element("button", line, { type: "button" });
    drawSwatch(element("canvas", button, { width: 30, height: 20, className: "swatch" }), palette[label], hatches[label]);
    element("span", button, {}, `${label} ${name}`);
    button.onclick = () => act.choose(label);
    const bar = element("i", element("span", line, { className: "bar" }));
    bar.style.background = `rgb(${palette[label]})`;
    return { line, button, bar, share: element("span", line, { className: "share" }) };
  }

  // shares: the labels' probabilities at the pixel `cell`, or of all pixels where none is pointed at; null while there are none.
  show({ classes, label, width, shares, cell, alive, past, future, drawn }) {
    this.classes = classes;
    setText(this.title, cell ? `P(label) at pixel (${cell.join(", ")})` : "Labels and their share of the pixels");
    this.rows.forEach(({ line, button, bar, share }, n) => {
      line.hidden = n >= classes;
      setMark(button, "aria-pressed", String(n === label));
      bar.style.width = `${shares ? 100 * (shares[n] ?? 0) : 0}%`;
      setText(share, shares ? percent(shares[n] ?? 0) : "–");
    });
    setMark(this.eraser, "aria-pressed", String(label === NOTHING));
    this.widths.value = `${width}`;
    setText(this.number, `${classes}`);
    const off = [[this.fewer, classes <= 2], [this.more, classes >= this.rows.length], [this.history[0], !past], [this.history[1], !future], [this.history[2], !drawn]];
    off.forEach(([button, isOff]) => setMark(button, "aria-disabled", String(isOff || !alive)));
    this.widths.disabled = !alive;
  }

  static wider(width, by) {
    const place = Math.max(0, Math.min(WIDTHS.length - 1, WIDTHS.indexOf(width) + by));
    return WIDTHS[place];
  }
}

const NAMES_OF = {
  bilateral_weight: ["Bilateral weight", ""],
  theta_alpha: ["θα, near", " px"],
  theta_beta: ["θβ, similar", " grey levels"],
  spatial_weight: ["Spatial weight", ""],
  theta_gamma: ["θγ, near", " px"],
};

// Presets and sliders. change(values) is called with what is to be set.
export class SettingsPanel {
  constructor(parent, presets, change) {
    Object.assign(this, { presets });
    element("h3", parent, {}, "Kernels");
    const row = element("div", parent, { className: "row", role: "group", ariaLabel: "Presets" });
    this.buttons = Object.entries(presets).map(([name, values]) => {
      const button = element("button", row, { type: "button" }, name);
      button.onclick = () => { if (button.getAttribute("aria-disabled") !== "true") change(values); };
      return { button, values };
    });
    this.sliders = Object.entries(NAMES_OF).map(([name, [label, unit]]) => {
      const box = element("label", parent, { className: name.endsWith("weight") ? "slider weight" : "slider" });
      element("span", box, {}, label);
      const input = element("input", box, { type: "range", min: 0, max: OFFERED[name].length - 1, step: 1 });
      input.dataset.name = name;
      input.dataset.lmSuppressShortcuts = "true";
      input.oninput = () => change({ [name]: OFFERED[name][Number(input.value)] });
      return { name, unit, input, value: element("output", box) };
    });
    this.code = element("pre", parent, { tabIndex: 0 });
    this.code.setAttribute("aria-label", "The same as a line of Python");
    this.code.dataset.lmSuppressShortcuts = "true";
  }

  show(settings, code, alive) {
    this.buttons.forEach(({ button, values }) => {
      setMark(button, "aria-pressed", String(Object.entries(values).every(([name, value]) => settings[name] === value)));
      setMark(button, "aria-disabled", String(!alive));
    });
    const silent = { theta_alpha: !settings.bilateral_weight, theta_beta: !settings.bilateral_weight, theta_gamma: !settings.spatial_weight };
    this.sliders.forEach(({ name, unit, input, value }) => {
      input.value = placeOf(name, settings[name]);
      input.disabled = !alive;
      setMark(input, "aria-valuetext", `${settings[name]}${unit}`);
      input.parentElement.dataset.silent = String(Boolean(silent[name]));
      setText(value, `${settings[name]}${unit}`);
    });
    setText(this.code, code);
  }

  static of(model) {
    return Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
  }
}

// Which iteration is shown, and how strongly.
export class Player {
  constructor(parent, iterations, go, play, opacity) {
    const row = element("div", parent, { className: "row player" });
    this.back = element("button", row, { type: "button", ariaLabel: "One iteration back" }, "←");
    this.playing = element("button", row, { type: "button" });
    this.next = element("button", row, { type: "button", ariaLabel: "One iteration on" }, "→");
    this.back.onclick = () => go(this.step - 1);
    this.next.onclick = () => go(this.step + 1);
    this.playing.onclick = play;
    this.slider = this.range(row, "iteration", iterations, (value) => go(value));
    this.seen = this.range(row, "opacity", 20, (value) => opacity(value / 20));
    this.iterations = iterations;
  }

  range(parent, label, max, act) {
    const box = element("label", parent, { className: "slider" });
    const words = element("span", box, {}, label);
    const input = element("input", box, { type: "range", min: 0, max, step: 1 });
    input.dataset.name = label;
    input.dataset.lmSuppressShortcuts = "true";
    input.oninput = () => act(Number(input.value));
    return { words, input };
  }

  show(step, isPlaying, still, opacity) {
    this.step = step;
    setText(this.playing, still ? (step < this.iterations ? "To the end" : "To the start") : isPlaying ? "❚❚ Pause" : "▶\uFE0E Play");
    setMark(this.playing, "aria-label", this.playing.textContent.replace(/^[^A-Z]*/, ""));
    setMark(this.back, "aria-disabled", String(step <= 0)); // not `disabled`: the keyboard's focus would be lost to the notebook
    setMark(this.next, "aria-disabled", String(step >= this.iterations));
    this.slider.input.value = step;
    setMark(this.slider.input, "aria-valuetext", `${step} of ${this.iterations}`);
    setText(this.slider.words, `iteration ${step} of ${this.iterations}`);
    this.seen.input.value = Math.round(20 * opacity);
    setMark(this.seen.input, "aria-valuetext", percent(opacity));
  }
}
