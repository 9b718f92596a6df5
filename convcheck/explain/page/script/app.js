// The page: what happens when something is pointed at, chosen or changed, and what is drawn then.

const maps = {
  X: new MapView("X"), W: new MapView("W"), O: new MapView("O"), dO: new MapView("dO"), spread: new MapView("spread"),
  dX: new MapView("dX"), dW: new MapView("dW"), db: new MapView("db"),
};
let currentMarks = null, hashTimer = null;

const mapViews = () => [...Object.values(maps), ...Object.values(views).flatMap((view) => (view.map ? [view.map] : Object.values(view.maps || {})))];

// What is looked at now: the step that is played, else what is pinned, else what is pointed at.
function looked() {
  const view = views[state.view];
  if (state.time && view.refAt) return view.refAt(current.model, state.time - 1);
  return state.pin || state.hover;
}

function pin(ref) {
  if (!isThere(ref)) return tell("The page has not got that entry; what it has is written below.");
  state.pin = { map: ref.map, index: [...ref.index] };
  state.hover = null;
  if (state.time !== null) state.time = null;
  stop();
  const { n, c, f } = state.slice, planes = { ...state.planes };
  followSlice(state.pin);
  // Within the same slice, planes that were chosen stay.
  if (n === state.slice.n && c === state.slice.c && f === state.slice.f) state.planes = keepPlanes(planes);
  return render();
}

function keepPlanes(planes) {
  const shown = { ...planes };
  for (const map of Object.keys(maps)) if (map !== state.pin.map) delete shown[map];
  return shown;
}

function letGo() {
  if (state.quiz) endQuiz();
  stop();
  state.pin = null;
  state.hover = null;
  state.time = null;
  render();
}

function hover(ref, view = null, flat = null) {
  if (state.quiz) return;
  if (state.pin || state.time !== null) {
    // What is pinned stays: what is pointed at is only found in it.
    const mark = view && view.shown.marks.get(flat);
    lightUp(mark?.term || null);
    const why = view && !mark ? whyNot(current.model, state.slice, state.pin, view.of, flat) : "";
    if (why) tell(`No part: ${why}.`);
    else if (document.getElementById("told").textContent.startsWith("No part:")) tell("");
    return;
  }
  if (sameRef(ref, state.hover) || (!ref && !state.hover)) return;
  state.hover = ref && isThere(ref) ? ref : null;
  drawSelection();
}

// Light a term's cells, and its place in the equation.
function lightUp(term) {
  for (const lit of document.querySelectorAll(".lit-up")) lit.classList.remove("lit-up");
  if (!term) return;
  const { n, c, f } = state.slice, { model } = current;
  const here = (term.n === undefined || term.n === n) && (term.f === undefined || term.f === f) && (term.c === undefined || term.c === c);
  const light = (view, flat) => view.cells?.flat().find((cell) => cell.flat === flat)?.classList.add("lit-up");
  if (here) {
    const { map } = shownRef;
    light(maps.dO, term.o);
    if (term.tap !== undefined && map !== "dW") light(maps.W, term.tap);
    if (term.p !== undefined) light(map === "dO" ? maps.dX : maps.X, map === "dX" ? -1 : term.p);
    if (term.o !== undefined) {
      const site = model.spreadSite(siteOf(term.o, model.output)), shape = model.shape("spread");
      if (inside(site, shape)) light(maps.spread, flatOf(site, shape));
    }
  }
  const key = term.factors?.map((factor) => `${factor.array}[${factor.index}]`).join("·");
  if (key) document.querySelector(`[data-term="${key}"]`)?.classList.add("lit-up");
}

// Bring a term's slice into sight.
function showTerm(term) {
  if (term.n !== undefined) state.slice.n = term.n;
  if (term.f !== undefined) state.slice.f = term.f;
  if (term.c !== undefined) state.slice.c = term.c;
  if (shownRef.map === "dX") [state.slice.n, state.slice.c] = shownRef.index;
  state.planes = {};
  render();
  lightUp(term);
}

function edit(ref, value) {
  const { model } = current, name = { X: "x", W: "weight", dO: "grad_output" }[ref.map], array = model.arrays[name];
  const [first, second, ...site] = ref.index, { kept } = model;
  const lead = { x: [first - kept.samples[0], second - kept.channels[0]], weight: [first - model.firstSlice[0], second - model.firstSlice[1]], grad_output: [first - kept.samples[0], second - kept.filters[0]] }[name];
  const flat = flatOf([...lead, ...site], array.shape);
  state.edits[`${name}:${flat}`] = value;
  buildModel();
  if (array.values[flat] === value) tell("");
  render();
}

function tell(words, loud = false) {
  const box = document.getElementById("told");
  if (box.textContent !== words) box.textContent = words;
  box.classList.toggle("loud", loud && Boolean(words));
}

function drawMaps() {
  const { model } = current, { n, c, f } = state.slice, { spec } = model, view = views[state.view];
  const partial = state.time !== null && view.after ? view.after(model, state.time) : {};
  const at = (number) => number + state.base, taps = { letters: letterOf };
  const strided = !spec.transposed && spec.stride.some((each) => each > 1), padded = spec.transposed ? "with what the padding removed, as zeros" : "with a border";
  const shown = {
    X: { title: "X", role: "input", note: `sample ${at(n)}, channel ${at(c)}`, editable: true },
    W: { title: "W", role: "input", note: `filter ${at(f)}, channel ${at(c)}`, editable: true, ...taps },
    O: { title: "O", role: "result", note: model.channelsOf(f).length < model.depth ? `filter ${at(f)}, channel ${at(c)}'s part` : `filter ${at(f)}` },
    dO: { title: "dL/dO", role: "input", note: `sample ${at(n)}, filter ${at(f)}`, editable: true },
    spread: { title: strided ? "dL/dO dilated and padded" : "dL/dO padded", role: "input", note: strided ? "spread by the stride, with a border" : padded },
    dX: { title: "dL/dX", role: "result", note: `sample ${at(n)}, channel ${at(c)}`, hidden: Boolean(state.quiz) },
    dW: { title: "dL/dW", role: "result", note: `filter ${at(f)}, channel ${at(c)}` },
    db: { title: "dL/db", role: "result", note: "a number per filter" },
  };
  for (const [map, one] of Object.entries(shown)) {
    if (map === "db" && !spec.bias) {
      maps.db.section.hidden = true;
      continue;
    }
    maps[map].section.hidden = false;
    const part = partial[map] || {};
    const note = part.note ? `${one.note} · ${part.note}` : one.note;
    maps[map].show({ shape: model.shape(map), values: model.values(map, state.slice), kinds: model.kinds(map), marks: currentMarks[map], ...one, ...part, note });
  }
}

// Everything that follows from the selection: equation, marks, view.
function drawSelection() {
  const ref = looked();
  showEquation(ref);
  currentMarks = linksOf(current.model, state.slice, ref, shownTerms || { terms: [] });
  if (state.quiz) quizMarks(currentMarks);
  drawMaps();
  const view = views[state.view], box = document.getElementById("view-body");
  if (box.dataset.view !== state.view) {
    views[box.dataset.view]?.leave?.();
    box.replaceChildren();
    box.dataset.view = state.view;
  }
  document.getElementById("about").textContent = typeof view.about === "function" ? view.about() : view.about;
  if (view.panel) view.panel(box);
  drawBars(document.getElementById("bars"));
  const words = spoken(), said = document.getElementById("spoken");
  if (said.textContent !== words) said.textContent = words;
}

function render() {
  document.getElementById("layer").textContent = layerLine();
  document.getElementById("smallest").textContent = shownCase().smallest || "";
  document.getElementById("smallest").hidden = !shownCase().smallest;
  drawCases();
  drawTabs();
  drawBanner();
  drawSelection();
  drawTime();
  drawSlices();
  drawSizes();
  drawLegend();
  drawWriting();
  document.getElementById("numbers").textContent = `Numbers: ${shownCase().numbers}.`;
  document.getElementById("left-out").replaceChildren(...shownCase().left_out.map((words) => element("li", {}, words)));
  document.getElementById("view").setAttribute("aria-labelledby", `tab-${state.view}`);
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => {
    if (location.hash !== hashOf()) history.replaceState(null, "", hashOf());
  }, 200);
}

function restart() {
  readyGoTo();
  render();
}

function readyGoTo() {
  const input = document.getElementById("go-to");
  input.placeholder = `[${[0, 0, ...current.model.spec.input.map(() => 0)]}]`;
}

function goToEntry(event) {
  event.preventDefault();
  const text = document.getElementById("go-to").value, ref = refOf(text);
  if (!ref) return tell(`"${text}" is no entry; expected one such as [0,0${",0".repeat(current.model.rank)}] of dL/dX, or weight[0,0${",0".repeat(current.model.rank)}].`);
  if (!isThere(ref)) return tell(`There is no ${SYMBOLS[ref.map]}[${ref.index}] on this page.`);
  tell("");
  return pin(ref);
}

function globalKeys(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
  if (key === "Escape") letGo();
  else if (key === " " && !target.closest("button, summary, a")) play();
  else if (key === "," || key === ".") { stop(); stepBy(key === "," ? -1 : 1); }
  else if (key === "?") document.getElementById("help").showModal();
  else if ((key === "n" || key === "N") && state.view === "errors") jumpWrong(key === "n" ? 1 : -1);
  else if (key === "w" && state.view === "errors") jumpWrong(0);
  else return;
  event.preventDefault();
}

function listen() {
  const on = (id, event, action) => document.getElementById(id).addEventListener(event, action);
  on("views", "keydown", tabKeys);
  on("time-slider", "input", (event) => { stop(); goTo(Number(event.target.value)); });
  on("back-step", "click", () => { stop(); stepBy(-1); });
  on("play", "click", play);
  on("next-step", "click", () => { stop(); stepBy(1); });
  on("speed", "change", (event) => { state.speed = Number(event.target.value); });
  on("notation", "change", (event) => { state.notation = event.target.value; render(); });
  on("base", "change", (event) => { state.base = event.target.checked ? 1 : 0; render(); });
  on("editing", "change", (event) => { state.editing = event.target.checked; });
  on("reset", "click", () => { state.edits = {}; buildModel(); render(); });
  on("quiz", "click", () => { if (state.quiz) { endQuiz(); render(); } else startQuiz(); });
  on("let-go", "click", letGo);
  on("go-to-form", "submit", goToEntry);
  on("copy-command", "click", () => copy(explainCommand(), "The command"));
  on("copy-latex", "click", () => copy(equationText().latex.join(" \\\\\n"), "LaTeX of this entry"));
  on("save-svg", "click", () => download(`${shownCase().name.replace(/[^\w.-]/g, "_")}.svg`, asSvg(), "image/svg+xml"));
  on("print", "click", () => print());
  on("help-button", "click", () => document.getElementById("help").showModal());
  document.addEventListener("keydown", globalKeys);
  addEventListener("hashchange", () => { if (location.hash !== hashOf()) { readHash(); restart(); } });
  dark.addEventListener("change", render);
  calm.addEventListener("change", () => { stop(); render(); });
}

document.getElementById("row-main").append(...["X", "W", "dO", "spread", "dX"].map((map) => maps[map].section));
maps.dX.foot.append(element("div", { id: "bars" }));
document.getElementById("row-result").append(maps.O.section, maps.dW.section, maps.db.section);
document.getElementById("still").hidden = true;
document.getElementById("app").hidden = false;
readHash();
listen();
restart();

// What the page knows of an entry, in a notation: for tests, and for those who look at the page from its console.
function known(map, index, notation = state.notation) {
  const { model } = current, ref = { map, index }, found = model.terms(ref);
  const written = DATA.notations.find((each) => each.name === notation);
  return { ...expanded(written, ref, found, model), value: found.value, excluded: found.excluded, terms: found.terms };
}

window.convcheck = { state, current, known, pin, render, command: explainCommand };
