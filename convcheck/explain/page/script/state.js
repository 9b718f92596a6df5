// What is looked at: a case, a slice, a view, a selection. All of it that a link should keep stands in the URL's #.

const DATA = JSON.parse(document.getElementById("data").textContent);

const SYMBOLS = { X: "X", W: "W", O: "O", dO: "dL/dO", spread: "dL/dO dilated and padded", dX: "dL/dX", dW: "dL/dW", db: "dL/db" };

// As `convcheck explain` calls what it explains.
const EXPLAINED = { X: "input", dX: "input", W: "weight", dW: "weight", db: "bias", O: "output", dO: "grad_output" };
const GRADIENT_MAPS = { input: "dX", weight: "dW", bias: "db", output: "O" };

// Sizes that a slider changes, and the largest that it offers.
const SIZES = { input: 24, kernel: 9, stride: 6, dilation: 5, before: 8, after: 8 };

// Every view by its name, as its file says it; they are tabs in this order.
const views = {};
const viewNames = () => Object.keys(views).sort((one, other) => views[one].order - views[other].order);

const state = {
  case: 0, view: null, slice: null, pin: null, hover: null, time: null, playing: false, speed: 1, notation: "own",
  base: 0, edits: {}, geometry: null, editing: false, wrong: null, gradient: null, quiz: null, planes: {}, axis: 0,
};

const current = { model: null, original: null, step: -1 };

const shownCase = () => DATA.cases[state.case];
const writing = () => DATA.notations.find((each) => each.name === state.notation) || DATA.notations[0];
const isOwnLayer = () => !state.geometry && !Object.keys(state.edits).length;
const sameRef = (one, other) =>
  Boolean(one && other && one.map === other.map && String(one.index) === String(other.index));

function openCase(number) {
  const one = DATA.cases[number];
  Object.assign(state, { case: number, edits: {}, geometry: null, time: null, playing: false, hover: null, quiz: null, planes: {} });
  state.slice = { n: one.chosen.sample, c: one.chosen.channel, f: one.chosen.filter };
  state.pin = { map: "dX", index: one.start };
  state.wrong = one.mistakes.length ? 0 : null;
  state.gradient = null;
  const { errors } = one;
  const bad = errors && ["output", "input", "weight", "bias"].filter((name) => errors.arrays[name]?.count);
  if (errors) state.wrong = "target";
  if (one.entry && !bad?.length) {
    state.pin = { map: GRADIENT_MAPS[one.entry[0]], index: [...one.entry[1]] };
    buildModel();
    if (isThere(state.pin)) followSlice(state.pin);
  }
  if (bad?.length) {
    // An entry that something reaches tells more than one that should be 0.
    const [gradient, index] = one.entry || [bad[0], errors.arrays[bad[0]].worst.index];
    state.gradient = errors.arrays[gradient]?.count ? gradient : bad[0];
    const ref = { map: GRADIENT_MAPS[gradient], index: [...index] };
    buildModel();
    if (isThere(ref)) {
      state.pin = ref;
      followSlice(ref);
    }
  }
  state.view = errors ? "errors" : one.spec.input.length === 1 ? "wires" : "handback";
  buildModel();
}

// The model of the layer as it is, with the numbers that were edited, or of another one after a slider was moved.
function buildModel() {
  const one = shownCase();
  const arrays = Object.fromEntries(Object.entries(one.arrays).map(([name, packed]) => [name, packed && unpacked(packed)]));
  const totals = Object.fromEntries(Object.entries(one.totals).map(([name, packed]) => [name, unpacked(packed)]));
  current.original = new Model(one.spec, arrays, one.kept, totals);
  let model = current.original;
  if (state.geometry) model = otherLayer(current.original, state.geometry);
  if (Object.keys(state.edits).length) model = edited(model, state.edits);
  current.model = model;
}

// The same layer with other sizes: numbers that have a place keep it, others are drawn from what their place is.
function otherLayer(model, geometry) {
  const spec = { ...model.spec, ...geometry };
  const arrays = { ...model.arrays }, made = new Model(spec, arrays, model.kept);
  for (const [name, size] of [["x", spec.input], ["weight", spec.kernel], ["grad_output", made.output]]) {
    const { shape, values } = model.arrays[name], before = shape.slice(2);
    const next = [...shape.slice(0, 2), ...size], lead = shape[0] * shape[1];
    const filled = new Float64Array(lead * product(size));
    for (let k = 0; k < lead; k++)
      for (let at = 0; at < product(size); at++) {
        const site = siteOf(at, size);
        filled[k * product(size) + at] = inside(site, before)
          ? values[k * product(before) + flatOf(site, before)] : drawn([k, ...site]);
      }
    arrays[name] = { shape: next, values: filled };
  }
  return new Model(spec, arrays, model.kept);
}

// An integer of -5..5 without 0 that only a place decides.
function drawn(place) {
  let hash = 2166136261;
  for (const each of place) hash = Math.imul(hash ^ (each + 1), 16777619);
  const number = ((hash >>> 8) % 10) - 5;
  return number < 0 ? number : number + 1;
}

function edited(model, edits) {
  const arrays = Object.fromEntries(Object.entries(model.arrays).map(([name, array]) =>
    [name, array && { shape: array.shape, values: array.values.slice() }]));
  for (const [place, value] of Object.entries(edits)) {
    const [name, flat] = place.split(":");
    if (arrays[name] && Number(flat) < arrays[name].values.length) arrays[name].values[Number(flat)] = value;
  }
  // What the missing terms add stays what it was.
  const totals = {};
  for (const [name, total] of Object.entries(model.totals)) totals[name] = { shape: total.shape, values: total.values.slice() };
  const made = new Model(model.spec, arrays, model.kept, totals);
  if (Object.keys(totals).length) {
    const before = new Model(model.spec, model.arrays, model.kept), after = new Model(model.spec, arrays, model.kept);
    for (const [name, total] of Object.entries(totals)) {
      if (name === "bias") {
        total.values = total.values.map((value, i) => value + after.values("db", {})[i] - before.values("db", {})[i]);
        continue;
      }
      const map = name === "input" ? "dX" : "dW", size = product(total.shape.slice(2));
      for (let i = 0; i < total.shape[0]; i++)
        for (let k = 0; k < total.shape[1]; k++) {
          const slice = name === "input"
            ? { n: model.kept.samples[0] + i, c: model.kept.channels[0] + k }
            : model.endsOf(model.firstSlice[0] + i, model.firstSlice[1] + k);
          const [was, is] = [before.values(map, slice), after.values(map, slice)];
          for (let at = 0; at < size; at++) total.values[(i * total.shape[1] + k) * size + at] += is[at] - was[at];
        }
    }
  }
  return made;
}

// Show the slice in which a selection lies.
function followSlice({ map, index }) {
  const { model } = current, slice = state.slice;
  if (map === "db") slice.f = index[0];
  else if (map === "X" || map === "dX") [slice.n, slice.c] = index;
  else if (map === "O" || map === "dO") [slice.n, slice.f] = index;
  else Object.assign(slice, model.endsOf(index[0], index[1]));
  if (!model.reads(slice.f, slice.c)) {
    if (map === "X" || map === "dX") slice.f = model.filtersOf(slice.c)[0] ?? slice.f;
    else slice.c = model.channelsOf(slice.f)[0] ?? slice.c;
  }
  // Of a volume, show the planes in which it is told.
  state.planes = {};
}

// Whether an entry exists, and the page has it.
function isThere({ map, index }) {
  const { model } = current, sites = model.shape(map);
  if (map === "db") return index.length === 1 && model.has("filters", index[0]);
  if (index.length !== 2 + model.rank || !inside(index.slice(2), sites) || !index.every(Number.isInteger)) return false;
  const [first, second] = index;
  if (map === "X" || map === "dX") return model.has("samples", first) && model.has("channels", second);
  if (map === "O" || map === "dO") return model.has("samples", first) && model.has("filters", second);
  const { c, f } = model.endsOf(first, second);
  return first >= 0 && second >= 0 && second < (model.spec.transposed ? model.count : model.depth) && model.has("channels", c) && model.has("filters", f);
}

const refText = ({ map, index }) => `${map}[${index}]`;

function refOf(text) {
  const match = /^\s*([A-Za-z_/]*)\s*\[([\d,\s]+)\]\s*$/.exec(text || "");
  if (!match) return null;
  const name = match[1].replace("dL/", "") || "dX";
  const map = GRADIENT_MAPS[name] || ({ x: "X", w: "W", o: "O", grad_output: "dO" }[name.toLowerCase()] ?? name);
  return EXPLAINED[map] ? { map, index: match[2].split(",").map(Number) } : null;
}

function hashOf() {
  const { geometry } = state, parts = new URLSearchParams();
  parts.set("case", state.case);
  parts.set("view", state.view);
  if (state.pin) parts.set("at", refText(state.pin));
  parts.set("slice", [state.slice.n, state.slice.c, state.slice.f].join("."));
  if (geometry) parts.set("sizes", sizesOf(geometry).map((axis) => axis.join(".")).join("_"));
  if (Object.keys(state.edits).length)
    parts.set("edits", Object.entries(state.edits).map(([place, value]) => `${place}:${value}`).join("_"));
  if (state.notation !== "own") parts.set("notation", state.notation);
  if (state.base) parts.set("base", state.base);
  if (state.wrong && state.wrong !== "target") parts.set("mistake", state.wrong);
  return `#${parts}`;
}

const sizesOf = (spec) => spec.input.map((size, i) =>
  [size, spec.kernel[i], spec.stride[i], spec.dilation[i], ...spec.padding[i]]);

const geometryOf = (sizes) => ({
  input: sizes.map((axis) => axis[0]), kernel: sizes.map((axis) => axis[1]), stride: sizes.map((axis) => axis[2]),
  dilation: sizes.map((axis) => axis[3]), padding: sizes.map((axis) => [axis[4], axis[5]]),
});

// Take up what a link says, as far as it makes sense here.
function readHash() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const number = Number(parts.get("case"));
  openCase(DATA.cases[number] ? number : 0);
  const { spec } = shownCase();
  const sizes = (parts.get("sizes") || "").split("_").map((axis) => axis.split(".").map(Number));
  if (sizes.length === spec.input.length && sizes.every((axis, i) => axis.length === 6 && isPossible(axis, spec, i)))
    state.geometry = geometryOf(sizes);
  for (const part of (parts.get("edits") || "").split("_")) {
    const [name, flat, value] = part.split(":");
    if (["x", "weight", "grad_output"].includes(name) && Number.isFinite(Number(value))) state.edits[`${name}:${Number(flat)}`] = Number(value);
  }
  buildModel();
  const [n, c, f] = (parts.get("slice") || "").split(".").map(Number), { model } = current;
  if (model.has("samples", n) && model.has("channels", c) && model.has("filters", f) && model.reads(f, c)) state.slice = { n, c, f };
  const pin = refOf(parts.get("at"));
  if (parts.has("case") && !parts.has("at")) state.pin = null;
  if (pin && isThere(pin)) {
    state.pin = pin;
    followSlice(pin);
    if (model.has("filters", f) && model.reads(f, state.slice.c) && ["X", "dX"].includes(pin.map)) state.slice.f = f;
  } else if (state.pin && !isThere(state.pin)) state.pin = null;
  if (views[parts.get("view")]?.possible()) state.view = parts.get("view");
  if (DATA.notations.some((each) => each.name === parts.get("notation"))) state.notation = parts.get("notation");
  state.base = parts.get("base") === "1" ? 1 : 0;
  if (/^\d+$/.test(parts.get("mistake")) && shownCase().mistakes[Number(parts.get("mistake"))]) state.wrong = Number(parts.get("mistake"));
}

const isPossible = (sizes, spec, i) => sizes.every((each, k) => Number.isInteger(each) && each >= (k < 4 ? 1 : 0) && each <= 400)
  && !axisOf(sizes, spec, i).fault;
