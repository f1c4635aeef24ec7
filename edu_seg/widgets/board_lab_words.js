// The order, numbers and sentences of BoardLab. `at` is a class's place, or null for the mean.
export const scoreOf = (row, at) => (at === null ? row.mean : row.iou[at]);

// The lowest or earliest first; those of one year by their score.
export function ordered(rows, order, at) {
  const year = (row) => (order === "year" ? row.year : 0);
  return [...rows].sort((a, b) => year(a) - year(b) || scoreOf(a, at) - scoreOf(b, at));
}

// The line of that title, or else the one before `row` in this order; undefined for the first.
export const otherOf = (rows, row, against) => (against ? rows.find(({ title }) => title === against) : rows[rows.indexOf(row) - 1]);

export const digits = (value) => value.toFixed(1);
export const signed = (gap) => `${gap < -0.05 ? "−" : gap < 0.05 ? "±" : "+"}${digits(Math.abs(gap))}`;

function gapWords(gap, other, isBefore) {
  const name = `${other.title}${isBefore ? ", the one before" : ""}`;
  if (Math.abs(gap) < 0.05) return `no more than ${name}`;
  return `${digits(Math.abs(gap))} points ${gap > 0 ? "more" : "less"} than ${name}`;
}

export function rowWords(rows, row, { order, measure, at, against }) {
  const other = otherOf(rows, row, against);
  const place = `${rows.indexOf(row) + 1} of ${rows.length} by ${order}`;
  const data = row.more === "COCO" ? " Trained on COCO as well." : row.more ? " Trained on coarse labels as well." : "";
  const gap = !other || other === row ? "" : `, ${gapWords(scoreOf(row, at) - scoreOf(other, at), other, !against)}`;
  return `${row.title}, ${row.year}, ${place}: ${digits(scoreOf(row, at))}\u00a0% ${measure || "mean"} IU${gap}. It brought ${row.brought}.${data}`;
}

export function classWords(rows, row, classes, place, against) {
  const other = otherOf(rows, row, against);
  const gap = !other || other === row ? "" : `, ${gapWords(row.iou[place] - other.iou[place], other, !against)}`;
  const rank = rows.filter(({ iou }) => iou[place] > row.iou[place]).length + 1;
  const own = row.iou.filter((value) => value > row.iou[place]).length + 1;
  return `${row.title} on ${classes[place]}: ${digits(row.iou[place])}\u00a0% IU${gap}. Rank ${rank} of ${rows.length} systems on this class; ` +
    `rank ${own} of the system's own ${classes.length} classes.`;
}
