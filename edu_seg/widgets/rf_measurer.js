// What RFExplorer asks Python: a unit's field by gradient, and the table of an edited stack. Without a kernel it says so.
import { element } from "./lab.js";
import { heatPicture } from "./rf_image_view.js";
import { both, verdict } from "./rf_words.js";

const PATIENCE = 60; // seconds without an answer after which the kernel is asked about
const MANY = 5e7; // parameters of a network at which measuring takes seconds

export class Measurer {
  constructor(model, tools, parent, size, redraw) {
    Object.assign(this, { model, size, redraw, asked: 0, waiting: null, heat: null });
    this.alive = typeof model.send === "function";
    this.legend = element("span", tools, { className: "heat" });
    element("span", this.legend, {}, "few paths");
    element("i", this.legend);
    element("span", this.legend, {}, "many");
    [this.badge, this.check] = ["", ""].map(() => element("p", parent, { className: "badge", role: "status" }));
    if (this.alive) model.on("msg:custom", (message, buffers) => this.hear(message, buffers));
    this.forget();
  }

  forget() {
    Object.assign(this, { waiting: null, heat: null });
    this.legend.style.visibility = "hidden";
    this.tell(this.badge, "");
  }

  // same: true or false for a verdict, "" for news.
  tell(badge, words, same = "") {
    badge.textContent = words;
    badge.dataset.same = same;
  }

  // The heat map, where one of the looks is the unit that it belongs to.
  heatOf(looks) {
    const there = looks.some(({ row, unit }) => row === this.heat?.row && `${unit}` === `${this.heat.unit}`);
    this.legend.style.visibility = there ? "visible" : "hidden";
    return there ? this.heat.picture : null;
  }

  // layer: its row of the table; look: what the arithmetic says of the unit.
  measure({ label, measured }, look, parameters) {
    const unit = look.unit.join(", ");
    if (!this.alive) return this.tell(this.badge, "Measuring needs a running kernel: run the cell in JupyterLab.");
    if (measured === null) return this.tell(this.badge, `${label} is made between modules and returned by none, so it cannot be measured. Take the layer after it.`);
    this.waiting = look;
    this.asked += 1;
    const asked = this.asked;
    const large = parameters > MANY ? ` The network has ${Math.round(parameters / 1e6)} million parameters, so this takes some seconds.` : "";
    this.tell(this.badge, `Measuring unit (${unit}) of ${label} …${large}`);
    setTimeout(() => { if (this.waiting && this.asked === asked) this.tell(this.badge, "Python has not answered yet: is the kernel busy, or gone?"); }, PATIENCE * 1000);
    return this.model.send({ kind: "measure", asked, layer: measured, unit: look.unit });
  }

  hear(message, buffers) {
    if (message.kind === "analysis") return this.compare(message);
    if (message.asked !== this.asked || !this.waiting) return undefined;
    const { row, unit, inside } = this.waiting;
    this.waiting = null;
    if (message.kind === "failed") return this.tell(this.badge, `Not measured. ${message.why}`);
    const [height, width] = this.size;
    const heat = new Uint8Array(buffers[0].buffer, buffers[0].byteOffset, height * width);
    this.heat = { row, unit, picture: heatPicture(heat, width, height) };
    const { same, words } = verdict(inside, message.analytic, message.measured);
    this.tell(this.badge, `${same ? "✓" : "✗"} ${words}`, same);
    return this.redraw();
  }

  // An edited stack: Python's table against the one here.
  expect(layers, rows) {
    this.edited = { layers, rows };
    this.tell(this.check, this.alive ? "Python is asked …" : "");
  }

  compare({ layers, rows }) {
    if (`${layers}` !== `${this.edited?.layers}`) return;
    const own = this.edited.rows.map(({ size, stride, padding }) => [size, stride, padding].map(both));
    const wrong = own.findIndex((row, n) => `${row}` !== `${rows[n].map(both)}`);
    if (wrong < 0) this.tell(this.check, `✓ Python finds the same sizes, strides and paddings for all ${own.length} layers`, true);
    else this.tell(this.check, `✗ layer ${wrong}: here ${own[wrong].join(", ")}; Python ${rows[wrong].map(both).join(", ")}`, false);
  }
}
