// From a selection to every cell that has to do with it, and to why the others have not.

// Marks by map and flat place: {role, letter, product}; the role is "chosen", "term", "twin" or "frame".
function linksOf(model, slice, ref, found) {
  const marks = Object.fromEntries(Object.keys(SYMBOLS).map((map) => [map, new Map()]));
  if (!ref) return marks;
  const { map, index } = ref, { n, c, f } = slice;
  const flat = map === "db" ? index[0] - model.kept.filters[0] : flatOf(index.slice(2), model.shape(map));
  marks[map].set(flat, { role: "chosen" });
  const twin = { X: "dX", dX: "X", W: "dW", dW: "W", O: "dO", dO: "O" }[map];
  if (twin) marks[twin].set(flat, { role: map === "O" || map === "dO" ? "twin" : "chosen" });
  for (const term of found.terms) {
    const here = term.n === n && term.f === f && (term.c === undefined || term.c === c);
    if (!here) continue;
    const letter = term.tap === undefined ? "" : letterOf(term.tap);
    const mark = { role: "term", letter, product: term.factors.map((factor) => short(factor.value)).join("×"), term };
    const put = (where, place, given = mark) => {
      if (place !== undefined && marks[where].get(place)?.role !== "chosen") add(marks[where], place, given);
    };
    const spread = term.o === undefined ? undefined : model.spreadSite(siteOf(term.o, model.output));
    if (map === "dX" || map === "X") {
      put("dO", term.o);
      put("W", term.tap, { role: "term", letter, term });
      put("O", term.o, { role: "twin" });
      putSpread(marks, model, spread, mark);
    } else if (map === "dW" || map === "W") {
      put("X", term.p);
      put("dO", term.o);
      putSpread(marks, model, spread, mark);
    } else if (map === "db") {
      put("dO", term.o, { role: "term", letter: "", term });
    } else if (map === "O") {
      if (term.p === undefined) continue;
      put("X", term.p);
      put("W", term.tap, { role: "term", letter, term });
    } else if (map === "dO") {
      put("dX", term.p);
      put("X", term.p, { role: "twin", letter });
      put("W", term.tap, { role: "term", letter, term });
    }
  }
  if ((map === "dX" || map === "X") && index[0] === n && index[1] === c) frame(marks, model, index.slice(2));
  if (map === "dO" || map === "O") putSpread(marks, model, model.spreadSite(index.slice(2)), { role: "chosen" });
  return marks;
}

function putSpread(marks, model, site, mark) {
  const shape = model.shape("spread");
  if (!site || !inside(site, shape)) return;
  add(marks.spread, flatOf(site, shape), mark);
}

// Where the padding repeats samples, an output may read one through several taps.
function add(places, flat, mark) {
  const there = places.get(flat), several = there?.role === "term" && there.letter && mark.letter && there.letter !== mark.letter;
  places.set(flat, several ? { ...there, letter: `${there.letter},${mark.letter}`, product: there.product && "several" } : mark);
}

// Where the kernel lies while it makes an entry of dL/dX: over span × span cells, turned, so that the last tap is first;
// of a transposed layer as it is; once for every copy of the entry.
function frame(marks, model, site) {
  const shape = model.shape("spread");
  for (let tap = 0; tap < model.sites.kernel; tap++) {
    const place = siteOf(tap, model.spec.kernel);
    for (const at of combinations(site.map((start, i) => model.axes[i].laid(start, place[i])))) {
      const flat = flatOf(at, shape), there = marks.spread.get(flat);
      if (there) there.framed = true;
      else marks.spread.set(flat, { role: "frame", letter: letterOf(tap), framed: true });
    }
  }
}

const KIND_WORDS = {
  [KIND.INSERTED]: "inserted zero: between two windows (stride)",
  [KIND.REMAINDER]: "remainder zero: a window here would not fit",
  [KIND.BORDER]: "border zero: padding",
  [KIND.UNREAD]: "in no window",
};

// Why a cell has no part in the selected entry; empty if it has, or nothing is to be said.
function whyNot(model, slice, ref, map, flat) {
  if (!ref) return "";
  const entry = ref.map === "X" ? "dX" : ref.map === "W" ? "dW" : ref.map, site = ref.index.slice(2);
  const kind = model.kinds(map)?.[flat];
  if (map === "spread" && kind) return KIND_WORDS[kind];
  if (map === "dO" && entry === "dX") {
    const output = siteOf(flat, model.output);
    return model.inWords(model.axes.map((axis, i) => axis.outputFault(site[i], output[i])));
  }
  if (map === "dO" && entry === "dW" && model.spec.transposed) return "this tap takes no entry of X there";
  if (map === "W" && entry === "dX") {
    const tap = siteOf(flat, model.spec.kernel);
    return model.inWords(model.axes.map((axis, i) => axis.tapFault(site[i], tap[i])));
  }
  if (map === "dO" && entry === "dW") return model.onPadding(siteOf(flat, model.output), site);
  if (map === "W" && (entry === "O" || entry === "dO")) return model.onPadding(site, siteOf(flat, model.spec.kernel));
  if (map === "X" && entry === "dW") return kind ? KIND_WORDS[kind] : model.spec.transposed ? model.removed(siteOf(flat, model.spec.input), site) : "this tap meets it in no window";
  if ((map === "X" || map === "dX") && (entry === "O" || entry === "dO")) return kind ? KIND_WORDS[kind] : "outside this window";
  return "";
}
