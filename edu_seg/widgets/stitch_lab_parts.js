// What StitchLab is operated with: buttons, a slider, and one button a shift; and the legend.
import { element } from "./lab.js";
import { cividis } from "./stitch_lab_views.js";
import { decimal } from "./stitch_lab_words.js";

const TURNS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Buttons and slider. go(step) is called with the number of passes done, play() with nothing.
export class Controls {
  constructor(parent, grid, go, play) {
    Object.assign(this, { grid, go, step: 1 });
    this.box = element("div", parent, { className: "controls" });
    const left = element("div", this.box);
    const row = element("div", left, { className: "row" });
    this.back = element("button", row, { type: "button" }, "← Back");
    this.next = element("button", row, { type: "button" }, "Next →");
    this.playing = element("button", row, { type: "button" });
    this.back.onclick = () => go(this.step - 1);
    this.next.onclick = () => go(this.step + 1);
    this.playing.onclick = play;
    this.slider = element("input", left, { type: "range", min: 1, max: grid.total, step: 1 });
    this.slider.setAttribute("aria-label", "Passes done");
    this.slider.oninput = () => go(Number(this.slider.value));
    this.buildPad();
    this.badge = element("p", this.box, { className: "badge" });
  }

  // One button for each shift (dy, dx), in the places where their cells lie.
  buildPad() {
    const { stride, total } = this.grid;
    const box = element("div", this.box, { className: "shifts" });
    element("span", box, {}, "Shift (dy, dx)");
    this.pad = element("div", box, { className: "pad" });
    this.pad.setAttribute("role", "radiogroup");
    this.pad.setAttribute("aria-label", "Shift of the pass: rows, columns");
    this.pad.style.gridTemplateColumns = `repeat(${stride}, auto)`;
    this.shifts = Array.from({ length: total }, (_, pass) => {
      const button = element("button", this.pad, { type: "button" }, this.grid.shiftOf(pass).join(", "));
      button.setAttribute("role", "radio");
      button.onclick = () => this.go(pass + 1);
      return button;
    });
    this.pad.onkeydown = (event) => this.turn(event);
  }

  // The arrows move by a row or a column of the pad.
  turn(event) {
    const way = TURNS[event.key];
    if (!way) return;
    const [dy, dx] = this.grid.shiftOf(this.step - 1).map((v, axis) => Math.max(0, Math.min(this.grid.stride - 1, v + way[axis])));
    this.go(dy * this.grid.stride + dx + 1);
    this.shifts[this.step - 1].focus();
    event.preventDefault();
  }

  show(step, playing, still, verdict) {
    this.step = step;
    const [label, name] = still ? ["Show all", "Show all passes"] : playing ? ["❚❚ Pause", "Pause"] : ["▶\uFE0E Play", "Play"];
    if (this.playing.textContent !== label) this.playing.textContent = label;
    this.playing.setAttribute("aria-label", name);
    this.back.setAttribute("aria-disabled", String(step <= 1)); // not `disabled`: the keyboard's focus would be lost to the notebook
    this.next.setAttribute("aria-disabled", String(step >= this.grid.total));
    this.slider.value = step;
    this.slider.setAttribute("aria-valuetext", `${step} of ${this.grid.total}, shift ${this.grid.shiftOf(step - 1).join(", ")}`);
    this.shifts.forEach((button, pass) => {
      button.setAttribute("aria-checked", String(pass === step - 1));
      button.tabIndex = pass === step - 1 ? 0 : -1;
      button.dataset.done = String(pass < step);
    });
    this.badge.dataset.same = String(verdict.same);
    if (this.badge.textContent !== verdict.words) this.badge.textContent = verdict.words;
  }
}

export function buildLegend(parent, { range, after, total }) {
  const box = element("p", parent, { className: "legend" });
  const entry = (kind, text) => { const item = element("span", box); element("i", item, { className: kind }); item.append(text); return item; };
  entry("crop", "what the pass sees");
  entry("place", "middle of a unit's field");
  entry("void", "empty, or zeros");
  entry("current", "of the pass shown");
  if (after[total].differing) entry("differs", "differs from à trous");
  const scale = element("span", box);
  scale.append(decimal(range[0]));
  const stops = Array.from({ length: 10 }, (_, n) => `rgb(${cividis(n / 9)})`);
  element("i", scale, { className: "ramp" }).style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  scale.append(decimal(range[1]));
  return box;
}
