// What DecoderLab is operated with: buttons for steps, modes and channels, the film strip, the table of what changes, the legend.
import { element } from "./lab.js";
import { MODE_NAMES, ORDINALS, asPercent, mapName, sizeWords, thin } from "./decoder_lab_words.js";
import { cividis } from "./stitch_lab_views.js";
import { MapPane, drawSample, heatColour } from "./decoder_lab_views.js";

// Buttons of which one is pressed; choose(value).
class Choice {
  constructor(parent, label, values, nameOf, choose) {
    const box = element("div", parent, { className: "choice", role: "group", ariaLabel: label });
    element("span", box, {}, label);
    this.buttons = new Map(values.map((value) => {
      const button = element("button", box, { type: "button" }, nameOf(value));
      button.onclick = () => choose(value);
      return [value, button];
    }));
  }

  show(chosen) {
    this.buttons.forEach((button, value) => button.setAttribute("aria-pressed", String(value === chosen)));
  }
}

export class DecoderControls {
  // acts: { go(by), play(), swap(), mode(name), channel(value) }.
  constructor(parent, decoder, acts) {
    const row = element("div", parent, { className: "row" });
    this.decoder = decoder;
    this.back = element("button", row, { type: "button" }, "← Back");
    this.next = element("button", row, { type: "button" }, "Next →");
    this.playing = element("button", row, { type: "button" });
    this.swapping = element("button", row, { type: "button", className: "swap" });
    this.back.onclick = () => acts.go(-1);
    this.next.onclick = () => acts.go(1);
    this.playing.onclick = acts.play;
    this.swapping.onclick = acts.swap;
    const choices = element("div", parent, { className: "row" });
    this.modes = new Choice(choices, "Positions", decoder.modes, (mode) => MODE_NAMES[mode], acts.mode);
    this.channels = new Choice(choices, "Channel", [1, 2, 3, "all"], (value) => ORDINALS[value], acts.channel);
  }

  show({ number, mode, channel, isPlaying, isStill }) {
    const label = isStill ? "To the end" : isPlaying ? "❚❚ Pause" : "▶\uFE0E Play";
    if (this.playing.textContent !== label) this.playing.textContent = label;
    this.back.setAttribute("aria-disabled", String(number === 0)); // not `disabled`: the keyboard's focus would be lost to the notebook
    this.next.setAttribute("aria-disabled", String(number === this.decoder.stages.length - 1));
    const swap = mode === "switches" ? "Swap: fixed places (S)" : "Swap: back to the switches (S)";
    if (this.swapping.textContent !== swap) this.swapping.textContent = swap;
    this.modes.show(mode);
    this.channels.show(channel);
  }
}

// A button with a small picture for each stage.
export class FilmStrip {
  constructor(parent, decoder, go) {
    this.decoder = decoder;
    this.box = element("div", parent, { className: "strip", role: "radiogroup", ariaLabel: "Stages, from coarse to fine" });
    this.frames = decoder.stages.map((stage, number) => {
      const button = element("button", this.box, { type: "button" });
      button.setAttribute("role", "radio");
      button.onclick = () => go(number);
      const canvas = element("canvas", button);
      canvas.setAttribute("aria-hidden", "true");
      element("b", button, {}, stage.name);
      element("span", button, {}, sizeWords(stage.size));
      return { button, pane: new MapPane(canvas) };
    });
  }

  measure(side) {
    this.frames.forEach(({ pane }, number) => pane.measure(this.decoder.at(number).size, side));
  }

  // painterOf(number) → [key, painter].
  show(chosen, painterOf) {
    this.frames.forEach(({ button, pane }, number) => {
      button.setAttribute("aria-checked", String(number === chosen));
      button.tabIndex = number === chosen ? 0 : -1;
      pane.draw(...painterOf(number));
    });
  }

  // The keyboard's focus goes along, if it is in the strip.
  focus(number) {
    const root = this.box.getRootNode();
    if (this.box.contains(root.activeElement)) this.frames[number].button.focus();
  }
}

export class ChangesTable {
  constructor(parent, decoder) {
    const table = element("table", parent);
    element("caption", table, {}, "Labels that change from the switches");
    const body = element("tbody", table);
    const line = (cells, kind) => cells.forEach((text, n) => element(kind === "head" || n === 0 ? "th" : "td", row, { scope: kind === "head" ? "col" : "row" }, text));
    let row = element("tr", body);
    line(["with", "changed", "near a boundary"], "head");
    decoder.modes.slice(1).forEach((mode) => {
      const { changed, near, pixels } = decoder.changes(mode);
      row = element("tr", body);
      row.dataset.mode = mode;
      line([MODE_NAMES[mode], `${thin(changed)} (${asPercent(changed, pixels)})`, changed ? `${asPercent(near, changed)} of them` : "–"]);
    });
    const { band, pixels } = decoder.changes("fixed");
    element("p", parent, { className: "note" }, `Near: within ${decoder.bandWidth} pixels of a boundary between labels, where ${asPercent(band, pixels)} of the image lies.`);
  }
}

// What the colours of the stage mean.
export class Legend {
  constructor(parent) {
    this.box = element("p", parent, { className: "legend" });
  }

  show({ decoder, number, channel, names, palette, hatches, ends }) {
    const stage = decoder.at(number);
    this.box.replaceChildren();
    const entry = (kind, text) => {
      const item = element("span", this.box);
      const mark = element(kind === "label" ? "canvas" : "i", item, { className: kind });
      item.append(text);
      return mark;
    };
    if (stage.kind === "labels") {
      const seen = new Set(decoder.modes.flatMap((mode) => [...decoder.map(number, mode, 1).values]));
      [...seen].sort((a, b) => a - b).forEach((label) => drawSample(entry("label", names[label]), palette[label], hatches[label]));
      entry("changed", "label changes");
      entry("band", "near a boundary");
      return;
    }
    const stops = Array.from({ length: 10 }, (_, n) => `rgb(${cividis(n / 9)})`);
    entry("ramp", `${ends[0]} … ${ends[1]}, ${mapName(decoder, number, channel, names)}`).style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    if (stage.kind === "unpool" && !decoder.isNorm(stage, channel)) entry("void", "empty");
    const warm = Array.from({ length: 10 }, (_, n) => `rgb(${heatColour(n / 9)})`);
    if (number) entry("heat", "difference, none … largest").style.background = `linear-gradient(90deg, ${warm.join(", ")})`;
    if (stage.kind === "unpool" && !decoder.isNorm(stage, channel)) {
      entry("landed", "where the value lies");
      entry("elsewhere", "where it would lie otherwise");
    }
  }
}
