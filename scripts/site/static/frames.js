// A widget's page says how tall it is; its frame takes that height. (From a folder the two may not read each other.)
addEventListener("message", (event) => {
  const height = event.data?.widgetHeight;
  if (!Number.isFinite(height)) return;
  for (const frame of document.querySelectorAll("iframe.widget")) {
    if (frame.contentWindow === event.source) frame.style.height = `${Math.ceil(height)}px`;
  }
});
