"use strict";
// One question at a time. An answer stays on the page until the server has it on the disk; only then does the
// next clip come.
(() => {
  const $ = (id) => document.getElementById(id);
  const settings = JSON.parse($("settings").textContent);
  const buttons = [...document.querySelectorAll("[data-emotion]")];
  const names = settings.emotions;
  const videos = [$("video-a"), $("video-b")];

  let state = null; // what the server said last
  let draft = { emotion: null, second: null, intensity: null };
  let unsaved = null; // what is on its way to the server: its address, its body, and what it was
  let busy = false;
  let begun = false;
  let shownAt = null; // when the clip was first seen
  let timer = null;
  let active = 0;

  const keep = {
    get: (name) => { try { return localStorage.getItem("emovid-" + name); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem("emovid-" + name, value); } catch { /* private window */ } },
  };
  let muted = keep.get("muted") === "yes";
  $("confirm").checked = keep.get("confirm") === "yes";

  // ---- the clip

  const video = () => videos[active];

  function load(element, address) {
    if (element.dataset.address === address && !element.classList.contains("failed")) return;
    element.classList.remove("failed");
    element.dataset.address = address;
    delete element.dataset.drawn;
    element.src = address;
  }

  // its state of readiness falls back while it seeks, and the loop of a very short clip seeks all the time
  const drawn = (element) => element.dataset.drawn === "yes" && !element.classList.contains("failed");

  function play() {
    const element = video();
    element.muted = muted;
    element.play().catch((error) => {
      if (error.name !== "NotAllowedError" || element.muted) return;
      element.muted = true; // the browser wants a gesture first
      $("sound").hidden = false;
      element.play().catch(() => {});
    });
  }

  function showClip() {
    const spare = 1 - active;
    if (videos[spare].dataset.address === state.media) active = spare;
    const element = video();
    videos[1 - active].pause();
    videos[1 - active].hidden = true;
    element.hidden = false;
    $("broken").hidden = true;
    $("sound").hidden = !muted;
    shownAt = null;
    $("loading").hidden = true;
    load(element, state.media);
    if (drawn(element)) {
      element.currentTime = 0;
      seen();
    } else {
      setTimeout(() => { if (shownAt === null && $("broken").hidden) $("loading").hidden = false; }, 400);
    }
    if (begun) play();
  }

  function seen() {
    if (shownAt === null) shownAt = performance.now();
    $("loading").hidden = true;
    if (state && state.ahead.length) load(videos[1 - active], state.ahead[0]);
  }

  async function cannotShow(element) {
    element.classList.add("failed");
    if (element !== video()) return;
    const address = element.dataset.address;
    let why = "The browser cannot play it.";
    try {
      const reply = await fetch(address, { headers: { range: "bytes=0-0" } });
      if (reply.status >= 400) why = (await reply.json()).error + ".";
    } catch { why = "The server cannot be reached."; }
    if (address !== video().dataset.address) return;
    $("loading").hidden = true;
    $("why").textContent = why.charAt(0).toUpperCase() + why.slice(1);
    $("broken").hidden = false;
  }

  for (const element of videos) {
    element.addEventListener("loadedmetadata", () => {
      if (element.videoWidth) element.style.setProperty("--ratio", String(element.videoWidth / element.videoHeight));
    });
    element.addEventListener("loadeddata", () => {
      element.dataset.drawn = "yes";
      if (element === video()) seen();
    });
    element.addEventListener("error", () => { if (element.hasAttribute("src")) cannotShow(element); });
    element.addEventListener("click", toggle);
    for (const name of ["play", "pause"]) {
      element.addEventListener(name, () => { $("paused").hidden = !(begun && video().paused && shownAt !== null); });
    }
  }
  (function tick() {
    const element = video();
    $("time").style.width = (element.duration ? 100 * element.currentTime / element.duration : 0) + "%";
    requestAnimationFrame(tick);
  })();

  function toggle() { if (video().paused) play(); else video().pause(); }
  function again() { video().currentTime = 0; play(); }
  function mute() {
    const on = video().muted;
    muted = !on;
    keep.set("muted", muted ? "yes" : "no");
    video().muted = muted;
    $("sound").hidden = !muted;
    if (video().paused) play();
  }

  // ---- the answer

  function mark() {
    for (const button of buttons) {
      const name = button.dataset.emotion;
      const first = draft.emotion === name, second = draft.second === name;
      button.classList.toggle("first", first);
      button.classList.toggle("second", second);
      button.setAttribute("aria-pressed", String(first || second));
      const as = button.querySelector(".as");
      if (as) as.textContent = second ? "as well" : "";
    }
    const given = draft.intensity !== null;
    $("intensity").classList.toggle("unset", !given);
    $("intensity").value = given ? Math.round(100 * draft.intensity) : 50;
    $("intensity-text").textContent = given ? Math.round(100 * draft.intensity) + " %" : "not given";
    $("save").hidden = !$("confirm").checked;
    $("save").disabled = draft.emotion === null;
  }

  function also(on) { $("also").setAttribute("aria-pressed", String(on)); }
  const isAlso = () => $("also").getAttribute("aria-pressed") === "true";

  function choose(name, asSecond) {
    if (!ready()) return;
    const emotion = names.includes(name);
    if (asSecond && emotion) {
      draft.second = draft.second === name ? null : name;
      if (draft.second !== null && draft.second === draft.emotion) draft.emotion = null;
      also(false);
      mark();
      return;
    }
    draft.emotion = name;
    if (!emotion || draft.second === name) draft.second = null;
    if (!emotion) draft.intensity = null;
    also(false);
    mark();
    if (!$("confirm").checked) save();
  }

  function intensify(step) {
    if (!ready()) return;
    const now = draft.intensity === null ? 0.5 : draft.intensity + step;
    draft.intensity = Math.min(1, Math.max(0, Math.round(20 * now) / 20));
    mark();
  }

  // nobody can have judged a clip that is not there yet; a key that was hit twice is not meant for the next one
  const judged = () => !$("broken").hidden || (shownAt !== null && performance.now() - shownAt > 200);
  const ready = () => begun && state && state.place !== null && !busy && !unsaved && judged();

  function save() {
    if (!ready() || draft.emotion === null) return;
    const ms = shownAt === null ? 0 : Math.round(performance.now() - shownAt);
    send("/api/answer", { place: state.place, ...draft, ms, version: state.version });
  }

  function undo() {
    if (!begun || busy || unsaved || !state || !state.undo) return;
    send("/api/undo", state.undo);
  }

  function send(address, body) {
    unsaved = { address, body };
    deliver();
  }

  async function deliver() {
    if (!unsaved || busy) return;
    busy = true;
    clearTimeout(timer);
    $("retry").hidden = true;
    const what = unsaved.address === "/api/undo" ? "Not undone" : "Not saved";
    try {
      const reply = await ask(unsaved.address, unsaved.body);
      unsaved = null;
      busy = false;
      quiet();
      show(reply);
    } catch (error) {
      busy = false;
      if (error.status === 409) {
        unsaved = null;
        tell("Not saved: this clip was answered in another window. This is what was answered there.", false);
        go("/api/question/" + state.place, true);
      } else {
        const why = error.status ? error.message : "the server cannot be reached";
        tell(what + ": " + why + ". Your answer stays on this page and is sent again.", true);
      }
      if (unsaved) timer = setTimeout(deliver, 2000);
    }
  }

  async function ask(address, body) {
    const headers = { "x-rater": encodeURIComponent(settings.rater) };
    const options = body ? { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) } : { headers };
    const reply = await fetch(address, { ...options, cache: "no-store", redirect: "error" });
    if (reply.ok) return reply.json();
    let message = "the server replied " + reply.status;
    const text = await reply.text();
    try { message = JSON.parse(text).error || message; } catch { if (text && reply.status < 500) message = text.trim(); }
    throw Object.assign(new Error(message), { status: reply.status });
  }

  function tell(text, canRetry) {
    $("notice-text").textContent = text;
    $("retry").hidden = !canRetry;
    $("notice").hidden = false;
  }
  function quiet() { $("notice").hidden = true; }

  // ---- from clip to clip

  async function go(address, keepsNotice) {
    if (busy || unsaved) return;
    busy = true;
    try {
      const reply = await ask(address);
      busy = false;
      if (!keepsNotice) quiet();
      show(reply);
    } catch (error) {
      busy = false;
      const why = error.status ? error.message : "the server cannot be reached";
      tell("That did not work: " + why + ".", false);
    }
  }

  function show(reply) {
    state = reply;
    $("answered").textContent = reply.answered;
    $("total").textContent = reply.total;
    $("bar").style.width = 100 * reply.answered / Math.max(1, reply.total) + "%";
    document.querySelector(".track").setAttribute("aria-valuenow", reply.answered);
    $("pace").textContent = pace(reply);
    $("undo").disabled = !reply.undo;
    if (reply.place === null) {
      for (const element of videos) element.pause();
      const left = reply.total - reply.answered;
      $("done-text").textContent = left
        ? reply.answered + " clips are answered; " + left + (left === 1 ? " clip" : " clips") + " cannot be shown."
        : "All " + reply.total + " answers are saved. You can close this page.";
      $("back").hidden = reply.total === 0;
      $("done").hidden = !begun;
      return;
    }
    $("done").hidden = true;
    $("previous").disabled = reply.place === 0;
    $("next").disabled = reply.place >= reply.total - 1 && reply.answered >= reply.total;
    const given = reply.answer;
    draft = given ? { emotion: given.emotion, second: given.second, intensity: given.intensity }
      : { emotion: null, second: null, intensity: null };
    also(false);
    mark();
    showClip();
  }

  function pace(reply) {
    if (!reply.pace) return "";
    const seconds = (reply.pace / 1000).toFixed(1) + " s";
    if (reply.answered >= reply.total) return seconds + " per clip";
    const left = (reply.total - reply.answered) * reply.pace / 60000;
    const rest = left < 1 ? "under 1 min" : left < 90 ? Math.round(left) + " min" : (left / 60).toFixed(1) + " h";
    return matchMedia("(max-width: 640px)").matches ? seconds + " · " + rest + " left" : seconds + " per clip · " + (left < 1 ? "" : "about ") + rest + " left";
  }

  function back() {
    if (!state) return;
    const place = state.place === null ? state.total - 1 : state.place - 1;
    if (place >= 0) go("/api/question/" + place);
  }

  function forth() {
    if (!state || state.place === null) return;
    if (state.place + 1 < state.total) go("/api/question/" + (state.place + 1));
    else go("/api/open/0"); // from the last one to what was left open
  }

  // ---- keys and touch

  function begin() {
    begun = true;
    $("cover").hidden = true;
    if (!state) { go("/api/now"); return; }
    if (state.place === null) { $("done").hidden = false; return; }
    shownAt = drawn(video()) ? performance.now() : null;
    play();
  }

  const dialog = $("meanings");
  function meanings() { if (dialog.open) dialog.close(); else dialog.showModal(); }

  addEventListener("keydown", (event) => {
    if (event.altKey || (event.ctrlKey || event.metaKey) && event.code !== "KeyZ") return;
    const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
    const code = event.code;
    if (dialog.open) {
      if (code === "KeyH" || event.key === "?") { event.preventDefault(); meanings(); }
      return;
    }
    if (!begun) {
      if (code === "Enter" || code === "Space" || code === "NumpadEnter") { event.preventDefault(); begin(); }
      else if (code === "KeyH") meanings();
      return;
    }
    if (document.activeElement && document.activeElement !== document.body && code === "Tab") return;
    const acts = {
      Space: toggle, KeyR: again, KeyM: mute, KeyZ: undo, Backspace: undo, ArrowLeft: back, ArrowRight: forth,
      ArrowUp: () => intensify(0.1), ArrowDown: () => intensify(-0.1), KeyH: meanings, KeyU: () => choose(settings.unclear, false),
      Enter: save, NumpadEnter: save,
    };
    let act = acts[code] || (event.key === "?" ? meanings : null);
    if (digit) {
      const number = Number(digit[1]);
      const name = number === 0 ? settings.none : names[number - 1];
      act = name === undefined ? null : () => choose(name, event.shiftKey && number !== 0);
    } else if ((code === "Enter" || code === "Space") && document.activeElement instanceof HTMLButtonElement && document.activeElement.matches(":focus-visible")) {
      return; // somebody who goes by Tab presses the button
    }
    if (!act) return;
    event.preventDefault();
    if (event.repeat && code !== "ArrowUp" && code !== "ArrowDown") return; // a key that is held answers once
    act();
  });

  for (const button of buttons) {
    button.addEventListener("click", (event) => choose(button.dataset.emotion, event.shiftKey || isAlso()));
  }
  const press = { start: begin, previous: back, next: forth, skip: forth, undo, save, help: meanings, close: meanings, sound: mute, back, retry: deliver };
  for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", () => act());
  $("also").addEventListener("click", () => also(!isAlso()));
  $("intensity").addEventListener("input", () => { draft.intensity = Number($("intensity").value) / 100; mark(); });
  $("intensity").addEventListener("pointerdown", () => { if (draft.intensity === null) { draft.intensity = 0.5; mark(); } });
  $("intensity").addEventListener("change", () => $("intensity").blur());
  $("confirm").addEventListener("change", () => {
    keep.set("confirm", $("confirm").checked ? "yes" : "no");
    $("confirm").blur();
    mark();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  go("/api/now");
})();
