// Step through a decoder from coarse to fine, swap the switches for fixed positions, and follow a value. All of it is worked out here.
import { BaseLab, element } from "./lab.js";
import { Decoder, fromText } from "./decoder_lab_maths.js";
import { MODE_NAMES, mapName, shortNumber, sizeWords, stageSentence, thin, unitSentence } from "./decoder_lab_words.js";
import { LANDED, MARKED, MapPane, differencePainter, labelPainter, pixelPainter, valuePainter } from "./decoder_lab_views.js";
import { ChangesTable, DecoderControls, FilmStrip, Legend } from "./decoder_lab_parts.js";

const STEP_EVERY = 1300; // milliseconds
const TURN = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const STEP = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
const TRAITS = ["stage", "mode", "channel", "cell"];
const LAYOUTS = { wide: [64, 460], medium: [64, 460], narrow: [48, 400] }; // pixels a side: of the strip's pictures, of the maps at most
const HELP = "Arrow keys, Page Up and Page Down, Space or a click on the strip: another stage. P plays, S swaps the switches for fixed places, 1, 2, 3 and A choose the " +
  "channel. Point at a unit, or move in a map with Tab and the arrow keys: its window in the stage below and the place of its value are marked. " +
  "A click or Enter holds it, and it is followed from stage to stage; Escape lets go.";

class DecoderLab extends BaseLab {
  constructor(model, el) {
    super();
    const data = model.get("data");
    this.decoder = new Decoder(data);
    const { names, palette, hatches } = data;
    Object.assign(this, { model, names, palette, hatches, image: fromText(data.image), point: null, other: "fixed", motion: window.matchMedia("(prefers-reduced-motion: reduce)") });
    Object.assign(this, this.told());
    this.build(el, data);
    this.listen();
    this.follow(1150, 720);
    this.onTold = () => this.hear();
    TRAITS.forEach((name) => model.on(`change:${name}`, this.onTold));
  }

  // What is on the page.
  build(el, { net }) {
    this.root = element("div", el, { className: "edu-seg dec" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.controls = new DecoderControls(element("div", this.root, { className: "controls" }), this.decoder, {
      go: (by) => this.go(this.number + by), play: () => this.play(), swap: () => this.swap(),
      mode: (mode) => this.change({ mode }), channel: (channel) => this.change({ channel }),
    });
    this.strip = new FilmStrip(this.root, this.decoder, (number) => this.go(number));
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    const stage = element("div", this.root, { className: "stage" });
    const keys = "arrow keys move, Enter holds, Escape lets go, Page keys change the stage";
    this.panels = {
      image: this.panel(stage, "image", `Image that the ${net} is given`),
      below: this.panel(stage, "below", "Stage below"),
      map: this.panel(stage, "map", `Stage: ${keys}`, true),
      difference: this.panel(stage, "difference", `Difference: ${keys}`, true),
    };
    const side = element("section", stage, { className: "changes" });
    this.legend = new Legend(side);
    this.table = new ChangesTable(side, this.decoder);
    element("p", this.root, { className: "hint" }, HELP);
  }

  panel(parent, name, label, focusable = false) {
    const section = element("section", parent, { className: name });
    const heading = element("h3", section);
    const canvas = element("canvas", section, { ariaLabel: label });
    canvas.setAttribute("role", focusable ? "application" : "img");
    if (focusable) canvas.tabIndex = 0;
    canvas.dataset.lmSuppressShortcuts = "true";
    return { section, heading, canvas, pane: new MapPane(canvas) };
  }

  listen() {
    this.root.onkeydown = (event) => { this.key(event); event.stopPropagation(); };
    for (const name of ["below", "map", "difference"]) {
      const { canvas, pane } = this.panels[name];
      const cellOf = (event) => (name === "below" ? this.fromBelow(pane.cellAt(event)) : pane.cellAt(event));
      canvas.onpointermove = (event) => { if (this.moved(event) && !this.cell) this.look(cellOf(event)); };
      canvas.onpointerdown = (event) => this.hold(cellOf(event));
      canvas.onpointerleave = (event) => { if (!this.rests(event) && !this.cell) this.look(null); };
      if (name !== "below") canvas.onkeydown = (event) => this.canvasKey(event);
    }
    this.onMotion = () => this.draw();
    this.motion.addEventListener("change", this.onMotion);
  }

  fromBelow(cell) {
    return this.number ? this.decoder.above(this.number, cell, this.mode, this.channel) : cell;
  }

  // The state: from Python, or from the reader, and then Python is told.
  told() {
    const { model, decoder } = this;
    const cell = model.get("cell");
    return { number: Math.max(0, decoder.numberOf(model.get("stage"))), mode: model.get("mode"), channel: model.get("channel"), cell: cell && [...cell] };
  }

  state() {
    const { number, mode, channel, cell } = this;
    return { number, mode, channel, cell };
  }

  hear() {
    const told = this.told();
    const size = this.decoder.at(told.number).size;
    if (told.cell && told.cell.some((part, axis) => part >= size[axis])) return; // the stage that it belongs to is still to come
    if (JSON.stringify(told) !== JSON.stringify(this.state())) this.take(told);
  }

  change(values, byPlay = false) {
    if (!byPlay) this.stop();
    this.take({ ...this.state(), ...values });
    const { number, mode, channel, cell, model } = this;
    Object.entries({ stage: this.decoder.at(number).name, mode, channel, cell }).forEach(([name, value]) => model.set(name, value));
    model.save_changes();
  }

  take(state) {
    if (state.mode !== "switches") this.other = state.mode;
    const isMoved = state.number !== this.number;
    Object.assign(this, state, { point: state.cell ?? (isMoved ? null : this.point) });
    if (isMoved) this.arrangePanels();
    else this.draw();
  }

  // What is held is followed: up to where its value is put, down to where it came from.
  go(number, byPlay = false) {
    const to = Math.max(0, Math.min(this.decoder.stages.length - 1, number));
    if (to === this.number) return byPlay ? undefined : this.stop();
    const cell = this.cell && this.decoder.followed(this.number, to, this.cell, this.mode, this.channel);
    this.change({ number: to, cell }, byPlay);
    this.strip.focus(to);
    return undefined;
  }

  swap() {
    this.change({ mode: this.mode === "switches" ? "fixed" : "switches" });
  }

  look(point) {
    this.point = point;
    this.schedule();
  }

  hold(cell) {
    this.point = cell;
    this.change({ cell: this.cell && `${this.cell}` === `${cell}` ? null : cell });
  }

  release() {
    this.point = null;
    if (this.cell) this.change({ cell: null });
    else this.draw();
  }

  // Stage by stage, from the start if all are done; at once for readers who want no motion.
  play() {
    const last = this.decoder.stages.length - 1;
    if (this.timer) {
      this.stop();
      this.draw();
    } else if (this.motion.matches) this.go(last);
    else {
      this.timer = setInterval(() => (this.number < last ? this.go(this.number + 1, true) : this.play()), STEP_EVERY);
      this.go(this.number < last ? this.number + 1 : 0, true);
    }
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  // Keys anywhere in the lab, save where a button or a map has its own use for them.
  key(event) {
    const { target, key } = event;
    const own = target.matches("button") && (key === "Enter" || key === " ");
    if (event.defaultPrevented || own || event.ctrlKey || event.metaKey || event.altKey) return;
    const letter = key.toLowerCase();
    if (STEP[key]) this.go(this.number + (key === " " && event.shiftKey ? -1 : STEP[key]));
    else if (key === "Home" || key === "End") this.go(key === "Home" ? 0 : this.decoder.stages.length - 1);
    else if (letter === "p") this.play();
    else if (letter === "s") this.swap();
    else if (["1", "2", "3", "a"].includes(letter)) this.change({ channel: letter === "a" ? "all" : Number(letter) });
    else if (key === "Escape") this.release();
    else return;
    event.preventDefault();
  }

  canvasKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const size = this.decoder.at(this.number).size;
    const here = this.point ?? size.map((part) => part >> 1);
    const way = TURN[event.key];
    if (way) {
      const to = here.map((part, axis) => Math.max(0, Math.min(size[axis] - 1, part + (this.point ? way[axis] : 0))));
      this.point = to;
      if (this.cell) this.change({ cell: to });
      else this.schedule();
    } else if (event.key === "Enter") this.hold(here);
    else return;
    event.preventDefault();
  }

  arrange() {
    this.strip.measure(LAYOUTS[this.root.dataset.layout][0]);
    this.arrangePanels();
  }

  arrangePanels() {
    const { decoder, number, panels } = this;
    const sizes = { image: decoder.at(decoder.stages.length - 1).size, below: decoder.at(Math.max(0, number - 1)).size, map: decoder.at(number).size, difference: decoder.at(number).size };
    const most = LAYOUTS[this.root.dataset.layout][1];
    Object.entries(panels).forEach(([name, { section, pane }]) => pane.measure(sizes[name], Math.min(most, section.clientWidth - 2)));
    this.draw();
  }

  get compared() {
    return this.mode === "switches" ? this.other : "switches";
  }

  painting(number) {
    const { decoder, mode, channel, palette, hatches } = this;
    const isLabels = decoder.at(number).kind === "labels";
    const painter = () => {
      const map = decoder.map(number, mode, channel);
      return isLabels ? labelPainter(map.values, palette, hatches) : valuePainter(map);
    };
    return [`${number} ${mode} ${channel}`, painter];
  }

  draw() {
    const { decoder, number, mode, channel, panels, compared, names, palette, hatches } = this;
    const stage = decoder.at(number);
    panels.image.pane.draw("image", () => pixelPainter(this.image), (pane, context) => this.markImage(pane, context));
    panels.below.pane.draw(...this.painting(Math.max(0, number - 1)), (pane, context) => this.markBelow(pane, context));
    panels.map.pane.draw(...this.painting(number), (pane, context) => this.markMap(pane, context));
    const differs = decoder.difference(number, mode, compared, channel);
    const paintDifference = () => differencePainter(differs, stage.kind === "labels" ? decoder.band : null);
    panels.difference.pane.draw(`${number} ${mode} ${compared} ${channel}`, paintDifference, (pane, context) => this.markMap(pane, context));
    this.strip.show(number, (one) => this.painting(one));
    this.controls.show({ number, mode, channel, isPlaying: Boolean(this.timer), isStill: this.motion.matches });
    const ends = stage.kind === "labels" ? [] : stage.ranges[decoder.mapOf(stage, channel)].map(shortNumber);
    this.legend.show({ decoder, number, channel, names, palette, hatches, ends });
    this.headings(differs.reduce((sum, one) => sum + Number(one > 0), 0));
    const words = this.point ? unitSentence(decoder, number, this.point, mode, compared, channel, names) : stageSentence(decoder, number, mode, channel);
    if (this.says.textContent !== words) this.says.textContent = words;
    this.tell(differs);
  }

  headings(count) {
    const { decoder, number, mode, channel, panels, compared } = this;
    const stage = decoder.at(number);
    const below = decoder.at(number - 1);
    const titles = {
      image: ["Image", sizeWords(decoder.at(decoder.stages.length - 1).size)],
      below: below ? [`Below: ${below.name}`, sizeWords(below.size)] : ["Below: the encoder", ""],
      map: [`${stage.name}, ${MODE_NAMES[mode]}`, `${sizeWords(stage.size)}${stage.kind === "labels" ? "" : `, ${mapName(decoder, number, channel, this.names)}`}`],
      difference: [`Difference to ${MODE_NAMES[compared]}`, `${thin(count)} of ${thin(stage.size[0] * stage.size[1])} ${stage.kind === "labels" ? "labels" : "units"}`],
    };
    for (const [key, [text, more]] of Object.entries(titles)) {
      const { heading } = panels[key];
      if (heading.dataset.text === `${text} ${more}`) continue;
      heading.dataset.text = `${text} ${more}`;
      heading.replaceChildren(text);
      element("small", heading, {}, ` ${more}`);
    }
    panels.below.section.dataset.none = String(!below);
  }

  // The pixels that a unit stands for.
  markImage(pane, context) {
    if (!this.point) return;
    const { decoder, number } = this;
    const stride = 2 ** decoder.stages.slice(number + 1).filter((stage) => stage.kind === "unpool").length;
    const { reads, kind } = decoder.at(number);
    const more = kind === "map" && reads[0] === 0 ? reads[1] : 0; // fc7: as many units as its window
    const [rows, columns] = this.point.map((part) => [part * stride, (part + more + 1) * stride - 1]);
    pane.ring(context, rows, columns, MARKED);
  }

  markBelow(pane, context) {
    const window = this.point && this.decoder.window(this.number, this.point);
    if (window) pane.ring(context, window.rows, window.columns, MARKED);
  }

  // A unit; of an unpooling the whole window, where its value lies and where it would lie otherwise.
  markMap(pane, context) {
    if (!this.point) return;
    const { decoder, number, mode, channel } = this;
    const [row, column] = this.point;
    const source = decoder.at(number).kind === "unpool" ? decoder.window(number, this.point).unit : null;
    if (source) pane.ring(context, [2 * source[0], 2 * source[0] + 1], [2 * source[1], 2 * source[1] + 1], MARKED, [6, 4]);
    pane.ring(context, [row, row], [column, column], MARKED);
    if (!source || !decoder.placesOf(number, mode, channel)) return;
    const unit = source[0] * decoder.at(number - 1).size[1] + source[1];
    const landings = [mode, this.compared].map((one) => decoder.landing(number, one, channel, unit));
    if (`${landings[0]}` !== `${landings[1]}`) pane.disc(context, landings[1], LANDED, true);
    pane.disc(context, landings[0], LANDED);
  }

  // The state as attributes, for those who read the page by program.
  tell(differs) {
    const { decoder, number, mode, channel, compared, point, root } = this;
    const stage = decoder.at(number);
    const { values, filled } = decoder.map(number, mode, channel);
    const at = point && point[0] * stage.size[1] + point[1];
    const window = point && decoder.window(number, point);
    const { changed, near, band } = decoder.changes(compared === "switches" ? mode : compared);
    const told = {
      stage: stage.name, size: stage.size, mode, compared, channel, point, held: Boolean(this.cell), playing: Boolean(this.timer), changed, near, band,
      differing: differs.reduce((sum, one) => sum + Number(one > 0), 0), sum: values.reduce((sum, one) => sum + one, 0), filled: filled?.reduce((sum, one) => sum + one, 0),
      byte: point && values[at], window: window && [...window.rows, ...window.columns], landed: window?.unit && decoder.placesOf(number, mode, channel) && decoder.landing(number, mode, channel, window.unit[0] * decoder.at(number - 1).size[1] + window.unit[1]),
    };
    this.publish(told);
  }

  end() {
    this.stop();
    this.watcher.disconnect();
    this.motion.removeEventListener("change", this.onMotion);
    TRAITS.forEach((name) => this.model.off?.(`change:${name}`, this.onTold));
  }
}

export default {
  render({ model, el }) {
    const lab = new DecoderLab(model, el);
    return () => lab.end();
  },
};
