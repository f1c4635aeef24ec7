// The papers' leaderboards: systems as bars to point at, and the classes of the one that is pointed at against another's.
import { BaseLab, clamp, element, setMark, setText } from "./lab.js";
import { fit } from "./rf_image_view.js";
import { classWords, digits, ordered, otherOf, rowWords, scoreOf, signed } from "./board_lab_words.js";

const [ROW, EDGE] = [30, 2];
const [INK, PLAIN, MORE, CLASS] = ["#222222", "#a9cfe6", "#f6d58e", "#a6dcc9"];
const TRAITS = ["board", "order", "measure", "against"];
const GUIDE = "Point at a system, or move there with Tab and the up and down keys; left and right go from class to class. A click or Enter holds the system, " +
  "so that you can go over to its classes; Escape lets go. A bar's dark mark is the system that it is compared with; yellow bars had more training data than the set itself.";

class BoardLab extends BaseLab {
  constructor(model, el) {
    super();
    Object.assign(this, { model, data: model.get("data"), row: null, place: null, held: false });
    this.build(el);
    this.take();
    this.follow(1000, 700);
    this.onSent = () => this.take();
    TRAITS.forEach((name) => model.on(`change:${name}`, this.onSent));
  }

  build(el) {
    this.root = element("div", el, { className: "edu-seg board" });
    this.root.dataset.lmSuppressShortcuts = "true";
    this.root.onkeydown = (event) => { this.key(event); event.stopPropagation(); };
    const menus = element("div", this.root, { className: "row" });
    this.menus = Object.fromEntries([["board", "Board"], ["order", "Order by"], ["measure", "Score"], ["against", "Compare with"]].map(([name, words]) => {
      const menu = element("select", element("label", menus, {}, `${words} `));
      menu.onchange = () => this.choose({ [name]: menu.value });
      return [name, menu];
    }));
    this.list("board", this.data.boards.map(({ id, title, source }) => [id, `${title} · ${source}`]));
    this.list("order", [["score", "score"], ["year", "year"]]);
    this.says = element("p", this.root, { className: "says" });
    this.says.setAttribute("aria-live", "polite");
    const stage = element("div", this.root, { className: "stage" });
    const names = ["Systems: up and down move, left and right choose a class, Enter holds, Escape lets go", "Classes of the system: the same keys"];
    [this.systems, this.classes] = names.map((ariaLabel, number) => this.panel(stage, ariaLabel, number ? "place" : "row"));
    element("p", this.root, { className: "hint" }, GUIDE);
  }

  panel(parent, ariaLabel, what) {
    const section = element("section", parent);
    const title = element("h3", section);
    const canvas = element("canvas", section, { tabIndex: 0, ariaLabel });
    canvas.setAttribute("role", "application");
    const at = (event) => clamp(Math.floor((event.clientY - canvas.getBoundingClientRect().top) / ROW), 0, this.count(what) - 1);
    const point = (event) => (what === "row" ? this.look(this.rows[at(event)], null) : this.look(this.row, at(event)));
    canvas.onpointermove = (event) => { if (this.moved(event) && !(this.held && what === "row")) point(event); };
    canvas.onpointerdown = (event) => (what === "row" ? this.hold(this.rows[at(event)]) : point(event));
    return { section, title, canvas };
  }

  list(name, choices) {
    this.menus[name].replaceChildren();
    choices.forEach(([value, words]) => element("option", this.menus[name], { value }, words));
  }

  count(what) {
    return what === "row" ? this.rows.length : this.board.classes.length;
  }

  // The state is Python's four traits; what another board does not have goes back to its mean, and to the one before.
  choose(changes) {
    const wanted = { ...Object.fromEntries(TRAITS.map((name) => [name, this.model.get(name)])), ...changes };
    const board = this.data.boards.find(({ id }) => id === wanted.board);
    if (!board.classes.includes(wanted.measure)) wanted.measure = "";
    if (!board.rows.some(({ title }) => title === wanted.against)) wanted.against = "";
    TRAITS.forEach((name) => this.model.set(name, wanted[name]));
    this.model.save_changes();
    this.take();
  }

  // The system that is pointed at stays so in another order; on another board the last is taken.
  take() {
    const chosen = Object.fromEntries(TRAITS.map((name) => [name, this.model.get(name)]));
    const board = this.data.boards.find(({ id }) => id === chosen.board);
    const isThere = chosen.measure === "" || board?.classes.includes(chosen.measure);
    if (!board || !isThere) return;
    if (board !== this.board) this.fill(board);
    const at = chosen.measure ? board.classes.indexOf(chosen.measure) : null;
    const rows = ordered(board.rows, chosen.order, at);
    const isNew = board !== this.board;
    Object.assign(this, { board, rows, chosen: { ...chosen, at }, held: this.held && !isNew });
    if (isNew) Object.assign(this, { row: rows.at(-1), place: null });
    Object.entries(this.menus).forEach(([name, menu]) => { menu.value = chosen[name]; });
    this.draw();
  }

  fill(board) {
    this.list("measure", [["", "mean IU"], ...board.classes.map((name) => [name, name])]);
    this.list("against", [["", "the one before"], ...board.rows.map(({ title }) => [title, title])]);
    this.menus.measure.disabled = board.classes.length === 0;
  }

  look(row, place) {
    Object.assign(this, { row, place });
    this.schedule();
  }

  hold(row) {
    this.held = !(this.held && row === this.row);
    this.look(row, this.place);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") { this.held = false; this.look(this.row, null); } else if (event.target.tagName !== "CANVAS") return;
    else if (event.key === "Enter") this.hold(this.row);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") this.step(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.go(event.key === "ArrowRight" ? 1 : -1);
    else if (event.key === "Home" || event.key === "End") this.step(event.key === "End" ? Infinity : -Infinity);
    else return;
    event.preventDefault();
  }

  step(by) {
    this.look(this.rows[clamp(this.rows.indexOf(this.row) + by, 0, this.rows.length - 1)], this.place);
  }

  // From class to class; to the left of the first there is none.
  go(by) {
    const place = clamp((this.place ?? -1) + by, -1, this.board.classes.length - 1);
    this.look(this.row, place < 0 ? null : place);
  }

  arrange() {
    const isWide = this.root.dataset.layout !== "narrow";
    this.each = isWide ? (this.width - 24) / 2 : this.width;
    this.draw();
  }

  draw() {
    if (!this.width) return;
    const { board, rows, row, chosen } = this;
    const other = otherOf(rows, row, chosen.against);
    const before = (one) => otherOf(rows, one, chosen.against);
    setText(this.systems.title, `${chosen.measure || "mean"} IU (%), with the difference to ${chosen.against || "the one before"}`);
    this.bars(this.systems, rows.map((one) => ({
      name: `${one.year} · ${one.title}`, value: scoreOf(one, chosen.at), other: before(one) && scoreOf(before(one), chosen.at),
      colour: one.more ? MORE : PLAIN, isMarked: one === row,
    })));
    const versus = other && other !== row ? ` against ${other.title}` : "";
    setText(this.classes.title, board.classes.length ? `Classes of ${row.title}${versus}` : "This board was printed without scores by class.");
    this.classes.canvas.hidden = board.classes.length === 0;
    this.bars(this.classes, board.classes.map((name, place) => ({
      name, value: row.iou[place], other: versus ? other.iou[place] : undefined, colour: CLASS, isMarked: place === this.place,
    })));
    this.tell();
  }

  // A bar a line, its name on it; a dark mark where the other's ends; the value and the difference at the right.
  bars({ canvas }, lines) {
    const context = fit(canvas, this.each, Math.max(1, lines.length * ROW));
    context.clearRect(0, 0, this.each, lines.length * ROW);
    const room = this.each - 104;
    context.textBaseline = "middle";
    lines.forEach(({ name, value, other, colour, isMarked }, at) => {
      const [top, middle] = [at * ROW + EDGE, at * ROW + ROW / 2 + 1];
      Object.assign(context, { fillStyle: colour, textAlign: "left" });
      context.fillRect(EDGE, top, (room * value) / 100, ROW - 2 * EDGE);
      if (other !== undefined) {
        context.fillStyle = INK;
        context.fillRect(EDGE + (room * other) / 100 - 1.5, top, 3, ROW - 2 * EDGE);
      }
      context.font = `${isMarked ? "bold " : ""}14px system-ui, sans-serif`;
      this.plate(context, name, EDGE + 6, middle, room - 8);
      context.textAlign = "right";
      context.fillText(digits(value), room + 42, middle);
      if (other !== undefined) context.fillText(signed(value - other), this.each - EDGE - 4, middle);
      if (!isMarked) return;
      Object.assign(context, { strokeStyle: INK, lineWidth: this.held && canvas === this.systems.canvas ? 4 : 2 });
      context.strokeRect(EDGE, top, this.each - 2 * EDGE, ROW - 2 * EDGE);
    });
    setMark(canvas, "data-lines", `${lines.length}`);
  }

  // A name stays readable where a mark crosses it.
  plate(context, name, x, y, room) {
    Object.assign(context, { strokeStyle: "rgba(255, 255, 255, 0.75)", lineWidth: 4, lineJoin: "round", fillStyle: INK });
    context.strokeText(name, x, y, room);
    context.fillText(name, x, y, room);
  }

  tell() {
    const { board, rows, row, place, chosen, held } = this;
    this.say(place === null ? rowWords(rows, row, chosen) : classWords(rows, row, board.classes, place, chosen.against));
    const { at, ...state } = chosen;
    this.publish({ ...state, row: row.title, place: place === null ? "" : board.classes[place], held });
  }

  end() {
    this.watcher.disconnect();
    TRAITS.forEach((name) => this.model.off?.(`change:${name}`, this.onSent));
  }
}

export default {
  render: ({ model, el }) => { const lab = new BoardLab(model, el); return () => lab.end(); },
};
