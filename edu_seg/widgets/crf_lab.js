// Draw labels on a photograph; Python spreads them. What is pointed at and which iteration is shown is answered here.
import { BaseLab, element, setMark, setText } from "./lab.js";
import { Iterations, NOTHING, SETTINGS, Scribbles, asBytes, fromBase64, toBase64 } from "./crf_lab_maths.js";
import { NEEDS_KERNEL, SILENT, penWords, pixelWords, stepWords } from "./crf_lab_words.js";
import { Link } from "./crf_lab_link.js";
import { EnergyView, PhotoView } from "./crf_lab_views.js";
import { LabelPanel, Player, SettingsPanel } from "./crf_lab_parts.js";

const PLAY_EVERY = 600; // milliseconds
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const GUIDE = "Draw with the mouse, or with arrow keys (with Shift: ten pixels) and Space; Enter puts the pen down and lifts it. Digits choose a label, E the eraser, " +
  "[ and ] the width, U undoes. P plays; Page Up and Page Down step through the iterations. Escape takes the pen off the photograph.";

class CrfLab extends BaseLab {
  constructor(model, el) {
    super();
    const data = model.get("data");
    Object.assign(this, { model, data, names: data.names, cell: null, isDown: false, pen: { label: 0, width: 3 }, wanted: {} });
    const acts = { current: () => this.current(), taken: (isAhead) => this.taken(isAhead), silent: () => setText(this.status, SILENT),
      lacks: () => Boolean(this.found) && !this.found.isWhole, timed: (times) => { this.root.dataset.times = times.map((value) => value.toFixed(1)).join(" "); } };
    this.link = new Link(model, acts);
    this.alive = this.link.alive;
    this.motion = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.scribbles = new Scribbles(fromBase64(model.get("marks")), data.size, model.get("num_classes"));
    this.step = model.get("iteration");
    this.build(el);
    this.listen();
    this.take();
    this.link.pause(); // Python may have changed while nobody looked
    this.follow(1150, 740);
  }

  // What is on the page.
  build(el) {
    const { data } = this;
    this.root = element("div", el, { className: "edu-seg crf" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    this.status = element("p", this.root, { className: "status", role: "status" }, this.alive ? "" : NEEDS_KERNEL);
    const stage = element("div", this.root, { className: "stage" });
    const section = (className) => element("section", stage, { className });
    this.photoBox = section("photo");
    const canvas = this.canvas(this.photoBox, "Photograph to draw on: arrow keys move the pen, Space paints, digits choose a label");
    this.photo = new PhotoView(canvas, fromBase64(data.image), data.size, data.palette, data.hatches);
    this.player = new Player(this.photoBox, data.iterations, (step) => this.go(step), () => this.play(), (opacity) => this.fade(opacity));
    const act = { choose: (label) => this.choose(label), width: (width) => this.choose(this.pen.label, width), classes: (count) => this.setClasses(count) };
    for (const name of ["undo", "redo", "clear"]) act[name] = () => this.rewrite(name);
    this.labels = new LabelPanel(section("labelling"), data, act);
    this.energyBox = section("energy");
    element("h3", this.energyBox, {}, "Free energy");
    this.energy = new EnergyView(element("canvas", this.energyBox, { role: "img" }));
    const kernels = section("kernels");
    this.settings = new SettingsPanel(kernels, data.presets, (values) => this.change(values));
    element("p", this.root, { className: "hint" }, GUIDE);
  }

  canvas(parent, label) {
    const canvas = element("canvas", parent, { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", label);
    canvas.dataset.lmSuppressShortcuts = "true";
    return canvas;
  }

  listen() {
    const { canvas } = this.photo;
    this.root.onkeydown = (event) => { this.key(event); event.stopPropagation(); };
    canvas.onkeydown = (event) => this.penKey(event);
    canvas.onpointerdown = (event) => { if (event.button === 0) this.press(event); };
    canvas.onpointermove = (event) => { if (this.moved(event)) this.point(this.photo.cellAt(event), event.buttons & 1 && this.dragging); };
    canvas.onpointerup = canvas.onpointercancel = () => { this.dragging = false; };
    canvas.onpointerleave = (event) => { if (!this.rests(event) && !this.dragging && !this.isDown) this.look(null); };
    canvas.onblur = () => { this.isDown = false; this.look(null); };
    this.energy.canvas.onpointerdown = (event) => { const step = this.energy.stepAt(event); if (step !== null) this.go(step); };
    this.onView = () => this.adoptView();
    this.model.on?.("change:iteration change:opacity", this.onView);
    this.onProbs = () => this.complete();
    this.model.on?.("change:probs", this.onProbs);
  }

  // Drawing. Without a kernel nothing could follow from it, so nothing is drawn.
  press(event) {
    this.photo.canvas.focus({ preventScroll: true });
    if (!this.able()) return;
    this.dragging = true;
    this.photo.canvas.setPointerCapture(event.pointerId);
    this.scribbles.begin();
    this.cell = null;
    this.isDown = false;
    this.point(this.photo.cellAt(event), true);
  }

  point(cell, draws) {
    if (draws) this.mark(this.cell ?? cell, cell);
    this.look(cell);
  }

  mark(from, to) {
    this.scribbles.draw(from, to, this.pen.label, this.pen.width);
    this.stale = true;
    this.link.ask();
  }

  look(cell) {
    this.cell = cell;
    this.schedule();
  }

  able() {
    if (!this.alive) setText(this.says, NEEDS_KERNEL);
    return this.alive;
  }

  choose(label, width = this.pen.width) {
    this.pen = { label, width };
    this.schedule();
  }

  rewrite(name) {
    if (!this.able()) return;
    if (name === "clear" ? !this.scribbles.count : !this.scribbles[name === "undo" ? "past" : "future"].length) return;
    this.scribbles[name]();
    this.afterRewrite();
  }

  setClasses(count) {
    if (count < 2 || count > this.names.length || !this.able()) return;
    this.scribbles.setClasses(count);
    this.afterRewrite();
  }

  afterRewrite() {
    this.isDown = false;
    if (this.pen.label !== NOTHING && this.pen.label >= this.scribbles.classes) this.pen.label = 0;
    this.stale = true;
    this.link.ask();
    this.schedule();
  }

  change(values) {
    if (!this.able()) return;
    this.wanted = { ...this.wanted, ...values };
    this.link.ask();
    this.schedule();
  }

  // What Python is to know; colours and iterations are found here.
  current() {
    return { ...this.wanted, num_classes: this.scribbles.classes, marks: toBase64(this.scribbles.marks) };
  }

  taken(isAhead) {
    setText(this.status, "");
    if (!isAhead) this.adopt();
    this.take();
    this.draw();
  }

  // What Python holds is what is shown, unless the reader is ahead.
  adopt() {
    this.wanted = {};
    const marks = fromBase64(this.model.get("marks"));
    const classes = this.model.get("num_classes");
    if (classes !== this.scribbles.classes || marks.some((mark, n) => mark !== this.scribbles.marks[n])) {
      this.scribbles.begin();
      Object.assign(this.scribbles, { marks, classes });
      if (this.pen.label !== NOTHING && this.pen.label >= classes) this.pen.label = 0;
    }
  }

  take() {
    const answer = this.model.get("answer");
    const [height, width] = this.data.size;
    const [labels, probs] = ["result", "probs"].map((name) => asBytes(this.model.get(name)));
    this.found = answer.energies.length ? Object.assign(new Iterations(labels, probs, answer, height * width), { width }) : null;
    this.stale = true;
  }

  // The probabilities have come, or gone: an answer takes those of the one before away with it.
  complete() {
    if (this.found) this.found.allProbs = asBytes(this.model.get("probs"));
    this.schedule();
  }

  // The iteration and the opacity.
  adoptView() {
    if (this.model.get("iteration") !== this.step) this.go(this.model.get("iteration"));
    this.stale = true;
    this.schedule();
  }

  go(step, byPlay = false) {
    if (!byPlay) this.stop();
    this.step = Math.max(0, Math.min(this.data.iterations, step));
    this.stale = true;
    if (this.model.get("iteration") !== this.step) {
      this.model.set("iteration", this.step);
      this.model.save_changes();
    }
    this.schedule();
  }

  fade(opacity) {
    this.model.set("opacity", opacity);
    this.model.save_changes();
    this.stale = true;
    this.schedule();
  }

  // Iteration by iteration, from the start if the last is shown; at once for readers who want no motion.
  play() {
    const { iterations } = this.data;
    if (this.timer) this.stop();
    else if (this.motion.matches) this.go(this.step < iterations ? iterations : 0);
    else {
      this.timer = setInterval(() => (this.step < iterations ? this.go(this.step + 1, true) : this.play()), PLAY_EVERY);
      this.go(this.step < iterations ? this.step + 1 : 0, true);
    }
    this.schedule();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  // Keys anywhere in the lab, save where a slider, a list or a button has its own use for them.
  key(event) {
    const { target, key } = event;
    if (event.defaultPrevented || target.matches("input, select") || event.altKey) return;
    const small = key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && (small === "z" || small === "y")) this.rewrite(small === "y" || event.shiftKey ? "redo" : "undo");
    else if (event.ctrlKey || event.metaKey) return;
    else if (key === "PageDown" || key === "PageUp") this.go(this.step + (key === "PageDown" ? 1 : -1));
    else if (key === "Home" || key === "End") this.go(key === "Home" ? 0 : this.data.iterations);
    else if (small === "p") this.play();
    else if (small === "u") this.rewrite(event.shiftKey ? "redo" : "undo");
    else if (small === "e") this.choose(NOTHING);
    else if (key === "[" || key === "]") this.choose(this.pen.label, LabelPanel.wider(this.pen.width, key === "]" ? 1 : -1));
    else if (key === "Escape") { this.isDown = false; this.look(null); }
    else if (/^\d$/.test(key) && Number(key) < this.scribbles.classes) this.choose(Number(key));
    else return;
    event.preventDefault();
  }

  // The pen on the photograph.
  penKey(event) {
    const way = ARROWS[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey || !(way || event.key === " " || event.key === "Enter")) return;
    event.preventDefault();
    const [height, width] = this.data.size;
    const from = this.cell ?? [height >> 1, width >> 1];
    if (way) {
      const far = event.shiftKey ? 10 : 1;
      const to = from.map((place, axis) => Math.max(0, Math.min([height, width][axis] - 1, place + (this.cell ? far * way[axis] : 0))));
      if (this.isDown) this.mark(from, to);
      this.look(to);
    } else if (this.able()) {
      if (event.key === "Enter") this.isDown = !this.isDown;
      if (event.key === " " || this.isDown) {
        this.scribbles.begin();
        this.mark(from, from);
      }
      this.look(from);
    }
  }

  arrange() {
    const high = { wide: 560, medium: 470, narrow: 420 }[this.root.dataset.layout];
    this.photo.show(this.photoBox.clientWidth - 2, high);
    this.energy.show(Math.min(460, this.energyBox.clientWidth - 2), 210);
    this.stale = true;
    this.draw();
  }

  draw() {
    const { found, step, cell, scribbles, names, model } = this;
    const opacity = model.get("opacity");
    if (this.stale) this.photo.compose(found?.labels(step) ?? null, scribbles.marks, opacity);
    this.stale = false;
    this.photo.draw(cell, { ...this.pen, isDown: this.isDown });
    const pixel = cell && cell[0] * this.data.size[1] + cell[1];
    const probs = found && cell && found.probs(step, pixel);
    const shares = probs || (found && found.shares(step).map((count) => count / found.pixels));
    const drawn = scribbles.count;
    this.labels.show({ ...this.pen, classes: scribbles.classes, shares, cell: probs || !found ? cell : null, alive: this.alive, past: scribbles.past.length, future: scribbles.future.length, drawn });
    this.settings.show({ ...SettingsPanel.of(model), ...this.wanted }, model.get("answer").code, this.alive);
    this.player.show(step, Boolean(this.timer), this.motion.matches, opacity);
    this.energy.draw(found?.energies ?? [], step);
    const pen = this.isDown ? penWords(this.pen.label, names, true) : "";
    const words = cell && found ? pixelWords(found, step, names, cell, scribbles.marks[pixel], pen) : stepWords(found, step, names);
    setText(this.says, words.replaceAll(" %", "\u00a0%"));
    setMark(this.energy.canvas, "aria-label", found ? `Free energy, from ${found.energies[0].toFixed(0)} to ${found.energies.at(-1).toFixed(0)}` : "Free energy: nothing is drawn yet");
    this.tell(drawn);
  }

  // The state as attributes, for those who read the page by program.
  tell(drawn) {
    const { found, step, cell } = this;
    const values = {
      step, cell, drawn, pen: this.pen.label, thick: this.pen.width, down: this.isDown, classes: this.scribbles.classes, playing: Boolean(this.timer), alive: this.alive,
      answered: this.model.get("answer").asked, waiting: this.link.isBusy, whole: !found || found.isWhole, opacity: this.model.get("opacity"), shares: found?.shares(step), energy: found?.energies[step],
      settings: SETTINGS.map((name) => this.model.get(name)), probs: (found && cell && found.probs(step, cell[0] * this.data.size[1] + cell[1]))?.map((share) => share.toFixed(3)),
    };
    this.publish(values);
  }

  end() {
    this.stop();
    this.link.end();
    this.watcher.disconnect();
    this.model.off?.("change:iteration change:opacity", this.onView);
    this.model.off?.("change:probs", this.onProbs);
  }
}

export default {
  render({ model, el }) {
    const lab = new CrfLab(model, el);
    return () => lab.end();
  },
};
