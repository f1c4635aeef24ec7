// What all labs do alike: they make elements, write only what differs, follow the page's width, draw once a frame and tell their state.
export function element(tag, parent, properties = {}, text = "") {
  const node = Object.assign(document.createElement(tag), properties);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

// Only what differs is written: every change makes the page look at its styles again, and a screen reader speak.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setMark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// Whoever extends it sets `root`, which holds everything, and `says`, the sentence; it has `arrange()` for a new width and `draw()`.
export class BaseLab {
  // Three columns, two, or one: from how many pixels on the lab is wide, and medium.
  follow(wide, medium) {
    Object.assign(this, { wide, medium });
    this.resize();
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.root);
  }

  resize() {
    const width = this.root.clientWidth - 24;
    if (width <= 0 || width === this.width) return;
    this.width = width;
    this.root.dataset.layout = width >= this.wide ? "wide" : width >= this.medium ? "medium" : "narrow";
    this.arrange();
  }

  // Browsers report a move, and a leave, also where the page shifts under a mouse that rests: that must not undo what keys did.
  moved(event) {
    const rested = this.rests(event);
    this.mouse = `${event.screenX},${event.screenY}`;
    return !rested;
  }

  rests({ screenX, screenY }) {
    return this.mouse === `${screenX},${screenY}`;
  }

  // One drawing a frame, however many moves.
  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  say(words) {
    setText(this.says, words);
  }

  // The state as attributes, for those who read the page by program.
  publish(values) {
    const { dataset } = this.root;
    Object.entries(values).forEach(([name, value]) => {
      const text = `${value ?? ""}`;
      if (dataset[name] !== text) dataset[name] = text;
    });
  }
}
