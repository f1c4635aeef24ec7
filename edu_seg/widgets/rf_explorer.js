// Point at a unit and see what it sees; point at a pixel and see who sees it. The geometry arrives once; hovering asks nobody.
import { BaseLab, element } from "./lab.js";
import { ancestors, boxOf, countOf, hullsBack, reach, seenBy } from "./rf_geometry.js";
import { ImageView, viewOf } from "./rf_image_view.js";
import { Measurer } from "./rf_measurer.js";
import { ConeView, GridView, chosenPlanes, countBox, mosaic, places } from "./rf_map_views.js";
import { LayerTable, StackEditor } from "./rf_panels.js";
import { possible, stackGraph, stackRows } from "./rf_stack.js";
import { compareWords, lengths, pixelWords, unitWords } from "./rf_words.js";

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const HINT = "Point at a unit: what does it see? Point at a pixel: who sees it? A click pins a unit or holds a pixel; two pins are compared. " +
  "Arrow keys move (with Shift further), Enter pins or holds, M measures, Escape clears, Page Up and Page Down change the layer.";

class Explorer extends BaseLab {
  constructor(model, el, picture) {
    super();
    const data = model.get("data");
    Object.assign(this, { model, data, size: [data.height, data.width], looked: new Map(), times: [] });
    this.build(el, picture);
    this.start(model.get("layers"));
    this.follow(1180, 720);
    if (this.editor) this.model.on?.("change:layers", () => { if (`${this.model.get("layers")}` !== `${this.layers}`) this.start(this.model.get("layers")); });
  }

  // What is on the page.
  build(el, picture) {
    this.root = element("div", el, { className: "edu-seg rf" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.root.addEventListener("keydown", (event) => event.stopPropagation());
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    const stage = element("div", this.root, { className: "stage" });
    const list = element("section", stage, { className: "list" });
    element("h3", list, {}, "Layers");
    this.table = new LayerTable(list, (row) => this.choose(row));
    const middle = element("section", stage, { className: "middle" });
    element("small", element("h3", middle, {}, "Image"), {}, ` ${this.size.join(" × ")}`);
    this.image = new ImageView(this.canvas(middle, "Image: arrow keys move a pixel, and the units that see it are shown; Enter holds it"), picture, this.size);
    this.tools(middle);
    const maps = element("section", stage, { className: "maps" });
    const above = element("div", maps);
    this.gridTitle = element("h3", above);
    this.grid = new GridView(this.canvas(above, "Units of the layer: arrow keys move, Enter pins, M measures, Escape unpins, Page Up and Page Down change the layer"));
    const below = element("div", maps);
    element("h3", below, {}, "What is read on the way");
    const drawing = element("canvas", below);
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", "The cone: what is read in the layers between; the table's last column says it in numbers");
    this.cone = new ConeView(drawing, this.image.source);
    if (!this.data.rows) this.editor = new StackEditor(this.root, this.size, (layers) => this.change(layers));
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

  tools(parent) {
    const row = element("div", parent, { className: "row tools" });
    element("button", row, { type: "button" }, "Measure by gradient").onclick = () => this.measure();
    this.clearButton = element("button", row, { type: "button" }, "Clear");
    this.clearButton.onclick = () => this.clear();
    this.measurer = new Measurer(this.model, row, parent, this.size, () => this.schedule());
  }

  listen() {
    const [units, pixels] = [this.grid.canvas, this.image.canvas];
    units.onpointermove = (event) => { if (this.moved(event)) this.point(this.grid.unitAt(event)); };
    units.onpointerdown = (event) => { this.point(this.grid.unitAt(event)); this.pin(); };
    units.onkeydown = (event) => this.unitKey(event);
    pixels.onpointermove = (event) => {
      const at = this.image.pixelAt(event);
      if (this.moved(event) && at && !this.held) this.look(at);
    };
    pixels.onpointerdown = (event) => {
      const at = this.image.pixelAt(event);
      this.held = Boolean(at) && !this.held;
      if (at) this.look(at);
    };
    pixels.onkeydown = (event) => this.pixelKey(event);
  }

  // A network, or a stack anew.
  start(layers) {
    this.layers = layers;
    this.graph = this.editor ? stackGraph(layers, this.size) : this.data.graph;
    this.rows = this.editor ? stackRows(layers, this.graph) : this.data.rows;
    this.looked.clear();
    this.measurer.forget();
    Object.assign(this, { pins: [], pixel: null, held: false });
    this.row = Math.min(this.row ?? this.data.start ?? this.rows.length - 1, this.rows.length - 1);
    this.unit = this.rows[this.row].map.map((units) => Math.floor(units / 2));
    this.table.show(this.rows, this.row);
    this.editor?.show(layers);
    if (this.root.dataset.layout) this.arrange();
  }

  change(layers) {
    if (!possible(layers, this.size) || `${layers}` === `${this.layers}`) return;
    if (layers.length > this.layers.length) this.row = layers.length - 1;
    this.start(layers);
    this.measurer.expect(layers, this.rows);
    this.model.set("layers", layers);
    this.model.save_changes();
  }

  get node() {
    return this.rows[this.row].node;
  }

  choose(row) {
    const [old, next] = [this.rows[this.row].map, this.rows[row].map];
    this.unit = this.unit.map((u, axis) => Math.min(next[axis] - 1, Math.floor(((u + 0.5) * next[axis]) / old[axis])));
    this.row = row;
    this.table.select(row);
    this.arrange();
  }

  arrange() {
    const [rows, columns] = this.rows[this.row].map;
    const [middle, ...others] = [[rows >> 1, columns >> 1], [0, 0], [rows - 1, columns - 1]].map((unit) => hullsBack(this.graph, this.node, unit)[0]);
    const high = { wide: this.editor ? 460 : 620, medium: this.editor ? 340 : 400, narrow: 420 }[this.root.dataset.layout];
    const room = (canvas) => canvas.parentElement.clientWidth - 2;
    this.image.view = viewOf(middle, others, this.size);
    this.image.resize(room(this.image.canvas), high);
    this.table.box.style.maxHeight = this.root.dataset.layout === "narrow" ? "260px" : `${high}px`;
    const found = places(this.graph, this.node);
    this.grid.show(mosaic(this.image.source, found, [rows, columns]), [rows, columns], room(this.grid.canvas), high * { wide: 0.38, medium: 0.36, narrow: 0.7 }[this.root.dataset.layout]);
    const hint = element("small", this.gridTitle, {}, ` ${rows} × ${columns}`);
    this.gridTitle.replaceChildren(`Units of ${this.rows[this.row].label}`, hint);
    this.cone.show(this.planes(), room(this.cone.canvas), high * { wide: 0.56, medium: 0.56, narrow: 0.8 }[this.root.dataset.layout]);
    this.draw();
  }

  planes() {
    const wanted = ancestors(this.graph, this.node);
    const named = new Map(this.rows.map((row) => [row.node, row.label]));
    const stands = ({ group, label, node }) => wanted[node] && (!group || label === group || group === this.rows[this.row].group);
    const ends = this.rows.filter((row) => stands(row) && (row.group !== this.rows[this.row].group || !row.group));
    const kept = ends.length < 3 ? this.rows.filter(stands) : ends;
    const nodes = [...new Set([0, ...kept.map(({ node }) => node), this.node])].sort((a, b) => a - b);
    return chosenPlanes(nodes, (node) => this.graph.nodes[node].sizes).map((node) => {
      const sizes = this.graph.nodes[node].sizes;
      const found = node ? places(this.graph, node) : [0, 1].map(() => ({ first: 0.5, step: 1 }));
      return { node, sizes, name: node ? named.get(node) : "image", places: found, picture: node ? mosaic(this.image.source, found, sizes) : this.image.source };
    });
  }

  // What one unit sees: in every map, by intervals and by units.
  lookAt(row, unit) {
    const key = `${row};${unit}`;
    if (!this.looked.has(key)) {
      if (this.looked.size > 300) this.looked.clear();
      const node = this.rows[row].node;
      const hulls = hullsBack(this.graph, node, unit);
      const sets = reach(this.graph, node, unit);
      const inside = boxOf(sets[0]);
      this.looked.set(key, { row, unit, name: this.rows[row].label, hulls, sets, hull: hulls[0], inside, count: countOf(sets[0], inside) });
    }
    return this.looked.get(key);
  }

  point(unit) {
    if (!this.pixel && `${unit}` === `${this.unit}`) return;
    Object.assign(this, { unit, pixel: null, held: false });
    this.schedule();
  }

  look(pixel) {
    this.pixel = pixel;
    this.schedule();
  }

  pin() {
    const same = this.pins.findIndex((pin) => pin.row === this.row && `${pin.unit}` === `${this.unit}`);
    if (same >= 0) this.pins.splice(same, 1);
    else this.pins = [...(this.pins.length > 1 ? [] : this.pins), { row: this.row, unit: this.unit }];
    this.told();
  }

  clear() {
    this.measurer.forget();
    Object.assign(this, { pins: [], pixel: null, held: false });
    this.told();
  }

  told() {
    this.model.set("pins", this.pins.map(({ row, unit }) => [this.rows[row].name, ...unit]));
    this.model.save_changes();
    this.schedule();
  }

  unitKey(event) {
    const step = STEPS[event.key];
    const far = event.shiftKey ? 5 : 1;
    if (step) this.point(this.unit.map((u, axis) => Math.max(0, Math.min(this.rows[this.row].map[axis] - 1, u + far * step[axis]))));
    else if (event.key === "Enter" || event.key === " ") { this.point(this.unit); this.pin(); }
    else if (event.key === "Escape") this.clear();
    else if (event.key.toLowerCase() === "m") this.measure();
    else if (event.key === "PageUp" || event.key === "PageDown") this.choose(Math.max(0, Math.min(this.rows.length - 1, this.row + (event.key === "PageUp" ? -1 : 1))));
    else return;
    event.preventDefault();
  }

  pixelKey(event) {
    const step = STEPS[event.key];
    const far = event.shiftKey ? 10 : 1;
    const from = this.pixel ?? this.size.map((units) => units >> 1);
    if (step) this.look(from.map((p, axis) => Math.max(0, Math.min(this.size[axis] - 1, p + far * step[axis]))));
    else if (event.key === "Enter" || event.key === " ") { this.held = !this.held; this.look(from); }
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  }

  // One drawing a frame, however many moves; how long it took from the first of them until the frame was out is noted.
  schedule() {
    if (this.pending) return;
    this.pending = true;
    const began = performance.now();
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => this.note(performance.now() - began);
      port2.postMessage(0);
    });
  }

  note(milliseconds) {
    this.times = [...this.times.slice(-199), milliseconds];
    const sorted = [...this.times].sort((a, b) => a - b);
    Object.assign(this.root.dataset, { hoverMedian: sorted[sorted.length >> 1].toFixed(2), hovers: this.times.length });
  }

  draw() {
    if (this.pixel) this.drawPixel();
    else this.drawUnits();
    this.clearButton.disabled = !(this.pins.length || this.measurer.heat || this.held);
  }

  drawUnits() {
    const pinned = this.pins.map(({ row, unit }, n) => ({ ...this.lookAt(row, unit), style: "AB"[n] }));
    const current = { ...this.lookAt(this.row, this.unit), style: "current" };
    const isPinned = this.pins.some((pin) => pin.row === this.row && `${pin.unit}` === `${this.unit}`);
    const looks = pinned.length > 1 || isPinned ? pinned : [...pinned, { ...current, style: pinned.length ? "B" : "current" }];
    const shown = looks.map((look) => ({ ...look, inside: look.sets[0], boxes: look.hulls }));
    this.image.draw({ looks: shown, heat: this.measurer.heatOf(shown) });
    const marks = shown.filter((look) => look.row === this.row).map(({ unit, style }) => ({ unit, style }));
    this.grid.draw({ units: pinned.length > 1 ? [{ unit: this.unit, style: "current" }, ...marks] : marks });
    this.cone.draw(shown);
    this.table.read("reads", this.rows.map((row) => (shown[0].hulls[row.node] ? lengths(shown[0].hulls[row.node]) : "")));
    const { name, unit, hull, inside, count } = looks[0];
    this.say(looks.length > 1 ? compareWords(looks[0], looks[1]) : unitWords(name, unit, hull, inside, count, this.size));
    this.mark({ unit: current.unit, field: current.hull, inside: current.inside, count: current.count, pixel: "", seen: "" });
  }

  drawPixel() {
    const sets = seenBy(this.graph, this.node, this.pixel);
    const seen = sets[this.node];
    const boxes = sets.map((products) => boxOf(products));
    this.image.draw({ looks: [], pixel: this.pixel });
    this.grid.draw({ units: [], seen });
    this.cone.draw([{ style: "pixel", boxes, sets }]);
    this.table.read("see it", this.rows.map((row) => (boxes[row.node] ? lengths(boxes[row.node]) : "")));
    this.say(pixelWords(this.rows[this.row].label, this.pixel, boxes[this.node], countBox(seen), this.held));
    this.mark({ unit: "", field: "", inside: "", count: countBox(seen), pixel: this.pixel, seen: boxes[this.node] });
  }

  // Of the last pin, or of the unit that is pointed at, which is pinned by it.
  measure() {
    if (!this.pins.length) {
      this.pixel = null;
      this.pin();
    }
    const { row, unit } = this.pins.at(-1);
    this.measurer.measure(this.rows[row], this.lookAt(row, unit), this.data.parameters);
  }

  // The state as attributes, for those who read the page by program.
  mark(values) {
    this.publish({ layer: this.rows[this.row].name, pins: this.pins.length, ...values });
  }
}

export default {
  async render({ model, el }) {
    const picture = new Image();
    picture.src = model.get("data").image;
    await picture.decode();
    const explorer = new Explorer(model, el, picture);
    return () => explorer.watcher.disconnect();
  },
};
