// The videos of a request play together from their start; a row's videos load when it comes near the window.
const rows = [...document.querySelectorAll(".request")];
const load = new IntersectionObserver(entries => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    target.querySelectorAll("video").forEach(video => { video.preload = "auto"; });
    load.unobserve(target);
  }
}, { rootMargin: "600px" });
rows.forEach(row => load.observe(row));

const ready = video => video.readyState >= 3 || video.error ? Promise.resolve() : new Promise(done => {
  video.addEventListener("canplay", done, { once: true });
  video.addEventListener("error", done, { once: true });
  video.preload = "auto";
  video.load();
});
const stop = row => {
  row.querySelectorAll("video").forEach(video => video.pause());
  const button = row.querySelector("button");
  if (button) { button.textContent = "Play together"; button.setAttribute("aria-pressed", "false"); }
};
for (const row of rows) {
  const button = row.querySelector("button");
  if (!button) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-pressed") === "true") return stop(row);
    rows.forEach(stop);
    button.textContent = "Stop";
    button.setAttribute("aria-pressed", "true");
    const videos = [...row.querySelectorAll("video")];
    await Promise.all(videos.map(ready));
    videos.forEach(video => { video.currentTime = 0; });
    videos.forEach(video => video.play().catch(() => {}));
  });
}

const filters = document.querySelector(".filters");
if (filters) {
  filters.hidden = false;
  const [emotion, prompt, which] = filters.querySelectorAll("select");
  const found = filters.querySelector("output");
  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      const data = row.dataset;
      row.hidden = (emotion.value && emotion.value !== data.emotion) ||
        (prompt.value && prompt.value !== data.prompt) ||
        (which.value === "failed" && data.failed === "0") || (which.value === "wrong" && data.wrong === "0");
      if (row.hidden) stop(row);
      shown += !row.hidden;
    }
    found.textContent = `${shown} of ${rows.length} requests`;
  };
  filters.addEventListener("input", apply);
  apply();
}
