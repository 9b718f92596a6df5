// Errors: what code gives, or a known mistake would give, beside what should be, and their difference.

views.errors = {
  order: 8,
  title: "Errors",
  about: "What is given, what should be, and the difference, in colours in which 1 is seen beside 42. Wrong entries have a cross and a heavy frame, right ones a tick.",
  possible: () => Boolean(shownCase().errors || shownCase().mistakes.length),

  panel(box) {
    const { errors, mistakes } = shownCase();
    if (!isOwnLayer()) {
      box.replaceChildren(element("p", {}, "What is wrong was found on your own layer and numbers; go back to them to see it."));
      return;
    }
    if (state.wrong === null || (state.wrong === "target" && !errors)) state.wrong = errors ? "target" : 0;
    this.head ??= element("div", { class: "verdict" });
    this.row ??= element("div", { class: "row" });
    this.maps ??= { given: new MapView("given"), right: new MapView("right"), difference: new MapView("difference") };
    this.thumbs ??= element("div");
    if (!box.contains(this.head)) {
      box.replaceChildren(this.head, this.row, this.thumbs);
      this.row.append(...Object.values(this.maps).map((map) => map.section));
    }
    const found = wrongArray();
    this.drawHead(errors, mistakes, found);
    this.row.hidden = !found;
    this.thumbs.replaceChildren(...(found ? this.thumbnails(found) : []));
    if (found) this.drawMaps(found);
  },

  drawHead(errors, mistakes, found) {
    const chosen = element("select", { "aria-label": "What is shown", onchange: (event) => {
      state.wrong = event.target.value === "target" ? "target" : Number(event.target.value);
      state.gradient = null;
      jumpWrong(0, true);
    } });
    if (errors) chosen.append(element("option", { value: "target" }, `your code: ${errors.target}`));
    const groups = new Map();
    mistakes.forEach((made, number) => {
      if (!groups.has(made.name)) groups.set(made.name, element("optgroup", { label: made.name }));
      groups.get(made.name).append(element("option", { value: number }, `${SYMBOLS[GRADIENT_MAPS[made.gradient]]}${made.variant ? `: ${made.variant}` : ""} (${made.name})`));
    });
    chosen.append(...groups.values());
    chosen.value = String(state.wrong);
    const parts = [element("label", { class: "field" }, "Show ", chosen)];
    if (state.wrong === "target") parts.push(...this.verdict(errors, found));
    else parts.push(...this.mistake(mistakes[state.wrong]));
    if (found?.count) {
      parts.push(element("p", { class: "walk" },
        element("button", { type: "button", id: "next-wrong", onclick: () => jumpWrong(1) }, "Next wrong (n)"), " ",
        element("button", { type: "button", id: "previous-wrong", onclick: () => jumpWrong(-1) }, "Previous (N)"), " ",
        element("button", { type: "button", id: "worst-wrong", onclick: () => jumpWrong(0) }, "Worst (w)")));
    }
    // The element that is being used must stay.
    if (this.head.contains(document.activeElement) && document.activeElement.tagName === "SELECT") {
      this.head.querySelector("select").value = chosen.value;
      [...this.head.children].slice(1).forEach((child) => child.remove());
      this.head.append(...parts.slice(1));
    } else {
      const focused = this.head.contains(document.activeElement) ? document.activeElement.id : "";
      this.head.replaceChildren(...parts);
      if (focused) document.getElementById(focused)?.focus();
    }
  },

  // What a target's code got right and wrong; a wrong forward pass before anything else.
  verdict(errors, found) {
    const parts = [], { output } = errors.arrays;
    if (output?.count) {
      parts.push(element("p", { class: "bad" }, "✗ The forward pass is wrong: what it gives is not what the definition gives. The gradients are compared with differences of that same forward pass."));
    }
    const names = Object.keys(errors.arrays), tabs = element("p", { class: "walk", role: "group", "aria-label": "Which array" });
    for (const name of names) {
      const one = errors.arrays[name], symbol = SYMBOLS[GRADIENT_MAPS[name]];
      const words = one.count ? `✗ ${symbol}: ${one.count.toLocaleString("en")} of ${counted(one.entries, "entry", "entries")} wrong` : `✓ ${symbol} is right`;
      tabs.append(element("button", { type: "button", "aria-pressed": String(name === state.gradient), disabled: !one.count, "data-gradient": name, id: `array-${name}`,
        onclick: () => { state.gradient = name; jumpWrong(0); } }, words), " ");
      if (output?.count && name !== "output" && one.fits) parts.push(element("p", {}, `${symbol} fits the definition.`));
    }
    parts.push(tabs);
    parts.push(...errors.notes.map((note) => element("p", { class: "bad" }, note)));
    const one = errors.arrays[state.gradient];
    if (!one?.count) {
      if (names.length && !names.some((name) => errors.arrays[name].count)) parts.push(element("p", {}, "Nothing is wrong on these numbers."));
      return parts;
    }
    const facts = [];
    for (const each of one.diagnosis) facts.push(["diagnosis", `${each.name}: ${each.explanation}`], ["fix", each.fix]);
    if (!one.diagnosis.length) facts.push(["diagnosis", "no known mistake gives this: only the difference is shown"]);
    if (one.note) facts.push(["note", one.note]);
    const [given, right] = toldApart(numberOf(one.worst.given), numberOf(one.worst.right));
    facts.push(["where", one.where], ["worst", `[${one.worst.index}]: your code gives ${given}, ${one.source} ${right}`]);
    const list = element("dl", {}, ...facts.flatMap(([label, text]) => [element("dt", {}, label), element("dd", {}, text)]));
    if (errors.reproduce) {
      list.append(element("dt", {}, "reproduce"), element("dd", {}, element("code", {}, errors.reproduce), " ",
        element("button", { type: "button", onclick: () => copy(errors.reproduce, "The command") }, "Copy")));
    }
    parts.push(list);
    return parts;
  },

  mistake(made) {
    const { title, explanation, fix } = DATA.catalogue[made.name];
    const facts = [["mistake", `${made.name}: ${title}${made.variant ? ` (${made.variant})` : ""}`], ["what", explanation], ["fix", fix], ["more", `convcheck mistakes ${made.name}`]];
    return [element("dl", {}, ...facts.flatMap(([label, text]) => [element("dt", {}, label), element("dd", {}, text)]))];
  },

  drawMaps(found) {
    const { model } = current, map = found.map, { symbol } = found;
    const shape = model.shape(map), at = (values) => found.sliceOf(values);
    const given = at(found.given), right = at(found.right), marks = currentMarks[map], scale = Math.max(largest(given), largest(right)) * 1.1;
    const wrong = at(found.wrong), difference = given.map((value, i) => (value === right[i] ? 0 : value - right[i]));
    const stateOf = (flat) => (wrong[flat] ? "wrong" : "right");
    const refAt = (flat) => this.maps.right.constructor.prototype.refAt.call({ of: map, shown: { shape } }, flat);
    const log = true, only = { refAt, marks: chosenOnly(marks), shape, log };
    for (const view of Object.values(this.maps)) view.of = map;
    this.maps.given.show({ ...only, title: `${symbol}: ${found.label}`, role: "result", values: given, scale, state: stateOf });
    this.maps.right.show({ ...only, title: `${symbol}: as it should be`, role: "result", values: right, scale });
    this.maps.difference.show({ ...only, title: `${symbol}: the difference`, role: "result", values: difference, state: stateOf });
  },

  // Every map of the array, with how many entries are wrong in it.
  thumbnails(found) {
    if (!found.counts || found.counts.length * found.counts[0].length < 2) return [];
    const [rows, columns] = { dX: ["sample", "channel"], O: ["sample", "filter"], dW: current.model.spec.transposed ? ["channel", "filter"] : ["filter", "channel"] }[found.map];
    const { model } = current, [n, c, f] = [state.slice.n, state.slice.c, state.slice.f];
    const chosen = found.map === "dX" ? [n, c] : found.map === "O" ? [n, f] : model.sliceBetween(c, f);
    const wide = around(found.counts[0].map((_, i) => i), chosen[1], 32), high = around(found.counts.map((_, i) => i), chosen[0], 16);
    const table = element("table", { class: "counts" },
      element("thead", {}, element("tr", {}, element("td"), ...wide.map((i) => element("th", { scope: "col" }, `${columns} ${i + state.base}`)))),
      element("tbody", {}, ...high.map((i) => element("tr", {}, element("th", { scope: "row" }, `${rows} ${i + state.base}`), ...wide.map((k) => {
        const count = found.counts[i][k], there = found.has(i, k), here = i === chosen[0] && k === chosen[1];
        const picture = there ? [thumbnail(found.mapAt(found.given, i, k).map((value, at) => value - found.mapAt(found.right, i, k)[at] || 0), model.shape(found.map), found.largestDifference, found.leastDifference)] : [];
        return element("td", {}, element("button", { type: "button", class: "thumb", "aria-pressed": String(here), disabled: !there, title: there ? null : "not on this page",
          "aria-label": `${rows} ${i + state.base}, ${columns} ${k + state.base}: ${count} wrong`, onclick: () => this.show(found, i, k) }, ...picture, element("span", {}, count ? `✗ ${count}` : "✓")));
      })))));
    const part = wide.length < found.counts[0].length || high.length < found.counts.length ? ", around the one that is shown" : "";
    return [element("p", { class: "note" }, `Wrong entries by ${rows} and ${columns}${part}`), element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "wrong entries by map" }, table)];
  },

  show(found, first, second) {
    const list = found.places().filter((ref) => ref.index[0] === first && ref.index[1] === second);
    if (list.length) return pin(list[0]);
    const ref = { map: found.map, index: [first, second, ...current.model.shape(found.map).map(() => 0)] };
    followSlice(ref);
    return pin(ref);
  },
};

const numberOf = (value) => (typeof value === "string" ? Number(value.replace("inf", "Infinity")) : value);

const chosenOnly = (marks) => new Map([...marks].filter(([, mark]) => mark.role === "chosen"));

// The array that is shown as wrong, with what it should be; null where there is none.
function wrongArray() {
  const { errors, mistakes } = shownCase();
  if (!isOwnLayer()) return null;
  if (state.wrong === "target") {
    state.gradient ??= errors && Object.keys(errors.arrays).find((name) => errors.arrays[name].count);
    const one = errors?.arrays[state.gradient];
    return one?.count ? current.original.once(`wrong target ${state.gradient}`, () => new WrongArray(one, state.gradient, "your code", one.source, errors.arrays)) : null;
  }
  const made = mistakes[state.wrong];
  if (!made) return null;
  return current.original.once(`wrong ${state.wrong}`, () => new WrongArray(made, made.gradient, made.name, "should be"));
}

class WrongArray {
  constructor(one, gradient, label, source) {
    Object.assign(this, { gradient, label, source, map: GRADIENT_MAPS[gradient], terms: one.terms, count: one.count, mistakes: one.mistakes || [] });
    this.symbol = SYMBOLS[this.map];
    this.given = unpacked(one.given).values;
    this.shape = one.given.shape;
    this.right = one.right ? unpacked(one.right).values : this.byModel();
    this.wrong = one.wrong ? unpacked(one.wrong).values : this.given.map((value, i) => Number(value !== this.right[i]));
    this.count ??= this.wrong.reduce((all, each) => all + each, 0);
    this.worst = one.worst?.index;
    const difference = this.given.map((value, i) => value - this.right[i]);
    this.largestDifference = largest(difference);
    this.leastDifference = smallest(difference);
    const size = product(this.shape.slice(2));
    this.counts = one.counts !== undefined ? one.counts : this.map === "db" ? null
      : Array.from({ length: this.shape[0] }, (_, i) => Array.from({ length: this.shape[1] }, (_, k) =>
        this.wrong.subarray((i * this.shape[1] + k) * size, (i * this.shape[1] + k + 1) * size).reduce((all, each) => all + each, 0)));
    // Counts of a target are of all maps; those of a mistake of the maps that are here.
    this.all = one.counts !== undefined;
  }

  // The first numbers of the maps that are here, as their indices count them.
  get first() {
    const { kept } = current.original;
    return { dX: [kept.samples[0], kept.channels[0]], O: [kept.samples[0], kept.filters[0]], dW: current.original.firstSlice, db: [kept.filters[0], 0] }[this.map];
  }

  has(row, column) {
    const [first, second] = this.all ? this.first : [0, 0];
    return row >= first && column >= second && row < first + this.shape[0] && column < second + this.shape[1];
  }

  mapAt(values, row, column) {
    const [first, second] = this.all ? this.first : [0, 0], size = product(this.shape.slice(2));
    const at = ((row - first) * this.shape[1] + column - second) * size;
    return values.subarray(at, at + size);
  }

  sliceOf(values) {
    if (this.map === "db") return values;
    const { n, c, f } = state.slice, [first, second] = this.first;
    const [row, column] = { dX: [n, c], O: [n, f], dW: current.model.sliceBetween(c, f) }[this.map];
    const size = product(this.shape.slice(2)), at = ((row - first) * this.shape[1] + column - second) * size;
    return values.subarray(at, at + size);
  }

  byModel() {
    const model = current.original, out = new Float64Array(this.given.length);
    if (this.map === "db") return model.values("db", {});
    const size = product(this.shape.slice(2)), [first, second] = this.first;
    for (let i = 0; i < this.shape[0]; i++)
      for (let k = 0; k < this.shape[1]; k++) {
        const slice = { dX: { n: first + i, c: second + k }, O: { n: first + i, f: second + k }, dW: model.endsOf(first + i, second + k) }[this.map];
        out.set(model.values(this.map, slice), (i * this.shape[1] + k) * size);
      }
    return out;
  }

  flatOfRef({ index }) {
    const [first, second] = this.first;
    if (this.map === "db") return index[0] - first;
    return ((index[0] - first) * this.shape[1] + index[1] - second) * product(this.shape.slice(2)) + flatOf(index.slice(2), this.shape.slice(2));
  }

  refOfFlat(flat) {
    const [first, second] = this.first, site = siteOf(flat, this.shape);
    return { map: this.map, index: this.map === "db" ? [site[0] + first] : [site[0] + first, site[1] + second, ...site.slice(2)] };
  }

  // All wrong entries that are here, in order.
  places() {
    this.list ??= [...this.wrong.keys()].filter((flat) => this.wrong[flat]).map((flat) => this.refOfFlat(flat));
    return this.list;
  }

  worstRef() {
    if (this.worst) {
      const ref = { map: this.map, index: [...this.worst] };
      if (isThere(ref)) return ref;
    }
    return this.places().reduce((best, ref) => {
      const off = (one) => Math.abs(this.given[this.flatOfRef(one)] - this.right[this.flatOfRef(one)]);
      return best && off(best) >= off(ref) ? best : ref;
    }, null);
  }

  // The terms of what is given, one for every entry of dL/dO that has a part in it.
  termsOf(ref) {
    if (!this.terms) return null;
    const { spec } = current.original, whole = this.map === "dX" ? [spec.batch, spec.channels, ...spec.input]
      : this.map === "dW" ? [...(spec.transposed ? [spec.channels, current.original.count] : [spec.filters, current.original.depth]), ...spec.kernel] : [spec.filters];
    const packed = this.terms[String(flatOf(ref.index, whole))];
    if (!packed) return null;
    const shape = [spec.batch, spec.filters, ...current.original.output], terms = [];
    for (let at = 0; at < packed.length; at += 2) {
      const index = siteOf(packed[at], shape);
      if (current.original.has("samples", index[0]) && current.original.has("filters", index[1]))
        terms.push({ key: String(index), index, n: index[0], f: index[1], o: flatOf(index.slice(2), current.original.output), value: current.original.valueAt({ map: "dO", index }), factor: packed[at + 1] });
      else return null;
    }
    return terms;
  }
}

// What stands beside the right equation of an entry in this view; null elsewhere.
function wrongOf(ref) {
  const found = state.view === "errors" ? wrongArray() : null;
  if (!found || ref.map !== found.map || !isThere(ref)) return null;
  const flat = found.flatOfRef(ref), given = found.given[flat], right = found.right[flat];
  const name = state.wrong === "target" ? (found.mistakes.length === 1 ? `with ${found.mistakes[0]}, what your code gave` : "what your code gave") : `with ${found.label}`;
  const untold = state.wrong === "target" && !found.mistakes.length
    ? "No known mistake gives this, so only the difference can be told, not its terms."
    : "Its terms are not written out: the sum alone is known here.";
  // Where the padding repeats samples, an output may read one twice, and its terms cannot be told apart.
  const outputs = current.model.terms(ref).terms.map((term) => String(term.factors[0].index)), once = new Set(outputs).size === outputs.length;
  return { given, right, label: name, source: "should be", terms: given === right || !once ? null : found.termsOf(ref), untold };
}

// To the worst entry, or so many wrong ones further.
function jumpWrong(amount, quiet = false) {
  const found = wrongArray(), places = found?.places() || [];
  if (!places.length) return render();
  let ref = found.worstRef();
  if (amount) {
    const now = places.findIndex((each) => sameRef(each, state.pin));
    ref = places[now < 0 ? 0 : (now + amount + places.length) % places.length];
  }
  if (!quiet) tell(`Wrong entry ${places.findIndex((each) => sameRef(each, ref)) + 1} of ${places.length}.`);
  followSlice(ref);
  return pin(ref);
}
