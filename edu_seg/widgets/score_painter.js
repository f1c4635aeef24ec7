// Paint a prediction over fixed labels, pixel by pixel: the confusion matrix and the four scores follow.
function element(tag, parent, properties = {}, text = "") {
  const node = Object.assign(document.createElement(tag), properties);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

// The convention of edu_seg.metrics: void is dropped, a class that is nowhere has no IU, one that is only predicted has IU 0.
export function scores(labels, preds, numClasses) {
  const counts = Array.from({ length: numClasses }, () => new Array(numClasses).fill(0));
  labels.forEach((t, i) => { if (t < numClasses) counts[t][preds[i]] += 1; });
  const t = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const p = counts.map((_, j) => counts.reduce((sum, row) => sum + row[j], 0));
  const total = t.reduce((a, b) => a + b, 0);
  const hits = counts.map((row, i) => row[i]);
  const iou = hits.map((n, i) => n / (t[i] + p[i] - n));
  const mean = (values) => { const known = values.filter((v) => !Number.isNaN(v)); return known.reduce((a, b) => a + b, 0) / known.length; };
  return {
    counts, iou,
    pixel_accuracy: hits.reduce((a, b) => a + b, 0) / total,
    mean_accuracy: mean(hits.map((n, i) => n / t[i])),
    mean_iou: mean(iou),
    frequency_weighted_iou: iou.reduce((sum, v, i) => sum + (t[i] ? t[i] * v : 0), 0) / total,
  };
}

export default {
  render({ model, el }) {
    const { labels, start, classes, palette, height, width, presets } = model.get("data");
    const scale = Math.max(14, Math.min(26, Math.floor(360 / width)));
    const state = { preds: [...start], brush: 1, y: 0, x: 0, keyboard: false };
    const root = element("div", el, { className: "edu-seg" });
    root.dataset.lmSuppressShortcuts = "true";
    root.addEventListener("keydown", (event) => event.stopPropagation());

    const brushes = element("div", root, { className: "row", role: "group", ariaLabel: "Class to paint with" });
    element("span", brushes, {}, "Paint with");
    const brushButtons = classes.map((name, k) => {
      const button = element("button", brushes, { type: "button" });
      element("span", button, { className: "swatch" }).style.background = `rgb(${palette[k]})`;
      button.append(`${name} (${k})`);
      button.onclick = () => { state.brush = k; draw(); };
      return button;
    });
    const starts = element("div", root, { className: "row", role: "group", ariaLabel: "Start from" });
    element("span", starts, {}, "Start from");
    Object.entries(presets).forEach(([name, preds]) => {
      element("button", starts, { type: "button" }, name).onclick = () => { state.preds = [...preds]; draw(); };
    });

    const row = element("div", root, { className: "row" });
    const canvases = ["labels", "prediction: paint here"].map((name) => {
      const figure = element("figure", row);
      element("figcaption", figure, {}, name);
      const canvas = element("canvas", figure, { width: width * scale, height: height * scale });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", name);
      return canvas;
    });
    const target = canvases[1];
    target.tabIndex = 0;
    target.dataset.lmSuppressShortcuts = "true";
    target.setAttribute("role", "application");
    target.setAttribute("aria-label", "Prediction: arrow keys move, space paints, digits choose the class");
    const side = element("div", row);
    const matrix = element("table", side, { className: "matrix" });
    const says = element("p", root, { className: "says" });
    says.setAttribute("aria-live", "polite");

    target.onpointerdown = target.onpointermove = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const box = target.getBoundingClientRect();
      state.y = Math.max(0, Math.min(height - 1, Math.floor(((event.clientY - box.top) / box.height) * height)));
      state.x = Math.max(0, Math.min(width - 1, Math.floor(((event.clientX - box.left) / box.width) * width)));
      put();
    };
    target.onkeydown = (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (step) {
        state.y = Math.max(0, Math.min(height - 1, state.y + step[0]));
        state.x = Math.max(0, Math.min(width - 1, state.x + step[1]));
        state.keyboard = true;
      } else if (event.key === " " || event.key === "Enter") put();
      else if (Number(event.key) < classes.length && event.key !== " ") state.brush = Number(event.key);
      else return;
      event.preventDefault();
      draw();
    };
    function put() {
      state.preds[state.y * width + state.x] = state.brush;
      draw();
    }

    function paint(canvas, map) {
      const context = canvas.getContext("2d");
      map.forEach((k, index) => {
        const [y, x] = [Math.floor(index / width) * scale, (index % width) * scale];
        context.fillStyle = k < classes.length ? `rgb(${palette[k]})` : "#fff";
        context.fillRect(x, y, scale, scale);
        context.strokeStyle = "rgba(0,0,0,0.25)";
        context.strokeRect(x + 0.5, y + 0.5, scale, scale);
        context.fillStyle = k < classes.length && palette[k][0] + palette[k][1] + palette[k][2] < 330 ? "#fff" : "#000";
        context.font = `${Math.floor(scale * 0.55)}px sans-serif`;
        context.textAlign = "center";
        context.textBaseline = "middle";
        context.fillText(k < classes.length ? String(k) : "v", x + scale / 2, y + scale / 2);
      });
      if (canvas === target && state.keyboard) {
        context.strokeStyle = "#d55e00";
        context.lineWidth = 3;
        context.strokeRect(state.x * scale + 1.5, state.y * scale + 1.5, scale - 3, scale - 3);
        context.lineWidth = 1;
      }
    }

    function draw() {
      brushButtons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === state.brush)));
      paint(canvases[0], labels);
      paint(target, state.preds);
      const found = scores(labels, state.preds, classes.length);
      const shown = (value) => (Number.isNaN(value) ? "–" : value.toFixed(3));
      matrix.replaceChildren();
      const head = element("tr", matrix);
      ["labelled \\ predicted", ...classes, "IU"].forEach((name) => element("th", head, { scope: "col" }, name));
      found.counts.forEach((counts, i) => {
        const line = element("tr", matrix);
        element("th", line, { scope: "row" }, classes[i]);
        counts.forEach((count, j) => element("td", line, { className: i === j ? "hit" : "" }, String(count)));
        element("td", line, {}, shown(found.iou[i]));
      });
      says.textContent = `Pixel accuracy ${shown(found.pixel_accuracy)}, mean accuracy ${shown(found.mean_accuracy)}, ` +
        `mean IU ${shown(found.mean_iou)}, frequency weighted IU ${shown(found.frequency_weighted_iou)}.`;
    }
    draw();
  },
};
