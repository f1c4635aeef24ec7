// What each layer of a network holds and computes, at several output strides: bars to point at.
import { BaseLab, clamp, element } from "./lab.js";
import { fit } from "./rf_image_view.js";
import { LAYER, layerWords, marksOf, mib, netWords, workWords } from "./cost_lab_words.js";

const [LEFT, RIGHT, TITLE, FOOT] = [58, 10, 38, 26];
const STRIPS = [
  { key: "bytes", title: "held for the backward pass (MiB)", height: 190, unit: 2 ** 20 },
  { key: "work", title: "multiply-adds (10⁹)", height: 110, unit: 1e9 },
  { key: "side", title: "side of the map (units, log scale)", height: 80, unit: 1 },
];
const HEIGHT = STRIPS.reduce((sum, strip) => sum + TITLE + strip.height, FOOT);
const [EVEN, ODD, INK] = ["#0072b2", "#e69f00", "#222222"]; // neighbouring parts differ, and are named below
const GUIDE = "Point at a bar, or move there with Tab and the arrow keys: left and right by a layer, Page keys by a part, up and down to another output stride. " +
  "A click or Enter holds it, Escape lets go. The scales are the same at all output strides of a network.";
const valueOf = (layer, key) => (key === "side" ? Math.max(layer[LAYER.height], layer[LAYER.width]) : layer[LAYER[key]]);

class CostLab extends BaseLab {
  constructor(model, el) {
    super();
    Object.assign(this, { model, data: model.get("data"), point: null, held: false, buttons: [] });
    this.build(el);
    this.take();
    this.follow(1100, 700);
    this.onSent = () => this.take();
    ["network", "output_stride"].forEach((name) => model.on(`change:${name}`, this.onSent));
  }

  build(el) {
    this.root = element("div", el, { className: "edu-seg cost" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.root.onkeydown = (event) => { this.key(event); event.stopPropagation(); };
    this.menu = element("select", element("label", element("div", this.root, { className: "row" }), {}, "Network "));
    this.data.networks.forEach(({ name }) => element("option", this.menu, { value: name }, name));
    this.menu.onchange = () => this.choose(this.menu.value, this.stride.output_stride);
    this.totals = element("div", this.root, { className: "totals", role: "group", ariaLabel: "Output stride, with the totals of each" });
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    this.canvas = element("canvas", this.root, { tabIndex: 0, ariaLabel: "Layers of the network: arrow keys move, Enter holds, Escape lets go" });
    this.canvas.setAttribute("role", "application");
    this.canvas.onpointermove = (event) => { if (this.moved(event) && !this.held) this.look(this.at(event)); };
    this.canvas.onpointerdown = (event) => this.hold(this.at(event));
    this.canvas.onpointerleave = (event) => { if (!this.rests(event) && !this.held) this.look(null); };
    element("p", this.root, { className: "hint" }, GUIDE);
  }

  // The state is Python's two traits; where a network lacks the output stride, its first is taken.
  choose(name, wanted) {
    const strides = this.data.networks.find((network) => network.name === name).strides.map(({ output_stride: own }) => own);
    this.model.set("network", name);
    this.model.set("output_stride", strides.includes(wanted) ? wanted : strides[0]);
    this.model.save_changes();
    this.take();
  }

  // The layer that is pointed at stays so at another output stride of the same network.
  take() {
    const network = this.data.networks.find(({ name }) => name === this.model.get("network"));
    const stride = network.strides.find(({ output_stride: own }) => own === this.model.get("output_stride"));
    if (!stride || (network === this.network && stride === this.stride)) return;
    const before = this.point === null || network !== this.network ? null : this.stride.layers[this.point];
    const isSame = (layer) => layer && layer[LAYER.name] === before[LAYER.name]; // a layer that is called twice has two rows
    const same = !before ? -1 : isSame(stride.layers[this.point]) ? this.point : stride.layers.findIndex(isSame);
    if (network !== this.network) this.list(network);
    Object.assign(this, { network, stride, point: same < 0 ? null : same, held: this.held && same >= 0 });
    this.menu.value = network.name;
    this.most = Object.fromEntries(STRIPS.map(({ key, unit }) => [key, Math.max(...network.strides.flatMap(({ layers }) => layers.map((layer) => valueOf(layer, key)))) / unit || 1]));
    this.buttons.forEach((button) => button.setAttribute("aria-pressed", String(Number(button.value) === stride.output_stride)));
    this.draw();
  }

  list(network) {
    const most = Math.max(...network.strides.map(({ bytes }) => bytes));
    this.totals.replaceChildren();
    this.buttons = network.strides.map(({ output_stride: stride, bytes, work }) => {
      const button = element("button", this.totals, { type: "button", value: `${stride}` });
      [["b", `output stride ${stride}`], ["span", mib(bytes)], ["span", workWords(work)]].forEach(([tag, words]) => element(tag, button, {}, words));
      element("i", button).style.width = `${(100 * bytes) / most}%`;
      button.onclick = () => this.choose(network.name, stride);
      return button;
    });
  }

  at(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left - LEFT;
    return clamp(Math.floor(x / this.step), 0, this.stride.layers.length - 1);
  }

  look(point) {
    this.point = point;
    this.schedule();
  }

  hold(point) {
    this.held = !(this.held && point === this.point);
    this.look(point);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") { this.held = false; this.look(null); } else if (event.target !== this.canvas) return;
    else if (event.key === "Enter") this.hold(this.point ?? 0);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") this.nextStride(event.key === "ArrowUp" ? 1 : -1);
    else if (["ArrowLeft", "ArrowRight", "PageUp", "PageDown"].includes(event.key)) this.look(this.next(event.key));
    else return;
    event.preventDefault();
  }

  next(key) {
    const last = this.stride.layers.length - 1;
    if (this.point === null) return 0;
    if (key.startsWith("Arrow")) return clamp(this.point + (key === "ArrowRight" ? 1 : -1), 0, last);
    const starts = this.stride.parts.map(({ start }) => start);
    return key === "PageDown" ? starts.find((start) => start > this.point) ?? last : starts.findLast((start) => start < this.point) ?? 0;
  }

  nextStride(by) {
    const { strides, name } = this.network;
    this.choose(name, strides[clamp(strides.indexOf(this.stride) + by, 0, strides.length - 1)].output_stride);
  }

  arrange() {
    this.draw();
  }

  draw() {
    if (!this.width) return;
    const context = fit(this.canvas, this.width, HEIGHT);
    this.step = (this.width - LEFT - RIGHT) / this.stride.layers.length;
    context.clearRect(0, 0, this.width, HEIGHT);
    context.font = "14px system-ui, sans-serif";
    let base = 0;
    for (const strip of STRIPS) {
      base += TITLE + strip.height;
      this.strip(context, strip, base);
    }
    this.names(context, base);
    if (this.point !== null) this.pointer(context, base);
    this.tell();
  }

  strip(context, { key, title, height, unit }, base) {
    const most = this.most[key];
    const along = key === "side" ? (value) => Math.log2(Math.max(value, 4) / 2) : (value) => value;
    const scale = (value) => (height * along(value)) / along(most);
    Object.assign(context, { textAlign: "left", fillStyle: INK });
    context.fillText(title, LEFT, base - height - 8);
    context.textAlign = "right";
    for (const mark of key === "side" ? [16, 64, 256].filter((side) => side <= most) : marksOf(most)) {
      const y = Math.round(base - scale(mark));
      context.fillText(`${mark} –`, LEFT - 1, y + 5);
    }
    this.stride.parts.forEach(({ start, end }, number) => {
      context.fillStyle = number % 2 ? ODD : EVEN;
      for (let at = start; at < end; at += 1) {
        const tall = scale(valueOf(this.stride.layers[at], key) / unit);
        const [from, to] = [at, at + 1].map((place) => Math.round(LEFT + place * this.step));
        context.fillRect(from, base - tall, Math.max(1, to - from), tall);
      }
    });
  }

  // A part's name below it, and the side of its maps, where there is room.
  names(context, base) {
    Object.assign(context, { textAlign: "center", fillStyle: INK });
    for (const { name, start, end } of this.stride.parts) {
      const [middle, room] = [LEFT + (this.step * (start + end)) / 2, this.step * (end - start)];
      const side = `${valueOf(this.stride.layers[end - 1], "side")}`;
      const words = [`${name}: ${side}`, name, side].find((text) => context.measureText(text).width < room - 4);
      if (words) context.fillText(words, middle, base + 19);
    }
  }

  pointer(context, base) {
    const wide = Math.max(3, this.step);
    Object.assign(context, { strokeStyle: INK, lineWidth: this.held ? 4 : 2 });
    context.strokeRect(LEFT + this.step * (this.point + 0.5) - wide / 2, TITLE - 4, wide, base - TITLE + 6);
  }

  // The sentence, and the state as attributes for those who read the page by program.
  tell() {
    const { network, stride, point, data } = this;
    const words = point === null ? netWords(network, stride, data.size) : layerWords(stride, point);
    if (this.says.textContent !== words) this.says.textContent = words;
    const values = { network: network.name, stride: stride.output_stride, point, layer: point === null ? null : stride.layers[point][LAYER.name], held: this.held };
    this.publish(values);
    this.canvas.dataset.bars = JSON.stringify([LEFT, this.step, stride.layers.length]);
  }

  end() {
    this.watcher.disconnect();
    ["network", "output_stride"].forEach((name) => this.model.off?.(`change:${name}`, this.onSent));
  }
}

export default {
  render: ({ model, el }) => { const lab = new CostLab(model, el); return () => lab.end(); },
};
