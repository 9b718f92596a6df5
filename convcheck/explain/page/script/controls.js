// What stands around the maps: tabs, time, slices, sizes, writing, and the buttons.

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let timer = null;

function stepsNow() {
  const view = views[state.view], { model } = current;
  if (!view.steps) return 0;
  const steps = view.steps(model);
  // Beyond some size a step takes longer than it is shown.
  return steps * model.sites.kernel > 4e6 ? 0 : steps;
}

function goTo(time) {
  const steps = stepsNow();
  state.time = time >= steps || time < 0 ? null : time;
  if (state.time === null) stop();
  render();
}

function stepBy(amount) {
  const steps = stepsNow();
  if (!steps) return;
  const now = state.time ?? (amount > 0 ? 0 : steps);
  goTo(Math.max(0, now + amount));
}

function play() {
  if (state.playing) return stop();
  if (!stepsNow() || calm.matches) return;
  state.playing = true;
  if (state.time === null) state.time = 0;
  tick();
}

function tick() {
  stepBy(1);
  // A pin is where the reader wants to look: there it waits.
  const ref = state.time && views[state.view].refAt(current.model, state.time - 1);
  if (ref && sameRef(ref, state.pin)) return stop();
  if (state.playing) timer = setTimeout(tick, 600 / state.speed);
}

function stop() {
  clearTimeout(timer);
  const was = state.playing;
  state.playing = false;
  if (was) drawTime();
}

function drawTime() {
  const steps = stepsNow(), bar = document.getElementById("time");
  bar.hidden = !steps;
  if (!steps) return;
  const slider = document.getElementById("time-slider"), now = state.time ?? steps;
  slider.max = steps;
  slider.value = now;
  slider.setAttribute("aria-valuetext", `step ${now} of ${steps}`);
  document.getElementById("time-words").textContent = state.time === null ? `all ${steps} steps` : `step ${now} of ${steps}`;
  const button = document.getElementById("play");
  button.hidden = calm.matches;
  button.textContent = state.playing ? "Pause" : "Play";
}

function drawTabs() {
  const box = document.getElementById("views");
  box.replaceChildren(...viewNames().filter((name) => views[name].possible()).map((name) => {
    const chosen = name === state.view;
    return element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-selected": String(chosen), "aria-controls": "view",
      tabindex: chosen ? 0 : -1, "data-view": name, onclick: () => openView(name) }, views[name].title);
  }));
}

function tabKeys(event) {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!move) return;
  const names = viewNames().filter((name) => views[name].possible());
  openView(names[(names.indexOf(state.view) + move + names.length) % names.length]);
  document.getElementById(`tab-${state.view}`).focus();
  event.preventDefault();
}

function openView(name) {
  stop();
  if (state.quiz && name !== "handback") endQuiz();
  state.view = name;
  state.time = null;
  render();
}

function drawCases() {
  const box = document.getElementById("cases");
  box.hidden = DATA.cases.length < 2;
  box.replaceChildren(...DATA.cases.map((one, number) => element("button", { type: "button", "aria-pressed": String(number === state.case),
    onclick: () => { stop(); openCase(number); restart(); } }, one.title)));
}

// Small pictures of every sample, channel and filter that the page has, to choose from.
function drawSlices() {
  const { model } = current, { n, c, f } = state.slice, box = document.getElementById("slices");
  const strip = (word, name, chosen, picture, choose, fault = () => "") => {
    const numbers = model.range(name);
    if (numbers.length < 2) return [];
    const total = model.spec[{ samples: "batch", channels: "channels", filters: "filters" }[name]];
    const buttons = around(numbers, chosen, 48).map((number) => {
      const why = fault(number), [numbers, shape] = picture(number);
      const button = element("button", { type: "button", class: why ? "thumb unreachable" : "thumb", "aria-pressed": String(number === chosen),
        title: why || null, "aria-label": `${word} ${number + state.base}${why ? `: ${why}` : ""}`,
        onclick: () => { choose(number); state.planes = {}; state.hover = null; repin(); render(); } });
      // Drawn once for a model and its other slices.
      const drawn = model.once(`${name} ${number} ${word === "filter" ? n : `${n} ${c}`} ${dark.matches}`, () => thumbnail(numbers, shape));
      button.append(drawn, element("span", {}, String(number + state.base)));
      return button;
    });
    const more = numbers.length > buttons.length ? ` (${buttons.length} of ${numbers.length} shown)` : numbers.length < total ? ` (${numbers.length} of ${total} on this page)` : "";
    return [element("div", { class: "strip", role: "group", "aria-label": `${word}s` }, element("b", {}, `${word}s${more}`), element("div", { class: "thumbs" }, ...buttons))];
  };
  const group = model.groupOf(f);
  box.replaceChildren(
    ...strip("sample", "samples", n, (i) => [model.x(i, c), model.spec.input], (i) => { state.slice.n = i; }),
    ...strip("channel", "channels", c, (i) => [model.x(n, i), model.spec.input], (i) => {
      state.slice.c = i;
      if (!model.reads(f, i)) state.slice.f = model.filtersOf(i)[0] ?? f;
    }, (i) => (model.reads(f, i) ? "" : `in group ${Math.floor(i / model.depth) + state.base}, which filter ${f + state.base} of group ${group + state.base} does not read`)),
    ...strip("filter", "filters", f, (i) => [model.gradOutput(n, i), model.output], (i) => {
      state.slice.f = i;
      if (!model.reads(i, c)) state.slice.c = model.channelsOf(i)[0] ?? c;
    }, (i) => (model.reads(i, c) ? "" : `in group ${model.groupOf(i) + state.base}, which does not read channel ${c + state.base}`)),
  );
}

// At most so many of some numbers, with the chosen one among them.
function around(numbers, chosen, most) {
  const at = Math.max(0, Math.min(numbers.length - most, numbers.indexOf(chosen) - Math.floor(most / 2)));
  return numbers.slice(at, at + most);
}

function thumbnail(values, shape, scale = largest(values), wrong = null) {
  const wide = shape.at(-1), high = values.length / wide, step = Math.max(1, Math.ceil(Math.max(wide, high) / 40));
  const columns = Math.ceil(wide / step), rows = Math.ceil(high / step), pixel = Math.max(1, Math.floor(40 / Math.max(columns, rows)));
  const canvas = element("canvas", { width: columns * pixel, height: rows * pixel, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      let most = 0;
      for (let r = row * step; r < Math.min(high, (row + 1) * step); r++)
        for (let c = column * step; c < Math.min(wide, (column + 1) * step); c++) {
          const value = values[r * wide + c];
          if (!(Math.abs(value) <= Math.abs(most))) most = value;
        }
      context.fillStyle = `rgb(${colorOf(most, scale, wrong)})`;
      context.fillRect(column * pixel, row * pixel, pixel, pixel);
    }
  return canvas;
}

const SIZE_WORDS = { input: "size", kernel: "kernel", stride: "stride", dilation: "dilation", before: "padding before", after: "padding after" };

// What a size of an axis may be while the others stay, and why no more or less.
function limitsOf(name, axis, own) {
  const now = name === "input" ? axis.size : axis[name], limits = { least: name === "before" || name === "after" ? 0 : 1, most: Math.max(SIZES[name], own), why: "" };
  for (const [end, step, words] of [["least", -1, "at least"], ["most", 1, "at most"]]) {
    for (let value = now + step; step * (limits[end] - value) >= 0; value += step) {
      const { fault } = axis.with(name, value);
      if (!fault) continue;
      Object.assign(limits, { [end]: value - step, why: `${words} ${value - step}: ${fault}` });
      break;
    }
  }
  return limits;
}

function drawSizes() {
  const { model } = current, own = sizesOf(shownCase().spec), names = Object.keys(SIZES), box = document.getElementById("axes");
  // What is being dragged or typed into must stay.
  if (box.childElementCount === model.rank) {
    [...box.children].forEach((part, i) => names.forEach((name) => fillSize(part.querySelector(`[data-size=${name}]`), name, model.axes[i], own[i][names.indexOf(name)])));
    [...box.querySelectorAll(".remainder")].forEach((part, i) => { part.textContent = remainderWords(model.axes[i]); });
    return;
  }
  box.replaceChildren(...model.axes.map((axis, i) => {
    const parts = names.map((name, k) => {
      const words = model.rank > 1 ? `${AXIS_WORDS[model.rank][i]} ${SIZE_WORDS[name]}` : SIZE_WORDS[name];
      const change = (event) => resize(i, k, Number(event.target.value));
      const row = element("div", { class: "size", "data-size": name }, element("span", {}, SIZE_WORDS[name]),
        element("input", { type: "range", "aria-label": words, oninput: change }),
        element("input", { type: "number", "aria-label": `${words}, as a number`, onchange: change }), element("small"));
      fillSize(row, name, axis, own[i][k]);
      return row;
    });
    return element("fieldset", {}, element("legend", {}, `${AXIS_WORDS[model.rank][i]}s`), ...parts,
      element("p", { class: "remainder" }, remainderWords(axis)));
  }));
}

function remainderWords(axis) {
  if (axis.transposed) {
    const removed = axis.before + axis.after, behind = axis.behind ? ` + ${axis.behind} of output padding` : "";
    return `${counted(axis.output, "output")}: (${axis.size} − 1)·${axis.stride} + ${axis.span}${behind}${removed ? ` − ${removed} of padding` : ""}.`;
  }
  const sum = `(${axis.padded} − ${axis.span}) / ${axis.stride}`;
  return axis.remainder
    ? `${axis.output} windows; remainder ${axis.remainder}: the last ${axis.remainder === 1 ? "padded sample is" : `${axis.remainder} padded samples are`} in no window, for ${sum} is not whole.`
    : `${axis.output} ${axis.output === 1 ? "window" : "windows"}, no remainder.`;
}

function fillSize(row, name, axis, own) {
  const limits = limitsOf(name, axis, own), value = axis[name === "input" ? "size" : name];
  for (const input of row.querySelectorAll("input")) {
    input.min = limits.least;
    input.max = limits.most;
    if (input.type === "range" || input !== document.activeElement) input.value = value;
    input.disabled = limits.least >= limits.most;
  }
  row.querySelector("small").textContent = limits.why;
}

function resize(axis, which, value) {
  const sizes = sizesOf(current.model.spec), name = Object.keys(SIZES)[which];
  const limits = limitsOf(name, current.model.axes[axis], sizesOf(shownCase().spec)[axis][which]);
  if (!Number.isInteger(value) || value < limits.least || value > limits.most) {
    tell(`${SIZE_WORDS[name]} ${value} is not possible here; ${limits.why || `expected ${limits.least} to ${limits.most}`}.`);
    value = Math.max(limits.least, Math.min(limits.most, Math.round(value) || limits.least));
  }
  sizes[axis][which] = value;
  const same = String(sizes) === String(sizesOf(shownCase().spec));
  state.geometry = same ? null : geometryOf(sizes);
  stop();
  state.time = null;
  endQuiz();
  buildModel();
  repin();
  if (!views[state.view].possible()) state.view = "handback";
  render();
}

// Keep the pin in the layer that there is now, and in the slice that is shown.
function repin() {
  const { pin: at, slice: { n, c, f } } = state, { model } = current;
  if (!at) return;
  const lead = { X: [n, c], dX: [n, c], O: [n, f], dO: [n, f], db: [] }[at.map] || model.sliceBetween(c, f);
  if (at.map === "db") at.index = [f];
  else {
    const shape = model.shape(at.map);
    at.index = [...lead, ...at.index.slice(2).map((place, i) => Math.min(place, shape[i] - 1))];
  }
}

function drawBanner() {
  const banner = document.getElementById("banner");
  banner.hidden = isOwnLayer();
  if (isOwnLayer()) return;
  const words = state.geometry ? "Not your layer any more: other sizes, and numbers made up where yours have no place." : `Not your numbers any more: ${counted(Object.keys(state.edits).length, "number")} changed.`;
  banner.replaceChildren(words, " ", element("button", { type: "button", id: "back", onclick: () => {
    Object.assign(state, { geometry: null, edits: {}, time: null });
    buildModel();
    repin();
    render();
  } }, state.geometry ? "Back to your layer" : "Reset the numbers"));
}

function drawLegend() {
  const { model } = current, used = new Set();
  for (const map of ["spread", "X"]) for (const kind of model.kinds(map) || []) used.add(kind);
  const part = (names, words) => element("li", {}, element("span", { class: `swatch ${names}` }), words);
  const kinds = [[KIND.INSERTED, "inserted"], [KIND.REMAINDER, "remainder"], [KIND.BORDER, "border"], [KIND.UNREAD, "unread"]];
  document.getElementById("legend").replaceChildren(
    part("chosen", "selected"), part("term", "counts, with its tap's letter"), part("framed", model.spec.transposed ? "under the kernel" : "under the turned kernel"),
    ...kinds.filter(([kind]) => used.has(kind)).map(([kind, name]) => part(name, KIND_WORDS[kind])),
    part("below", "below zero"), part("above", "above zero"));
}

function drawWriting() {
  const select = document.getElementById("notation");
  if (!select.childElementCount) {
    select.append(...DATA.notations.map((each) => element("option", { value: each.name }, each.name === "own" ? "the field's own" : each.title || each.name)));
  }
  select.value = writing().name;
  document.getElementById("notation-about").textContent = writing().about;
  document.getElementById("base").checked = state.base === 1;
  document.getElementById("editing").checked = state.editing;
  const reset = document.getElementById("reset");
  reset.disabled = !Object.keys(state.edits).length;
  const command = document.getElementById("copy-command"), why = whyNoCommand();
  command.disabled = Boolean(why);
  command.title = why;
  document.getElementById("quiz").textContent = state.quiz ? "End the quiz" : "Quiz";
}

function whyNoCommand() {
  if (!shownCase().command) return "no config has this layer, so no command names it";
  if (!isOwnLayer()) return "this is not your layer any more";
  if (!shownRef || shownTerms.shared) return "select an entry of dL/dX, dL/dW, dL/db or O";
  return "";
}

const explainCommand = () => `${shownCase().command} --entry '${EXPLAINED[shownRef.map]}[${shownRef.index}]'`;

const layerLine = () => `${shownCase().name} · ${state.geometry ? geometryWords(current.model.spec) : shownCase().words.join(" · ")}`;

function geometryWords(spec) {
  const times = (numbers) => numbers.join("×");
  return `${spec.transposed ? "transposed · " : ""}kernel ${times(spec.kernel)} · stride ${times(spec.stride)} · dilation ${times(spec.dilation)} · padding ${spec.padding.map((pair) => `(${pair})`).join("×")}${spec.padding_mode === "zeros" ? "" : ` ${spec.padding_mode}`} · ${times(spec.input)} in, ${times(current.model.output)} out`;
}

function endQuiz() {
  if (!state.quiz) return;
  state.quiz = null;
  tell("");
}
