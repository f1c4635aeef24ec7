// Step through the shifted passes of a coarse network and see the dense grid fill up; point at a cell to see where it comes from.
import { BaseLab, element } from "./lab.js";
import { StitchedGrid } from "./stitch_lab_grid.js";
import { cellWords, droppedWords, passWords, verdictOf } from "./stitch_lab_words.js";
import { CropView, MapView } from "./stitch_lab_views.js";
import { Controls, buildLegend } from "./stitch_lab_parts.js";

const PLAY_EVERY = 1200; // milliseconds
const GROW_FOR = 450;
const WAYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const FORWARD = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
const MANUAL = "Next, Back, the slider, Space, or a shift: each pass fills its cells. P plays. Point at a cell of any map, or move with the arrow keys: " +
  "its pass, its unit and what it sees are shown. A click or Enter holds it, Escape lets go.";

class Lab extends BaseLab {
  constructor(model, el) {
    super();
    const data = model.get("data");
    this.grid = new StitchedGrid(data);
    Object.assign(this, { model, point: null, held: false, grownFrom: -Infinity, motion: window.matchMedia("(prefers-reduced-motion: reduce)") });
    this.step = model.get("step");
    this.build(el, data);
    this.listen();
    this.follow(1100, 720);
    this.onStep = () => { if (model.get("step") !== this.step) this.go(model.get("step")); };
    model.on("change:step", this.onStep);
  }

  // What is on the page.
  build(el, { image, size, map, cells }) {
    this.root = element("div", el, { className: "edu-seg stitch" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    const bench = element("div", this.root, { className: "bench" });
    this.controls = new Controls(bench, this.grid, (step) => this.go(step), () => this.play());
    const keys = "arrow keys move, Enter holds, Escape lets go, Space runs the next pass";
    this.panels = {
      image: this.panel(bench, "image", "Image as the pass sees it", size),
      coarse: this.panel(bench, "coarse", `Coarse map of the pass: ${keys}`, map),
      stitched: this.panel(bench, "stitched", `Stitched grid: ${keys}`, cells),
      dense: this.panel(bench, "dense", `À trous result: ${keys}`, cells),
    };
    this.crop = new CropView(this.panels.image.canvas, image, size);
    const { coarse, stitched, dense } = this.panels;
    this.maps = { coarse: new MapView(coarse.canvas), stitched: new MapView(stitched.canvas), dense: new MapView(dense.canvas) };
    buildLegend(this.root, this.grid);
    element("p", this.root, { className: "hint" }, MANUAL);
  }

  panel(parent, name, label, sizes) {
    const box = element("section", parent, { className: name });
    const title = element("h3", box);
    const canvas = element("canvas", box);
    canvas.setAttribute("role", name === "image" ? "img" : "application");
    canvas.setAttribute("aria-label", label);
    if (name !== "image") canvas.tabIndex = 0;
    canvas.dataset.lmSuppressShortcuts = "true";
    return { box, title, canvas, sizes: sizes.join(" × ") };
  }

  listen() {
    this.root.onkeydown = (event) => { this.key(event); event.stopPropagation(); };
    for (const [name, map] of Object.entries(this.maps)) {
      const { canvas } = map;
      canvas.onpointermove = (event) => { if (this.moved(event) && !this.held) this.look(this.pointAt(name, map.cellAt(event))); };
      canvas.onpointerdown = (event) => this.hold(this.pointAt(name, map.cellAt(event)));
      canvas.onpointerleave = (event) => { if (!this.rests(event) && !this.held) this.look(null); };
      canvas.onkeydown = (event) => this.mapKey(name, event);
    }
    this.onMotion = () => this.schedule();
    this.motion.addEventListener("change", this.onMotion);
  }

  // A unit and its pass, from a cell of one of the maps.
  pointAt(name, cell) {
    return name === "coarse" ? { pass: this.pass, unit: cell } : { pass: this.grid.passOf(cell), unit: this.grid.unitOf(cell) };
  }

  // The pass that is shown: that of the unit pointed at, else the last one done.
  get pass() {
    return this.point?.pass ?? this.step - 1;
  }

  get cell() {
    return this.point && this.grid.cellOf(this.point.pass, this.point.unit);
  }

  look(point) {
    this.point = point;
    this.schedule();
  }

  hold(point) {
    const same = this.held && `${point.pass},${point.unit}` === `${this.point.pass},${this.point.unit}`;
    this.held = !same;
    this.look(point);
  }

  // To another number of passes; what was pointed at is let go.
  go(step, byPlay = false) {
    if (!byPlay) this.stop();
    step = Math.max(1, Math.min(this.grid.total, step));
    Object.assign(this, { point: null, held: false });
    if (step > this.step && !this.motion.matches) this.grownFrom = performance.now();
    if (step !== this.step) {
      this.step = step;
      this.model.set("step", step);
      this.model.save_changes();
    }
    this.draw();
    if (this.growing) this.schedule();
  }

  get growing() {
    return performance.now() < this.grownFrom + GROW_FOR;
  }

  // Pass by pass, from the start if all are done; at once for readers who want no motion.
  play() {
    if (this.timer) {
      this.stop();
      this.draw();
    } else if (this.motion.matches) this.go(this.grid.total);
    else {
      this.timer = setInterval(() => (this.step < this.grid.total ? this.go(this.step + 1, true) : this.play()), PLAY_EVERY);
      this.go(this.step < this.grid.total ? this.step + 1 : 1, true);
    }
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  // Keys anywhere in the lab, save where a button, the slider or a map has its own use for them.
  key(event) {
    const { target, key } = event;
    const own = target.matches("input") || (target.matches("button") && (key === " " || key === "Enter"));
    if (event.defaultPrevented || own || event.ctrlKey || event.metaKey || event.altKey) return;
    if (FORWARD[key]) this.go(this.step + (key === " " && event.shiftKey ? -1 : FORWARD[key]));
    else if (key === "Home" || key === "End") this.go(key === "Home" ? 1 : this.grid.total);
    else if (key.toLowerCase() === "p") this.play();
    else if (key === "Escape") { this.held = false; this.look(null); }
    else return;
    event.preventDefault();
  }

  mapKey(name, event) {
    const way = WAYS[event.key];
    const sizes = this.maps[name].cells;
    const from = name === "coarse" ? this.point?.unit : this.cell;
    const here = from ?? sizes.map((v) => v >> 1);
    if (way && !event.altKey && !event.ctrlKey && !event.metaKey) {
      this.look(this.pointAt(name, here.map((v, axis) => Math.max(0, Math.min(sizes[axis] - 1, v + (from ? way[axis] : 0))))));
    } else if (event.key === "Enter") this.hold(this.pointAt(name, here));
    else return;
    event.preventDefault();
  }

  arrange() {
    const high = { wide: 430, medium: 340, narrow: 340 }[this.root.dataset.layout];
    const room = Math.min(...Object.values(this.panels).map(({ box }) => box.clientWidth)) - 2;
    this.crop.show(this.grid.margins(), room, high);
    const { cells, map, stride } = this.grid;
    const spread = cells.map((v, axis) => Math.max(v, map[axis] * stride));
    const side = Math.max(3, Math.floor(Math.min(room / spread[1], high / spread[0])));
    this.maps.coarse.show(map, side * stride);
    this.maps.stitched.show(cells, side);
    this.maps.dense.show(cells, side);
    this.draw();
  }

  // One drawing a frame, however many moves.
  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
      if (this.growing) this.schedule();
    });
  }

  draw() {
    const { grid, step, pass, point, cell } = this;
    const crossed = (at) => grid.passOf(at) < step && grid.differs(at);
    const framed = (at) => at !== null && grid.passOf(at) === pass;
    const looks = {
      coarse: (unit) => ({ value: pass < step && grid.cellOf(pass, unit) ? grid.valueOf(pass, unit) : null }),
      stitched: (at) => ({ value: grid.passOf(at) < step ? grid.stitchedAt(at) : null, framed: framed(at), crossed: crossed(at), from: this.origin(at) }),
      dense: (at) => ({ value: grid.denseAt(at), framed: framed(at), crossed: crossed(at) }),
    };
    const grown = Math.max(0, Math.min(1, (performance.now() - this.grownFrom) / GROW_FOR));
    for (const [name, map] of Object.entries(this.maps)) map.draw({ look: looks[name], range: grid.range, pointed: name === "coarse" ? point?.unit : cell, grown });
    this.crop.draw({ shift: grid.shiftOf(pass), places: this.places(), look: point && grid.lookAt(point.pass, point.unit) });
    this.titles();
    this.controls.show(step, Boolean(this.timer), this.motion.matches, verdictOf(grid, step));
    this.say(!point ? passWords(grid, step) : cell ? cellWords(grid, cell, step) : droppedWords(grid, point.pass, point.unit));
    this.tell();
  }

  // The block of the coarse map that a new cell grows out of.
  origin(at) {
    if (this.grid.passOf(at) !== this.step - 1) return null;
    const size = this.maps.stitched.side * this.grid.stride;
    const [i, j] = this.grid.unitOf(at);
    return [j * size, i * size, size, size];
  }

  // Where the units of the pass look: the middle of each field.
  places() {
    const { grid, pass } = this;
    const [rows, columns] = grid.map;
    return Array.from({ length: rows * columns }, (_, n) => grid.at(n, columns)).map((unit) => {
      const [top, bottom, left, right] = grid.lookAt(pass, unit).hull;
      return [(top + bottom) / 2, (left + right) / 2, grid.cellOf(pass, unit) !== null];
    });
  }

  titles() {
    const { grid, pass, step } = this;
    const shift = `(${grid.shiftOf(pass).join(",\u00a0")})`;
    const names = { image: `Image, shift ${shift}`, coarse: pass < step ? `Pass ${shift}` : `Pass ${shift}: to come`, stitched: "Stitched", dense: "À trous" };
    for (const [name, { title, sizes }] of Object.entries(this.panels)) {
      if (title.dataset.text === names[name]) continue;
      title.dataset.text = names[name];
      title.replaceChildren(names[name]);
      element("small", title, {}, ` ${sizes}`);
    }
  }

  // The state as attributes, for those who read the page by program.
  tell() {
    const { grid, point, cell, step } = this;
    const seen = point && grid.lookAt(point.pass, point.unit);
    const values = {
      step, ...grid.after[step], pass: grid.shiftOf(this.pass), unit: point?.unit, cell, held: this.held, playing: Boolean(this.timer), growing: this.growing,
      hull: seen?.hull, pixels: seen?.pixels.map(({ rows, columns }) => `${rows}x${columns}`).join(";"),
    };
    this.publish(values);
  }

  end() {
    this.stop();
    this.watcher.disconnect();
    this.motion.removeEventListener("change", this.onMotion);
    this.model.off?.("change:step", this.onStep);
  }
}

export default {
  render({ model, el }) {
    const lab = new Lab(model, el);
    return () => lab.end();
  },
};
