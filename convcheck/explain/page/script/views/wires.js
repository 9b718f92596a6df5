// Wires: one axis alone, X below, dL/dO above, a line for every tap through which an output reads a sample.

views.wires = {
  order: 7,
  title: "Wires",
  about: () => (current.model.spec.transposed ? TURNED : "One axis alone. Every line is a tap: forward it carries a sample up, backward a gradient down. Select a sample of X: its lines fan out to later and later outputs, and from left to right they are the last tap to the first. That is why the kernel is turned."),
  possible: () => true,

  panel(box) {
    const { model } = current;
    if (state.axis >= model.rank) state.axis = 0;
    const axis = model.axes[state.axis], word = AXIS_WORDS[model.rank][state.axis];
    const choice = model.rank > 1 ? [element("label", { class: "field" }, "Axis ", element("select", { "aria-label": "Axis", onchange: (event) => { state.axis = Number(event.target.value); render(); } },
      ...AXIS_WORDS[model.rank].map((name, i) => element("option", { value: i, selected: i === state.axis }, `${name}s`))))] : [];
    const frame = element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "wires" });
    frame.innerHTML = this.draw(model, axis, word);
    frame.addEventListener("click", (event) => {
      const node = event.target.closest("[data-node]");
      if (node) pin(this.refOf(node.dataset.node, Number(node.dataset.at)));
    });
    if (!box.querySelector(".field") || !box.contains(document.activeElement)) box.replaceChildren(...choice, frame);
    else box.replaceChildren(box.querySelector(".field"), frame);
  },

  // The place of the selection on this axis: {side: "x", "o" or "tap", at}.
  chosen() {
    const ref = shownRef;
    if (!ref || ref.map === "db") return null;
    const at = ref.index[2 + state.axis], side = { X: "x", dX: "x", O: "o", dO: "o", W: "tap", dW: "tap" }[ref.map];
    return { side, at };
  },

  refOf(side, at) {
    const { model } = current, { n, c, f } = state.slice, pinned = state.pin;
    const map = side === "x" ? "dX" : "dO", shape = model.shape(map);
    const site = pinned && EXPLAINED[pinned.map] && model.shape(pinned.map).length === shape.length && pinned.map !== "db"
      ? pinned.index.slice(2).map((place, i) => Math.min(place, shape[i] - 1)) : shape.map((size) => Math.floor(size / 2));
    site[state.axis] = at;
    return { map, index: [n, side === "x" ? c : f, ...site] };
  },

  draw(model, axis, word) {
    const gap = 46, chosen = this.chosen(), most = 40, { transposed } = axis;
    // A transposed axis is read the other way round: above stands X, and below what its windows are cut from, dL/dO.
    const [upper, lower] = transposed ? ["x", "o"] : ["o", "x"], names = { x: "X", o: "dL/dO" };
    const windows = transposed ? axis.size : axis.output;
    const below = (position) => (transposed ? HELD.zeros(position - axis.before, axis.output) : axis.held(position));
    const own = (position) => position >= axis.before && position < axis.padded - axis.after;
    // Of a long axis, what is around the selection.
    const middle = !chosen ? 0 : chosen.side === upper ? chosen.at * axis.stride : chosen.at + axis.before;
    const from = axis.padded > most ? Math.max(0, Math.min(axis.padded - most, middle - most / 2)) : 0;
    const to = Math.min(axis.padded, from + most), x = (position) => 76 + (position - from) * gap;
    const top = 52, bottom = 250, tops = [], lines = [], letters = [];
    for (let i = 0; i < windows; i++) {
      const start = i * axis.stride;
      if (start < from || start + axis.span > to) continue;
      const at = x(start + (axis.span - 1) / 2);
      tops.push([i, at]);
      for (let tap = 0; tap < axis.kernel; tap++) {
        const position = start + tap * axis.dilation, end = below(position);
        const lit = chosen && ((chosen.side === lower && end === chosen.at) || (chosen.side === upper && i === chosen.at) || (chosen.side === "tap" && tap === chosen.at));
        const line = `<line x1="${at}" y1="${top + 16}" x2="${x(position)}" y2="${bottom - 16}" class="wire ${lit ? "lit" : ""} ${own(position) ? "" : "padding"}"/>`;
        if (!lit) lines.unshift(line);
        else {
          lines.push(line);
          const share = chosen.side === upper ? 0.72 : 0.3, left = at + (x(position) - at) * share, high = top + 16 + (bottom - top - 32) * share;
          letters.push(`<g class="tap"><circle cx="${left}" cy="${high}" r="13"/><text x="${left}" y="${high + 5}">${model.rank > 1 ? tap + state.base : letterOf(tap)}</text></g>`);
        }
      }
    }
    const values = model.rank === 1 ? { x: model.values("X", state.slice), o: model.values("dO", state.slice) } : null;
    const node = (side, at, left, high, kinds, label, text) =>
      `<g class="node ${kinds}" ${label ? `data-node="${side}" data-at="${at}"` : ""}><title>${label || "padding"}</title><circle cx="${left}" cy="${high}" r="17"/><text x="${left}" y="${high + 5}">${text}</text></g>`;
    const shown = (side, at) => (values ? short(values[side][at]) : at + state.base);
    const is = (side, at) => (chosen?.side === side && chosen.at === at ? "chosen" : "");
    const above = tops.map(([i, at]) => node(upper, i, at, top, is(upper, i), `${names[upper]} ${word} ${i + state.base}`, shown(upper, i)));
    const under = [], marks = tops.map(([i, at]) => `<text class="index" x="${at}" y="${top - 24}">${i + state.base}</text>`);
    for (let position = from; position < to; position++) {
      const at = below(position), copy = !own(position), read = at >= 0 && (lower === "o" || axis.readers(at).length);
      // A copy is told by its dashes, by its colour and by the sample that it is said to be.
      const kinds = `${at < 0 || !copy ? "" : "copy "}${copy ? "padding" : `${is(lower, at)} ${read ? "" : "unread"}`}`;
      under.push(at < 0 ? node("p", position, x(position), bottom, "padding", "", "0")
        : node(lower, at, x(position), bottom, kinds, `${copy ? "copy of " : ""}${names[lower]} ${word} ${at + state.base}`, shown(lower, at)));
      if (at >= 0) marks.push(`<text class="index" x="${x(position)}" y="${bottom + 36}">${copy ? "=" : ""}${at + state.base}</text>`);
    }
    const said = this.said(axis, chosen, word), width = x(to - 1) + 40;
    const cut = to - from < axis.padded ? `, positions ${from} to ${to - 1} of ${axis.padded}` : "";
    return `<svg viewBox="0 0 ${width} 300" width="${width}" height="300" role="img" aria-label="${escaped(`Wires along the ${word}s${cut}. ${said}`)}" class="wires">
      <text class="end" x="4" y="${top + 5}">${names[upper]}</text><text class="end" x="4" y="${bottom + 5}">${names[lower]}</text>${lines.join("")}${above.join("")}${under.join("")}${letters.join("")}${marks.join("")}</svg><p class="said">${escaped(said)}</p>`;
  },

  // What the lines that are lit say.
  said(axis, chosen, word) {
    if (!chosen) return "Select a sample of X or an entry of dL/dO.";
    const name = (tap) => `${tap + state.base}`;
    const base = state.base, list = (numbers) => numbers.map((each) => each + base).join(", ");
    if (chosen.side === "x") {
      const pairs = axis.readers(chosen.at), outputs = pairs.map(([o]) => o), taps = pairs.map(([, tap]) => tap);
      if (!pairs.length) return `No window reads ${word} ${chosen.at + base}.`;
      if (axis.transposed) return `${word} ${chosen.at + base} of X collects from its window of dL/dO: from ${list(outputs)} through ${taps.length === 1 ? "tap" : "taps"} ${list(taps)}, as they stand.`;
      const copies = axis.positions(chosen.at).length - 1;
      return `${word} ${chosen.at + base} of X is read by ${pairs.length === 1 ? "output" : "outputs"} ${list(outputs)}, ${copies ? `also as ${counted(copies, "copy", "copies")},` : "from left to right"} through ${pairs.length === 1 ? "tap" : "taps"} ${list(taps)}.`;
    }
    if (chosen.side === "o") {
      if (axis.transposed) {
        const met = Array.from({ length: axis.kernel }, (_, tap) => [axis.source(chosen.at, tap), tap]).filter(([sample]) => sample >= 0).sort(([one], [other]) => one - other);
        return met.length ? `Output ${chosen.at + base} is reached by X ${list(met.map(([sample]) => sample))}, from left to right through ${met.length === 1 ? "tap" : "taps"} ${list(met.map(([, tap]) => tap))}.` : `No entry of X reaches output ${chosen.at + base}.`;
      }
      const start = chosen.at * axis.stride - axis.before;
      const read = Array.from({ length: axis.kernel }, (_, tap) => (axis.copies ? axis.source(chosen.at, tap) : start + tap * axis.dilation));
      return `Output ${chosen.at + base} reads, through taps ${name(0)} to ${name(axis.kernel - 1)}, ${word}s ${list(read)}.`;
    }
    if (axis.transposed) return `Tap ${name(chosen.at)} takes every entry of X to one output.`;
    return `Tap ${name(chosen.at)} meets one sample in every window.`;
  },
};

const TURNED = "One axis alone. Every line is a tap: forward it carries an entry of X down, backward a gradient up. Select an output: from left to right, its lines are the last tap to the first. So here it is the forward pass that turns the kernel.";
