// Matrix: the same as products of unfolded matrices, and the fold that adds the copies of every sample up.

views.matrix = {
  order: 5,
  title: "Matrix",
  about: () => `Unfolded, the layer is a product: a column of X~ per output, a row per tap. Backward: dL/dX~ = W~ᵀ dL/dO, which is folded back (copies of one sample add up, those on ${current.model.spec.transposed ? "inserted zeros" : "padding"} are dropped), and dL/dW~ = dL/dO X~ᵀ.`,
  possible: () => current.model.sites.output * current.model.sites.kernel <= 40000,
  steps: (model) => model.sites.output,
  refAt: (model, step) => ({ map: "dO", index: [state.slice.n, state.slice.f, ...siteOf(step, model.output)] }),

  panel(box) {
    const { model } = current, { n, c, f } = state.slice, { kernel, output } = model.sites, lead = (filter) => model.sliceBetween(c, filter);
    const filters = model.filtersOf(c), row = filters.indexOf(f), ref = shownRef;
    const taps = Array.from({ length: kernel }, (_, tap) => tap), outputs = Array.from({ length: output }, (_, o) => o);
    const weights = filters.map((filter) => model.weight(filter, c)), gradients = filters.map((filter) => model.gradOutput(n, filter));
    const x = model.x(n, c), source = (tap, o) => model.sources[o * kernel + tap];
    const table = (rows, columns, entry) => Float64Array.from({ length: rows.length * columns.length }, (_, at) =>
      entry(rows[Math.floor(at / columns.length)], columns[at % columns.length]));
    const columns = table(taps, outputs, (tap, o) => (source(tap, o) < 0 ? 0 : x[source(tap, o)]));
    const rows = filters.map((_, i) => i);
    const padding = Uint8Array.from({ length: kernel * output }, (_, at) =>
      (source(Math.floor(at / output), at % output) < 0 ? KIND.BORDER : KIND.VALUE));
    const marks = { wt: new Map(), g: new Map(), dcols: new Map(), cols: new Map(), dwt: new Map() };
    const chosen = { role: "chosen" };
    for (const term of shownTerms?.terms || []) {
      if (term.n !== n || term.c !== undefined && term.c !== c || term.o === undefined && term.tap === undefined) continue;
      const i = filters.indexOf(term.f), letter = term.tap === undefined ? "" : letterOf(term.tap);
      if (i < 0) continue;
      const mark = { role: "term", letter, term };
      if (ref.map === "dX" || ref.map === "dO") {
        marks.wt.set(term.tap * filters.length + i, mark);
        marks.g.set(i * output + term.o, mark);
        marks.dcols.set(term.tap * output + term.o, mark);
      } else if (ref.map === "dW") {
        marks.g.set(i * output + term.o, mark);
        marks.cols.set(term.tap * output + term.o, mark);
      } else if (ref.map === "db") marks.g.set(i * output + term.o, mark);
      else if (ref.map === "O" && term.tap !== undefined) {
        marks.wt.set(term.tap * filters.length + i, mark);
        marks.cols.set(term.tap * output + term.o, mark);
      }
    }
    if (ref?.map === "dW" && String(ref.index.slice(0, 2)) === String(lead(f))) marks.dwt.set(row * kernel + flatOf(ref.index.slice(2), model.spec.kernel), chosen);
    const at = (map, lead, place, shape) => ({ map, index: [...lead, ...siteOf(place, shape)] });
    const maps = [
      ["wt", "W~ᵀ", "input", "a row per tap, a column per filter", [kernel, filters.length], table(taps, rows, (tap, i) => weights[i][tap]),
        (flat) => at("W", lead(filters[flat % filters.length]), Math.floor(flat / filters.length), model.spec.kernel)],
      ["g", "dL/dO as a matrix", "input", "a row per filter, a column per output", [filters.length, output], table(rows, outputs, (i, o) => gradients[i][o]),
        (flat) => at("dO", [n, filters[Math.floor(flat / output)]], flat % output, model.output)],
      ["dcols", "dL/dX~ = W~ᵀ dL/dO", "result", "a row per tap, a column per output; folding adds these up to dL/dX", [kernel, output],
        table(taps, outputs, (tap, o) => gradients.reduce((sum, each, i) => sum + each[o] * weights[i][tap], 0)),
        (flat) => { const p = source(Math.floor(flat / output), flat % output); return p < 0 ? null : at("dX", [n, c], p, model.spec.input); }, padding],
      ["cols", "X~", "input", "the unfolded input: a row per tap, a column per output", [kernel, output], columns,
        (flat) => { const p = source(Math.floor(flat / output), flat % output); return p < 0 ? null : at("X", [n, c], p, model.spec.input); }, padding],
      ["dwt", model.kept.samples[1] > 1 ? `dL/dW~ = dL/dO X~ᵀ, sample ${n + state.base}'s part` : "dL/dW~ = dL/dO X~ᵀ", "result", "a row per filter, a column per tap", [filters.length, kernel],
        table(rows, taps, (i, tap) => gradients[i].reduce((sum, value, o) => sum + value * columns[tap * output + o], 0)),
        (flat) => at("dW", lead(filters[Math.floor(flat / kernel)]), flat % kernel, model.spec.kernel)],
    ];
    this.maps ??= Object.fromEntries(maps.map(([id]) => [id, new MapView(`matrix-${id}`, "matrix")]));
    const step = state.time;
    for (const [id, title, role, note, shape, values, refAt, kinds = null] of maps) {
      if (!box.contains(this.maps[id].section)) box.append(this.maps[id].section);
      const hidden = id === "dcols" && step !== null ? (flat) => flat % output >= step : false;
      this.maps[id].show({ title, role, note, shape, values, refAt, kinds, hidden, marks: marks[id] });
    }
  },
};
