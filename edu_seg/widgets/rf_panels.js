// The parts of RFExplorer made of text: the table of layers, and the editor of a small stack.
import { element } from "./lab.js";
import { both } from "./rf_words.js";
import { KINDS, MOST_LAYERS, NEW_LAYER, SETTINGS, STACKS, choices, mapSizes, possible, pytorchCode, replaced, without } from "./rf_stack.js";

let numbers = 0;

const tight = (text) => text.replace(" × ", "×");
// Long names break after their dots and underscores.
const breakable = (name) => name.replace(/[._]/g, "$&\u200b");

// Rows are chosen by mouse or keyboard; parts of a long network are folded, and a folded part stands for its last layer.
export class LayerTable {
  constructor(parent, choose) {
    this.choose = choose;
    this.prefix = `rf-${(numbers += 1)}`;
    this.box = element("div", parent, { className: "layers", tabIndex: 0 });
    this.box.setAttribute("role", "tree");
    this.box.setAttribute("aria-label", "Layers: up and down choose, right and left unfold and fold a part");
    this.box.dataset.lmSuppressShortcuts = "true";
    this.box.onkeydown = (event) => this.key(event);
    this.open = new Set();
  }

  show(rows, row) {
    this.rows = rows;
    this.build(row);
  }

  // A part with its layers, or a layer alone.
  entries() {
    const found = [];
    this.rows.forEach((row, n) => {
      const last = found.at(-1);
      if (row.group && last?.group === row.group) last.rows.push(n);
      else found.push({ group: row.group, rows: [n] });
    });
    return found.flatMap(({ group, rows }) => {
      if (!group) return [{ row: rows[0], level: 1 }];
      const open = this.open.has(group);
      return [{ row: rows.at(-1), group, open, many: rows.length, level: 1 }, ...(open ? rows.map((row) => ({ row, level: 2 })) : [])];
    });
  }

  build(row) {
    this.box.replaceChildren();
    const table = element("table", this.box);
    table.setAttribute("role", "presentation");
    const head = element("tr", element("thead", table));
    ["layer", "size", "stride", "padding", "reads"].forEach((name) => element("th", head, { scope: "col" }, name));
    this.heading = head.lastChild;
    const body = element("tbody", table);
    this.lines = this.entries().map((entry, n) => {
      const line = element("tr", body, { id: `${this.prefix}-${n}` });
      line.setAttribute("role", "treeitem");
      line.setAttribute("aria-level", entry.level);
      if (entry.group) line.setAttribute("aria-expanded", entry.open);
      const row = this.rows[entry.row];
      const name = element("td", line, { className: entry.level === 2 ? "name inner" : "name" });
      name.title = [row.name, row.kind, `${row.map.join(" × ")} units`, row.also.length ? `the same map: ${row.also.join(", ")}` : ""].filter(Boolean).join("; ");
      if (entry.group) element("span", name, { className: "fold", ariaHidden: "true" }, entry.open ? "▾\u00a0" : "▸\u00a0").onclick = (event) => { event.stopPropagation(); this.fold(entry, !entry.open); };
      name.append(breakable(entry.group || (entry.level === 2 ? row.name.slice(row.group.length + 1) : row.name)));
      [row.size, row.stride, row.padding].forEach((pair) => element("td", line, {}, tight(both(pair))));
      if (!row.uniform) line.children[1].append("*");
      line.onclick = () => this.choose(entry.row);
      line.ondblclick = () => { if (entry.group) this.fold(entry, !entry.open); };
      return { ...entry, line, read: element("td", line, { className: "read" }) };
    });
    if (this.rows.some((row) => !row.uniform)) element("p", this.box, { className: "note" }, "* units differ: the largest size");
    this.select(row);
  }

  fold(entry, open) {
    if (open) this.open.add(entry.group);
    else this.open.delete(entry.group);
    this.build(entry.row);
  }

  at() {
    const n = this.lines.findIndex(({ row, level }) => row === this.row && level === 2);
    return n >= 0 && this.onInner ? n : this.lines.findIndex(({ row }) => row === this.row);
  }

  select(row) {
    this.row = row;
    if (!this.lines.some((entry) => entry.row === row)) {
      const group = this.rows[row].group;
      this.open.add(group);
      this.build(row);
      return;
    }
    const chosen = this.at();
    this.lines.forEach(({ line }, n) => line.setAttribute("aria-selected", String(n === chosen)));
    const { line } = this.lines[chosen];
    this.box.setAttribute("aria-activedescendant", line.id);
    const [top, bottom] = [line.offsetTop - 34, line.offsetTop + line.offsetHeight - this.box.clientHeight];
    if (this.box.scrollTop > top) this.box.scrollTop = top;
    else if (this.box.scrollTop < bottom) this.box.scrollTop = bottom;
  }

  // texts: for each row how many units along each axis are in the cone.
  read(heading, texts) {
    if (this.heading.textContent !== heading) this.heading.textContent = heading;
    this.lines.forEach(({ row, read }) => { if (read.textContent !== tight(texts[row])) read.textContent = tight(texts[row]); });
  }

  key(event) {
    const here = this.at();
    const entry = this.lines[here];
    const to = { ArrowUp: here - 1, ArrowDown: here + 1, Home: 0, End: this.lines.length - 1 }[event.key];
    if (to !== undefined) {
      const next = this.lines[Math.max(0, Math.min(this.lines.length - 1, to))];
      this.onInner = next.level === 2;
      this.choose(next.row);
    } else if (entry.group && (event.key === "ArrowRight" || event.key === "ArrowLeft")) this.fold(entry, event.key === "ArrowRight");
    else if (entry.group && (event.key === "Enter" || event.key === " ")) this.fold(entry, !entry.open);
    else return;
    event.preventDefault();
  }
}

// Only what is possible can be chosen: every other value is there, but greyed out.
export class StackEditor {
  constructor(parent, size, change) {
    Object.assign(this, { size, change });
    const box = element("div", parent, { className: "stack" });
    const left = element("div", box);
    this.starts = element("div", left, { className: "row", role: "group", ariaLabel: "Start from" });
    element("span", this.starts, {}, "Start from");
    this.table = element("table", left, { className: "editor" });
    this.add = element("button", left, { type: "button", className: "add" }, "+ add a layer");
    const right = element("div", box, { className: "code" });
    element("h3", right, {}, "The same in PyTorch");
    this.code = element("pre", right, { tabIndex: 0 });
    this.code.setAttribute("aria-label", "PyTorch code of the stack");
    this.code.dataset.lmSuppressShortcuts = "true";
    Object.entries(STACKS).filter(([, layers]) => possible(layers, size)).forEach(([name, layers]) => {
      element("button", this.starts, { type: "button" }, name).onclick = () => this.change(layers.map((layer) => [...layer]));
    });
  }

  show(layers) {
    const focused = document.activeElement?.dataset?.place;
    this.table.replaceChildren();
    const head = element("tr", this.table);
    ["layer", "kind", ...SETTINGS, "map", ""].forEach((name) => element("th", head, { scope: "col" }, name));
    const sizes = mapSizes(layers, this.size);
    layers.forEach((layer, n) => this.line(layers, layer, n, sizes[n + 1]));
    const more = [...layers, NEW_LAYER];
    this.add.disabled = layers.length >= MOST_LAYERS || !possible(more, this.size);
    this.add.onclick = () => this.change(more);
    this.code.textContent = pytorchCode(layers);
    if (focused) this.table.querySelector(`[data-place="${focused}"]`)?.focus();
  }

  line(layers, layer, n, units) {
    const line = element("tr", this.table);
    element("th", line, { scope: "row" }, `${n}`);
    [4, 0, 1, 2, 3].forEach((setting) => {
      const name = setting === 4 ? "kind" : SETTINGS[setting];
      const select = element("select", element("td", line));
      select.setAttribute("aria-label", `${name} of layer ${n}`);
      select.dataset.place = `${n},${setting}`;
      for (const { value, possible: allowed } of choices(layers, this.size, n, setting)) {
        const option = element("option", select, { value, disabled: !allowed, selected: value === layer[setting] }, setting === 4 ? KINDS[value] : `${value}`);
        if (!allowed) option.title = "not possible with the rest as it stands";
      }
      select.onchange = () => {
        const value = setting === 4 ? select.value : Number(select.value);
        this.change(replaced(layers, n, setting, value));
      };
    });
    element("td", line, {}, units.join(" × "));
    const remove = element("button", element("td", line), { type: "button", disabled: !possible(without(layers, n), this.size) }, "✕");
    remove.setAttribute("aria-label", `Remove layer ${n}`);
    remove.dataset.place = `${n},remove`;
    remove.onclick = () => this.change(without(layers, n));
  }
}
