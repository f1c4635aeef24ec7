// The taps of dilated filters on a map, and the bins of a pyramid over an image. All of it is worked out here.
import { BaseLab, element, setText } from "./lab.js";
import { binMeans, decoded, fitted, meanShare, placesBy, sppRule, unitMap, validHere } from "./aspp_lab_maths.js";
import { binWords, levelWords, rateNote, rateWords, sppNote, unitWords } from "./aspp_lab_words.js";
import { TapsView, placeOf } from "./aspp_lab_views.js";
import { CurveView } from "./aspp_lab_curve.js";
import { BinsView, KeptView, photoOf } from "./aspp_lab_bins.js";
import { PyramidControls, Tabs, TapsControls } from "./aspp_lab_panels.js";

const SHOWN = ["map_size", "rates", "active", "centre", "part", "level", "stride", "rule", "bin"];
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const GUIDES = {
  taps: "Point at a unit of the map or at a rate of the curves; a click keeps the unit, or gives the bold rate that value. With Tab: arrow keys move the unit (Shift: ten) " +
    "or the rate, Enter takes the rate, 1 to 4 choose the bold one, Escape goes back to the middle. Greyed marks are taps beyond the map: they read padding.",
  pyramid: "Point at a bin, of the image or of the means; a click keeps it. With Tab: arrow keys move, Escape lets go. Solid and dashed frames alternate.",
};
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const between = (value, low, high) => Math.max(low, Math.min(high, value));

class AsppLab extends BaseLab {
  constructor(model, el) {
    super();
    const data = model.get("data");
    Object.assign(this, { model, data, pixels: decoded(data.image), pointed: null });
    this.photo = photoOf(this.pixels, data.size);
    this.build(el);
    this.listen();
    this.take(this.sent());
    this.follow(1100, 760);
    this.onSent = () => this.hear();
    SHOWN.forEach((name) => model.on(`change:${name}`, this.onSent));
  }

  // What is on the page.
  build(el) {
    const { data } = this;
    this.root = element("div", el, { className: "edu-seg aspp" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.tabs = new Tabs(this.root, { taps: "Taps on a map", pyramid: "Bins of a pyramid" }, (name) => this.change({ part: name }));
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    this.stages = Object.fromEntries(["taps", "pyramid"].map((name) => [name, this.stage(name)]));
    const side = element("section", this.stages.taps, { className: "side" });
    const change = (values) => this.change(values);
    this.map = this.panel(this.stages.taps, "map", "", "Map of units: arrow keys move the unit, with Shift by ten, 1 to 4 choose the bold rate, Escape goes back to the middle");
    this.controls = new TapsControls(element("div", side, { className: "controls" }), data, change);
    this.curve = this.panel(side, "curve", "Share of places with so many valid weights", "Curves over the rate: left and right move, Enter gives the bold rate this value");
    this.note = element("p", side, { className: "note" });
    this.pyramid = new PyramidControls(element("div", this.stages.pyramid, { className: "controls" }), data, change);
    this.image = this.panel(this.stages.pyramid, "image", "", "Image and its bins: arrow keys move from bin to bin, Escape lets go");
    this.kept = this.panel(this.stages.pyramid, "kept", "What average pooling keeps", "Means of the bins: arrow keys move from bin to bin, Escape lets go");
    this.spp = element("p", this.stages.pyramid, { className: "note" });
    this.hint = element("p", this.root, { className: "hint" });
    this.views = {
      map: new TapsView(this.map.canvas, data.colours), curve: new CurveView(this.curve.canvas, data.colours),
      image: new BinsView(this.image.canvas, data.size), kept: new KeptView(this.kept.canvas, data.size),
    };
  }

  stage(name) {
    const stage = element("div", this.root, { className: `stage ${name}` });
    stage.setAttribute("role", "tabpanel");
    stage.setAttribute("aria-label", name === "taps" ? "Taps on a map" : "Bins of a pyramid");
    return stage;
  }

  panel(parent, name, title, label) {
    const section = element("section", parent, { className: name });
    const heading = element("h3", section, {}, title);
    const canvas = element("canvas", section, { tabIndex: 0, ariaLabel: label });
    canvas.setAttribute("role", "application");
    canvas.dataset.lmSuppressShortcuts = "true";
    return { section, heading, canvas };
  }

  listen() {
    this.root.onkeydown = (event) => { this.escape(event); event.stopPropagation(); };
    for (const name of ["map", "curve", "image", "kept"]) {
      const { canvas } = this[name];
      canvas.onpointermove = (event) => { if (this.moved(event)) this.look(name, this.views[name].at(event)); };
      canvas.onpointerdown = (event) => this.keep(name, this.views[name].at(event));
      canvas.onpointerleave = (event) => { if (!this.rests(event)) this.look(name, null); };
      canvas.onblur = () => { if (name === "curve") this.look(name, null); };
      canvas.onkeydown = (event) => this.key(name, event);
    }
  }

  // What is pointed at, for as long as it is.
  look(name, at) {
    this.pointed = at === null ? null : { name, at };
    this.schedule();
  }

  // A click: the unit, the rate or the bin stays.
  keep(name, at) {
    if (at === null) return;
    if (name === "curve") this.rate(at);
    else this.change(name === "map" ? { centre: at } : { bin: at });
  }

  rate(value) {
    const { rates, active } = this.state;
    this.change({ rates: rates.map((rate, n) => (n === active ? value : rate)) });
  }

  // The state: from Python, or from the reader, who tells Python.
  sent() {
    return Object.fromEntries(SHOWN.map((name) => [name, this.model.get(name)]));
  }

  hear() {
    const state = this.sent();
    const isReady = fitted(state, this.data.size);
    if (!same(isReady, this.state)) this.take(isReady);
  }

  change(values) {
    const next = fitted({ ...this.state, ...values }, this.data.size);
    const changed = SHOWN.filter((name) => !same(next[name], this.state[name]));
    if (!changed.length) return this.schedule();
    this.take(next);
    changed.forEach((name) => this.model.set(name, next[name]));
    return this.model.save_changes();
  }

  // Everything that does not depend on what is pointed at.
  take(state) {
    const before = this.state ?? {};
    this.state = state;
    if (state.stride !== before.stride) this.units = unitMap(this.pixels, this.data.size, state.stride);
    if (["stride", "level", "rule"].some((name) => state[name] !== before[name])) this.pool = binMeans(this.units, state.level, state.rule);
    if (["stride", "rule"].some((name) => state[name] !== before[name])) this.pyramid.pictures(this.units, state.rule);
    if (["map_size", "stride", "level", "rule", "part"].some((name) => state[name] !== before[name])) this.pointed = null;
    this.tabs.show(state.part);
    Object.entries(this.stages).forEach(([name, stage]) => { stage.hidden = name !== state.part; });
    setText(this.hint, GUIDES[state.part]);
    this.pyramid.show(state);
    this.views.image.take(this.photo, this.pool, state.stride);
    this.views.kept.take(this.pool);
    if (this.root.dataset.layout) this.arrange();
  }

  arrange() {
    const room = (name) => this[name].section.clientWidth - 2;
    if (this.state.part === "taps") {
      this.views.map.measure(this.state, Math.min(room("map"), 620));
      this.views.curve.measure(this.state, room("curve"), this.root.dataset.layout === "wide" ? 330 : 280);
    } else {
      const [height, width] = this.data.size;
      const most = Math.max(280, Math.min(680, (560 * width) / height));
      for (const name of ["image", "kept"]) this.views[name].measure(Math.min(room(name), most));
    }
    this.draw();
  }

  // Keys: Escape anywhere; arrows, Enter and digits on a drawing.
  escape(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    this.pointed = null;
    this.change(this.state.part === "taps" ? { centre: null } : { bin: null });
    event.preventDefault();
  }

  key(name, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    const digit = /^[1-4]$/.test(event.key) ? Number(event.key) - 1 : -1;
    if (move && name === "curve") this.look(name, this.nextRate(move[1] - move[0], event.shiftKey));
    else if (move) this.step(name, move, event.shiftKey);
    else if (event.key === "Enter" && this.pointed?.name === name) this.keep(name, this.pointed.at);
    else if (digit >= 0 && this.state.part === "taps") { if (digit < this.state.rates.length) this.change({ active: digit }); } else return;
    event.preventDefault();
  }

  nextRate(way, isFar) {
    const here = this.pointed?.name === "curve" ? this.pointed.at : this.state.rates[this.state.active];
    return between(here + way * (isFar ? 10 : 1), 1, this.views.curve.last);
  }

  step(name, [down, across], isFar) {
    const here = this.pointed?.name === name ? this.pointed.at : name === "map" ? placeOf(this.state) : this.state.bin;
    this.pointed = null;
    const far = isFar && name === "map" ? 10 : 1;
    const [rows, columns] = name === "map" ? [this.state.map_size, this.state.map_size] : [this.pool.down.length, this.pool.across.length];
    if (!rows || !columns) return;
    const next = here ? [between(here[0] + far * down, 0, rows - 1), between(here[1] + far * across, 0, columns - 1)] : [0, 0];
    this.change(name === "map" ? { centre: next } : { bin: next });
  }

  draw() {
    if (this.state.part === "taps") this.drawTaps();
    else this.drawBins();
  }

  drawTaps() {
    const { state, pointed } = this;
    const place = pointed?.name === "map" ? onMap(pointed.at, state.map_size) : placeOf(state);
    const rate = pointed?.name === "curve" ? pointed.at : null;
    this.views.map.draw(state, place);
    this.views.curve.draw(state, rate);
    this.controls.show(state, place);
    const { map_size: size, rates, active } = state;
    setText(this.map.heading, `Rate ${rates[active]}: ${validHere(size, rates[active], place)} of 9 weights valid here`);
    const { words, isWhole } = rateNote(size, rates[active]);
    setText(this.note, words);
    this.note.dataset.good = String(isWhole);
    setText(this.says, rate === null ? unitWords(state, place) : rateWords(size, rate));
    this.tell({ place, pointedrate: rate, valid: rates.map((one) => validHere(size, one, place)), means: rates.map((one) => meanShare(size, one)), counts: JSON.stringify(placesBy(size, rate ?? rates[active])) });
  }

  drawBins() {
    const { state, pool, units } = this;
    const bin = ["image", "kept"].includes(this.pointed?.name) ? this.pointed.at : state.bin;
    this.views.image.draw(bin);
    this.views.kept.draw(bin);
    const sizes = [units.rows, units.columns];
    const [down, across] = [pool.down.length, pool.across.length];
    setText(this.image.heading, `${down} × ${across} ${down * across === 1 ? "bin" : "bins"} over ${sizes.join(" × ")} ${state.stride === 1 ? "pixels" : "units"}`);
    const { holds, words } = sppNote(sizes, state.level);
    setText(this.spp, words);
    this.spp.dataset.good = String(holds);
    const mean = bin && pool.means[bin[0]][bin[1]];
    setText(this.says, bin ? binWords(bin, [pool.down[bin[0]], pool.across[bin[1]]], sizes, mean, state) : levelWords(sizes, state.level, state));
    this.tell({ pointedbin: bin, mean, windows: JSON.stringify([pool.down, pool.across]), spp: sizes.map((size) => sppRule(size, state.level)?.made ?? 0) });
  }

  // The state as attributes, for those who read the page by program.
  tell(more) {
    const { map_size: map, ...rest } = this.state;
    this.publish({ map, ...rest, ...more });
  }

  end() {
    this.watcher.disconnect();
    SHOWN.forEach((name) => this.model.off?.(`change:${name}`, this.onSent));
  }
}

const onMap = (place, size) => place.map((at) => Math.min(at, size - 1));

export default {
  render({ model, el }) {
    const lab = new AsppLab(model, el);
    return () => lab.end();
  },
};
