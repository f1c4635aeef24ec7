Reveal.initialize({
  width: 1280, height: 720, margin: 0.01, minScale: 0.1, maxScale: 4, display: "flex", center: false, hash: true,
  slideNumber: "c/t", transition: "none", backgroundTransition: "none", pdfSeparateFragments: false,
  defaultTiming: 150, plugins: [RevealNotes],
});

// A widget's page tells how high it is; the deck shows it as large as the slide holds.
const SMALLEST = 0.5, LARGEST = 1.2;
addEventListener("message", (event) => {
  const height = event.data && event.data.widgetHeight;
  const frame = [...document.querySelectorAll("iframe")].find((one) => one.contentWindow === event.source);
  if (!height || !frame || !frame.parentElement.clientHeight) return;
  const zoom = Number(frame.style.getPropertyValue("--zoom")) || LARGEST;
  frame.style.setProperty("--zoom", Math.min(zoom, Math.max(SMALLEST, frame.parentElement.clientHeight / height)));
});
