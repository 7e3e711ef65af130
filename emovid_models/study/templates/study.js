"use strict";
// One question at a time. A vote stays on the page until the server has it on the disk; only then does the
// next question come. The videos of a question start together, once all of them can be played through.
(() => {
  const $ = (id) => document.getElementById(id);
  const settings = JSON.parse($("settings").textContent);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  let language = settings.language;
  let words = settings.words[language];

  let state = null; // what the server said last
  let shownPlace = null; // the step whose videos are on the page
  let elements = []; // its videos
  let watched = new Set(); // the numbers of those that were seen to their end
  let openAt = null; // when the question could be answered first
  let overAt = null; // when its time is over
  let unsaved = null; // the vote on its way to the server
  let busy = false;
  let timer = null;
  let round = 0; // grows with every start, so that an earlier one knows that it is over
  let broken = false;
  let refocused = null; // the choice that had the focus

  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));

  // ---- words

  function speak(name) {
    language = name;
    words = settings.words[name];
    document.documentElement.lang = name;
    document.title = words.title;
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
    $("consent-text").replaceChildren(...settings.consent[name].map((text) => Object.assign(document.createElement("p"), { textContent: text })));
    for (const [id, word] of [["back", "back"], ["again", "again"], ["retry", "retry"], ["reload", "retry"], ["pass", "pass"], ["broken-text", "broken"]]) $(id).textContent = words[word];
  }

  function questionText() {
    const letter = state.expected === null ? "" : letters[state.expected];
    if (state.kind === "check") return filled(words.check, { letter });
    return filled(words.questions[state.question], { emotion: words.emotions[state.emotion] || state.emotion });
  }

  // ---- the videos

  const pool = new Map(); // by address: videos that are on the page or will be next

  function videoOf(address) {
    let element = pool.get(address);
    if (!element) {
      element = document.createElement("video");
      element.muted = true;
      element.playsInline = true;
      element.setAttribute("playsinline", "");
      element.disablePictureInPicture = true;
      element.preload = "auto";
      element.src = address;
      $("pool").append(element);
      pool.set(address, element);
    }
    return element;
  }

  function showVideos() {
    shownPlace = state.place;
    watched = new Set();
    broken = false;
    $("broken").hidden = true;
    const wanted = new Set([...state.media, ...state.ahead]);
    for (const [address, element] of pool) {
      if (wanted.has(address)) continue;
      element.removeAttribute("src");
      element.load();
      element.remove();
      pool.delete(address);
    }
    elements = state.media.map(videoOf);
    const figures = elements.map((element, index) => {
      const name = filled(words.video, { letter: letters[index] });
      const figure = document.createElement("figure");
      const caption = Object.assign(document.createElement("figcaption"), { textContent: letters[index] });
      const frame = Object.assign(document.createElement("div"), { className: "frame" });
      element.setAttribute("aria-label", name);
      element.onended = () => { watched.add(index); allEnded(); };
      element.onerror = () => cannotPlay();
      frame.append(element);
      figure.append(caption, frame);
      return figure;
    });
    $("videos").replaceChildren(...figures);
    const count = elements.length;
    for (const id of ["videos", "choices"]) {
      $(id).style.setProperty("--columns", String(count <= 3 ? count : Math.ceil(count / 2)));
      $(id).style.setProperty("--narrow", String(count <= 2 ? 1 : 2));
    }
    $("choices").style.setProperty("--columns", String(Math.min(count, 4)));
    $("choices").replaceChildren(...elements.map((_, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "choice" });
      const label = Object.assign(document.createElement("span"), { textContent: filled(words.choose, { letter: letters[index] }) });
      button.append(label, Object.assign(document.createElement("kbd"), { textContent: String(index + 1) }));
      button.addEventListener("click", () => choose(index));
      return button;
    }));
    start();
  }

  async function start() {
    const mine = ++round;
    for (const element of elements) element.pause();
    mark();
    await Promise.all(elements.map(canPlay));
    if (mine !== round) return;
    await Promise.all(elements.map(rewound));
    if (mine !== round) return;
    $("videos").dataset.started = String(Math.round(performance.now()));
    for (const element of elements) element.play().catch((error) => { if (mine === round && error.name !== "AbortError") mark(); });
    state.ahead.forEach(videoOf);
    mark();
  }

  const canPlay = (element) => new Promise((resolve) => {
    if (element.readyState >= 4) { resolve(); return; }
    element.addEventListener("canplaythrough", resolve, { once: true });
    setTimeout(resolve, 8000); // some phones load nothing before they play
    if (element.networkState === 0 || element.networkState === 3) element.load();
  });

  const rewound = (element) => new Promise((resolve) => {
    if (element.currentTime === 0) { resolve(); return; }
    element.addEventListener("seeked", resolve, { once: true });
    element.currentTime = 0;
  });

  function allEnded() {
    if (state.number === null) return; // a video that ended as the last answer was saved
    if (watched.size === elements.length && openAt === null) open();
    if (elements.every((element) => element.ended)) start(); // again, together, until there is an answer
    mark();
  }

  function cannotPlay() {
    if (!elements.some((element) => element.error)) return;
    broken = true;
    $("broken").hidden = false;
    mark();
  }

  function reload() {
    broken = false;
    $("broken").hidden = true;
    for (const element of elements) if (element.error) { element.src = element.getAttribute("src"); element.load(); }
    start();
  }

  // ---- the question

  function open() {
    openAt = performance.now();
    mark();
  }

  const ready = () => state && state.number !== null && openAt !== null && !busy && !unsaved && !broken && performance.now() - openAt > 150;

  function mark() {
    if (!state || state.number === null) return;
    const isOpen = openAt !== null && !busy && !unsaved && !broken;
    const chosen = unsaved && unsaved.number === state.number ? unsaved.choice : state.choice;
    [...$("choices").children].forEach((button, index) => {
      button.disabled = !isOpen;
      button.setAttribute("aria-pressed", String(chosen === index));
    });
    if (isOpen && refocused !== null) { // who goes by Tab stays where they were
      const button = $("choices").children[refocused];
      refocused = null;
      if (button && document.activeElement === document.body) button.focus();
    }
    const loading = elements.some((element) => element.readyState < 3);
    $("hint").textContent = broken || openAt !== null ? "" : loading ? words.loading : words.watch;
    $("back").disabled = busy || Boolean(unsaved) || state.number === 0;
  }

  function choose(index) {
    if (!ready() || index >= state.media.length) return;
    refocused = [...$("choices").children].includes(document.activeElement) ? index : null;
    send(index);
  }

  function send(choice) {
    const ms = openAt === null ? 0 : Math.round(performance.now() - openAt);
    unsaved = { number: state.number, choice, ms, version: state.version };
    mark();
    deliver();
  }

  async function deliver() {
    if (!unsaved || busy) return;
    busy = true;
    clearTimeout(timer);
    let reply = null;
    try {
      reply = await ask("/api/vote", unsaved);
    } catch (error) {
      busy = false;
      if (error.status === 409) { // answered in another window, or too late: show what is asked now
        unsaved = null;
        go("/api/now");
        return;
      }
      $("notice-text").textContent = filled(words.unsaved, { why: error.status ? error.message : words.unreachable });
      $("notice").hidden = false;
      timer = setTimeout(deliver, 2000);
      return;
    }
    unsaved = null;
    busy = false;
    show(reply);
  }

  async function ask(address, body) {
    const options = body ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) } : {};
    const reply = await fetch(address, { ...options, cache: "no-store", redirect: "error" });
    if (reply.ok) return reply.json();
    let message = String(reply.status);
    try { message = (await reply.json()).error || message; } catch { /* not this server's */ }
    throw Object.assign(new Error(message), { status: reply.status });
  }

  async function go(address) {
    if (busy || unsaved) return;
    busy = true;
    try {
      const reply = await ask(address);
      busy = false;
      show(reply);
    } catch (error) {
      busy = false;
      $("notice-text").textContent = error.status ? error.message : words.unreachable;
      $("notice").hidden = false;
      $("trial").hidden = false;
      timer = setTimeout(() => go(address), 2000);
    }
  }

  function show(reply) {
    clearTimeout(timer);
    $("notice").hidden = true;
    if (!reply.consented) { $("trial").hidden = true; $("cover").hidden = false; return; }
    state = reply;
    $("cover").hidden = true;
    if (reply.number === null) { finish(reply); return; }
    $("top").hidden = false;
    $("trial").hidden = false;
    $("count").textContent = filled(words.progress, { done: reply.answered, total: reply.total });
    $("bar").style.width = 100 * reply.answered / reply.total + "%";
    for (const [name, value] of [["valuenow", reply.answered], ["valuemax", reply.total], ["label", $("count").textContent]]) $("track").setAttribute("aria-" + name, value);
    $("practice").hidden = reply.kind !== "practice";
    $("practice").textContent = words.practice;
    $("question").textContent = questionText();
    $("choices").setAttribute("aria-label", $("question").textContent);
    overAt = reply.left === null ? null : performance.now() + 1000 * reply.left;
    openAt = null;
    if (reply.place !== shownPlace) showVideos();
    else if (watched.size === elements.length) open();
    mark();
  }

  function finish(reply) {
    round += 1;
    for (const element of elements) element.pause();
    $("top").hidden = true;
    $("trial").hidden = true;
    $("end").hidden = false;
    $("end-title").textContent = words.done;
    $("end-text").textContent = words.saved;
    $("code").textContent = reply.code;
    $("code-line").hidden = false;
    if (reply.return) { $("return").href = reply.return; $("return").hidden = false; }
    $("end-title").focus();
  }

  setInterval(() => {
    if (!state || state.number === null || overAt === null) { $("left").textContent = ""; return; }
    const left = Math.max(0, Math.ceil((overAt - performance.now()) / 1000));
    $("left").textContent = filled(words.seconds, { seconds: left });
    if (left === 0 && !busy && !unsaved && state.choice === null) send(null);
  }, 250);

  // ---- keys and touch

  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || $("trial").hidden || !state) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const act = digit ? () => choose(Number(digit[1]) - 1) : { Space: start, Backspace: back }[event.code];
    if (!act) return;
    if (event.code === "Space" && document.activeElement instanceof HTMLButtonElement && document.activeElement.matches(":focus-visible")) return;
    event.preventDefault();
    if (!event.repeat) act(); // a key that is held answers once
  });

  function back() { if (state && state.number > 0) go("/api/question/" + (state.number - 1)); }

  $("back").addEventListener("click", back);
  $("again").addEventListener("click", () => start());
  $("retry").addEventListener("click", () => deliver());
  $("reload").addEventListener("click", reload);
  $("pass").addEventListener("click", () => { if (!busy && !unsaved) send(null); });
  $("consent").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    $("begin").disabled = true;
    try {
      const reply = await ask("/api/consent", { language });
      busy = false;
      show(reply);
    } catch (error) {
      busy = false;
      $("consent-notice").textContent = error.status ? error.message : words.unreachable;
      $("consent-notice").hidden = false;
    }
    $("begin").disabled = false;
  });
  $("decline").addEventListener("click", () => {
    $("cover").hidden = true;
    $("end").hidden = false;
    $("end-title").textContent = words.title;
    $("end-text").textContent = words.declined;
  });
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  for (const [name, texts] of Object.entries(settings.words)) {
    $("language").append(Object.assign(document.createElement("option"), { value: name, textContent: texts.language, lang: name }));
  }
  $("language").value = language;
  $("language-label").hidden = Object.keys(settings.words).length < 2;
  $("language").addEventListener("change", () => speak($("language").value));
  speak(language);
  go("/api/now");
})();
