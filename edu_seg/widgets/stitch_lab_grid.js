// The numbers of StitchLab: f² passes, each a coarse map, and the grid they fill; sent once, looked up here.
import { hullsBack, reach } from "./rf_geometry.js";

export class StitchedGrid {
  constructor({ stride, map, cells, size, passes, dense, tolerance, graph, node }) {
    Object.assign(this, { stride, map, cells, size, passes, dense, tolerance, graph, node, total: stride ** 2, looked: new Map() });
    this.after = this.tally();
    this.range = dense.concat(...passes.map((values, pass) => values.filter((_, n) => this.cellOf(pass, this.at(n, map[1]))))).reduce(
      ([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
  }

  at(place, width) {
    return [Math.floor(place / width), place % width];
  }

  shiftOf(pass) {
    return this.at(pass, this.stride);
  }

  // Which pass fills a cell, and as which of its units.
  passOf([y, x]) {
    return (y % this.stride) * this.stride + (x % this.stride);
  }

  unitOf(cell) {
    return cell.map((v) => Math.floor(v / this.stride));
  }

  // The cell of a pass's unit; null for one beyond the grid, which is dropped.
  cellOf(pass, unit) {
    const cell = this.shiftOf(pass).map((shift, axis) => unit[axis] * this.stride + shift);
    return cell.every((v, axis) => v < this.cells[axis]) ? cell : null;
  }

  valueOf(pass, [i, j]) {
    return this.passes[pass][i * this.map[1] + j];
  }

  stitchedAt(cell) {
    return this.valueOf(this.passOf(cell), this.unitOf(cell));
  }

  denseAt([y, x]) {
    return this.dense[y * this.cells[1] + x];
  }

  differenceAt(cell) {
    return Math.abs(this.stitchedAt(cell) - this.denseAt(cell));
  }

  differs(cell) {
    return this.differenceAt(cell) > this.tolerance;
  }

  // For 0, 1, … f² passes done: cells filled, the largest error among them, and how many differ.
  tally() {
    const found = Array.from({ length: this.total + 1 }, () => ({ filled: 0, error: 0, differing: 0 }));
    this.dense.forEach((_, place) => {
      const cell = this.at(place, this.cells[1]);
      for (let done = this.passOf(cell) + 1; done <= this.total; done++) {
        found[done].filled += 1;
        found[done].error = Math.max(found[done].error, this.differenceAt(cell));
        found[done].differing += this.differs(cell) ? 1 : 0;
      }
    });
    return found;
  }

  // The field of a pass's unit on the image, [top, bottom, left, right], and the pixels of the image that it really reads.
  // The shifted copy ends in zeros, which are no pixels.
  lookAt(pass, unit) {
    const key = `${pass};${unit}`;
    if (!this.looked.has(key)) {
      const [dy, dx] = this.shiftOf(pass);
      const [top, bottom, left, right] = hullsBack(this.graph, this.node, unit)[0];
      const moved = (set, shift, size) => set.map((v) => v + shift).filter((v) => v < size);
      const pixels = reach(this.graph, this.node, unit)[0]
        .map(({ rows, columns }) => ({ rows: moved(rows, dy, this.size[0]), columns: moved(columns, dx, this.size[1]) }))
        .filter(({ rows, columns }) => rows.length && columns.length);
      this.looked.set(key, { hull: [top + dy, bottom + dy, left + dx, right + dx], pixels });
    }
    return this.looked.get(key);
  }

  // How far fields and shifted copies reach out of the image: [top, bottom, left, right], in pixels.
  margins() {
    const first = this.lookAt(0, [0, 0]).hull;
    const last = this.lookAt(this.passOf(this.cells.map((v) => v - 1)), this.unitOf(this.cells.map((v) => v - 1))).hull;
    const around = [-first[0], last[1] - this.size[0] + 1, -first[2], last[3] - this.size[1] + 1];
    const most = Math.max(...this.size) / 2;
    return around.map((v, side) => Math.min(most, Math.max(0.8, v + 0.7, side % 2 ? this.stride - 0.3 : 0)));
  }
}
