// On a phone the sections are folded; a link to one unfolds it.
const folds = [...document.querySelectorAll("details")];
const narrow = matchMedia("(max-width: 600px)");
const fold = () => folds.forEach((part, place) => { part.open = !narrow.matches || place === 0; });
const reach = () => {
  const part = document.getElementById(location.hash.slice(1))?.querySelector("details");
  if (part) { part.open = true; part.scrollIntoView(); }
};
narrow.addEventListener("change", fold);
addEventListener("hashchange", reach);
fold();
reach();

const search = document.querySelector(".search");
if (search) {
  search.hidden = false;
  const input = search.querySelector("input"), found = search.querySelector("output");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const sheet of document.querySelectorAll(".sheet")) {
      let its = 0;
      for (const clip of sheet.querySelectorAll("li")) {
        const text = (sheet.dataset.emotion + " " + clip.textContent).toLowerCase();
        clip.hidden = !words.every(word => text.includes(word));
        its += !clip.hidden;
      }
      sheet.hidden = !its;
      shown += its;
    }
    found.textContent = words.length ? shown + (shown === 1 ? " clip" : " clips") : "";
  });
}
