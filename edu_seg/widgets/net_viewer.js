// One scene, several nets: a slider goes from net to net, and pointing at a pixel tells what each of them says there.
// All data arrives once; nothing asks the kernel.
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// The hatch of class k as in edu_seg.figures.patterned: true where the pattern darkens pixel (y, x) of the enlarged picture.
const on = (v) => ((v % 12) + 12) % 12 < 2;
const dot = (y, x) => y % 12 < 3 && x % 12 < 3;
const HATCH = [() => false, (y, x) => on(x + y), (y, x) => on(x - y), (y) => on(y), (y, x) => on(x), dot,
  (y, x) => on(y) || on(x), (y, x) => on(x + y) || on(x - y), dot, dot, (y, x) => on(x + y) || dot(y, x), (y, x) => on(y) || dot(y, x)];

function element(tag, parent, properties = {}, text = "") {
  const node = Object.assign(document.createElement(tag), properties);
  if (text) node.textContent = text;
  parent.append(node);
  return node;
}

export default {
  render({ model, el }) {
    const { scenes, nets, classes, palette, height, width } = model.get("data");
    const scale = Math.max(2, Math.floor(300 / width));
    const state = { scene: 0, net: 0, y: Math.floor(height / 2), x: Math.floor(width / 2) };
    const root = element("div", el, { className: "edu-seg" });
    root.dataset.lmSuppressShortcuts = "true";
    root.addEventListener("keydown", (event) => event.stopPropagation());

    const chooser = element("div", root, { className: "row", role: "group", ariaLabel: "Scene" });
    const buttons = scenes.map((_, i) => {
      const button = element("button", chooser, { type: "button" }, `Scene ${i + 1}`);
      button.onclick = () => { state.scene = i; draw(); };
      return button;
    });
    const label = element("label", root, { className: "net" }, "Net");
    const slider = element("input", label, { type: "range", min: 0, max: nets.length - 1, step: 1, value: 0 });
    const stops = element("div", root, { className: "stops", ariaHidden: "true" });
    nets.forEach((name) => element("span", stops, {}, name));
    slider.oninput = () => { state.net = Number(slider.value); draw(); };

    const row = element("div", root, { className: "row" });
    const views = ["image", "labels", "prediction", "wrong pixels"].map((name) => {
      const figure = element("figure", row);
      const caption = element("figcaption", figure, {}, name);
      const canvas = element("canvas", figure, { width: width * scale, height: height * scale, tabIndex: 0 });
      canvas.setAttribute("role", "img");
      canvas.dataset.lmSuppressShortcuts = "true";
      canvas.style.width = `${Math.min(width * scale, 225)}px`;
      canvas.onpointermove = canvas.onpointerdown = (event) => {
        const box = canvas.getBoundingClientRect();
        point(Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width));
      };
      canvas.onkeydown = (event) => {
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (!step) return;
        event.preventDefault();
        point(state.y + step[0], state.x + step[1]);
      };
      return { name, caption, canvas };
    });
    const says = element("p", root, { className: "says" });
    says.setAttribute("aria-live", "polite");
    const legend = element("div", root, { className: "row" });
    classes.forEach((name, k) => {
      const item = element("span", legend);
      const swatch = element("canvas", item, { width: 36, height: 24, className: "swatch" });
      paint(swatch.getContext("2d"), classColour([k]), 36, 24, () => 0);
      element("span", item, {}, name);
    });

    const decoded = scenes.map((scene) => ({ labels: bytes(scene.labels), preds: scene.preds.map(bytes), image: new Image(), source: scene.image }));
    decoded.forEach((scene) => { scene.image.onload = draw; scene.image.src = scene.source; });

    function point(y, x) {
      state.y = Math.max(0, Math.min(height - 1, y));
      state.x = Math.max(0, Math.min(width - 1, x));
      draw();
    }

    function paint(context, colourOf, columns, rows, indexOf) {
      const picture = context.createImageData(columns, rows);
      for (let y = 0, at = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++, at += 4) {
          const [r, g, b] = colourOf(indexOf(y, x), y, x);
          picture.data.set([r, g, b, 255], at);
        }
      }
      context.putImageData(picture, 0, 0);
    }

    function pixel(y, x) {
      return Math.floor(y / scale) * width + Math.floor(x / scale);
    }

    function classColour(map) {
      return (index, y, x) => {
        const k = map[index];
        if (k >= classes.length) return [255, 255, 255];
        const shade = HATCH[k % HATCH.length](y, x) ? 0.72 : 1;
        return palette[k].map((v) => v * shade);
      };
    }

    function draw() {
      const { labels, preds, image } = decoded[state.scene];
      const pred = preds[state.net];
      const name = nets[state.net];
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === state.scene)));
      slider.setAttribute("aria-valuetext", name);
      const wrong = (index) => (labels[index] >= classes.length ? [255, 255, 255] : labels[index] === pred[index] ? [222, 222, 222] : [178, 34, 34]);
      const painters = [null, classColour(labels), classColour(pred), wrong];
      views.forEach(({ canvas, caption, name: view }, i) => {
        const context = canvas.getContext("2d");
        context.imageSmoothingEnabled = false;
        if (painters[i]) paint(context, painters[i], width * scale, height * scale, pixel);
        else if (image.complete && image.naturalWidth) context.drawImage(image, 0, 0, width * scale, height * scale);
        for (const [colour, line] of [["#fff", 3], ["#000", 1]]) {
          context.strokeStyle = colour;
          context.lineWidth = line;
          context.strokeRect(state.x * scale - 1.5, state.y * scale - 1.5, scale + 3, scale + 3);
        }
        const score = scenes[state.scene].scores[state.net];
        caption.textContent = view === "prediction" ? `${name}, mean IU ${score}` : view;
        canvas.setAttribute("aria-label", `${caption.textContent}, scene ${state.scene + 1}; arrow keys move the pixel that is read out`);
      });
      const called = (k) => (k >= classes.length ? "void" : classes[k]);
      const at = state.y * width + state.x;
      says.textContent = `Row ${state.y}, column ${state.x}: labelled ${called(labels[at])}; ` +
        nets.map((net, i) => `${net} says ${called(preds[i][at])}`).join(", ") + ".";
    }
    draw();
  },
};
