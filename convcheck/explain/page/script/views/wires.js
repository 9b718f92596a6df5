// Wires: one axis alone, X below, dL/dO above, a line for every tap through which an output reads a sample.

views.wires = {
  order: 7,
  title: "Wires",
  about: "One axis alone. Every line is a tap: forward it carries a sample up, backward a gradient down. Select a sample of X: its lines fan out to later and later outputs, and from left to right they are the last tap to the first. That is why the kernel is turned.",
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
    const gap = 46, chosen = this.chosen(), most = 40;
    // Of a long axis, what is around the selection.
    const middle = !chosen ? 0 : chosen.side === "o" ? chosen.at * axis.stride : chosen.at + axis.before;
    const from = axis.padded > most ? Math.max(0, Math.min(axis.padded - most, middle - most / 2)) : 0;
    const to = Math.min(axis.padded, from + most), x = (position) => 60 + (position - from) * gap;
    const top = 52, bottom = 250, outputs = [], lines = [], letters = [];
    for (let o = 0; o < axis.output; o++) {
      const start = o * axis.stride;
      if (start < from || start + axis.span > to) continue;
      const at = x(start + (axis.span - 1) / 2);
      outputs.push([o, at]);
      for (let tap = 0; tap < axis.kernel; tap++) {
        const position = start + tap * axis.dilation, sample = position - axis.before, real = sample >= 0 && sample < axis.size;
        const lit = chosen && ((chosen.side === "x" && sample === chosen.at) || (chosen.side === "o" && o === chosen.at) || (chosen.side === "tap" && tap === chosen.at));
        const line = `<line x1="${at}" y1="${top + 16}" x2="${x(position)}" y2="${bottom - 16}" class="wire ${lit ? "lit" : ""} ${real ? "" : "padding"}"/>`;
        if (!lit) lines.unshift(line);
        else {
          lines.push(line);
          const share = chosen.side === "o" ? 0.72 : 0.3, left = at + (x(position) - at) * share, high = top + 16 + (bottom - top - 32) * share;
          letters.push(`<g class="tap"><circle cx="${left}" cy="${high}" r="13"/><text x="${left}" y="${high + 5}">${model.rank > 1 ? tap + state.base : letterOf(tap)}</text></g>`);
        }
      }
    }
    const values = model.rank === 1 ? { x: model.values("X", state.slice), o: model.values("dO", state.slice) } : null;
    const node = (side, at, left, high, names, label, text) =>
      `<g class="node ${names}" ${label ? `data-node="${side}" data-at="${at}"` : ""}><title>${label || "padding"}</title><circle cx="${left}" cy="${high}" r="17"/><text x="${left}" y="${high + 5}">${text}</text></g>`;
    const upper = outputs.map(([o, at]) => node("o", o, at, top, chosen?.side === "o" && chosen.at === o ? "chosen" : "", `dL/dO ${word} ${o + state.base}`, values ? short(values.o[o]) : o + state.base));
    const lower = [];
    for (let position = from; position < to; position++) {
      const sample = position - axis.before, real = sample >= 0 && sample < axis.size;
      lower.push(real ? node("x", sample, x(position), bottom, `${chosen?.side === "x" && chosen.at === sample ? "chosen" : ""} ${axis.readers(sample).length ? "" : "unread"}`, `X ${word} ${sample + state.base}`, values ? short(values.x[sample]) : sample + state.base)
        : node("p", position, x(position), bottom, "padding", "", "0"));
    }
    const marks = [...outputs.map(([o, at]) => `<text class="index" x="${at}" y="${top - 24}">${o + state.base}</text>`),
      ...Array.from({ length: to - from }, (_, i) => from + i - axis.before).filter((sample) => sample >= 0 && sample < axis.size).map((sample) => `<text class="index" x="${x(sample + axis.before)}" y="${bottom + 36}">${sample + state.base}</text>`)];
    const said = this.said(axis, chosen, word), width = x(to - 1) + 40;
    const cut = to - from < axis.padded ? `, positions ${from} to ${to - 1} of ${axis.padded}` : "";
    return `<svg viewBox="0 0 ${width} 300" width="${width}" height="300" role="img" aria-label="${escaped(`Wires along the ${word}s${cut}. ${said}`)}" class="wires">
      <text class="end" x="4" y="${top + 5}">dL/dO</text><text class="end" x="4" y="${bottom + 5}">X</text>${lines.join("")}${upper.join("")}${lower.join("")}${letters.join("")}${marks.join("")}</svg><p class="said">${escaped(said)}</p>`;
  },

  // What the lines that are lit say.
  said(axis, chosen, word) {
    if (!chosen) return "Select a sample of X or an entry of dL/dO.";
    const name = (tap) => `${tap + state.base}`;
    if (chosen.side === "x") {
      const pairs = axis.readers(chosen.at);
      if (!pairs.length) return `No window reads ${word} ${chosen.at + state.base}.`;
      return `${word} ${chosen.at + state.base} of X is read by ${pairs.length === 1 ? "output" : "outputs"} ${pairs.map(([o]) => o + state.base).join(", ")}, from left to right through ${pairs.length === 1 ? "tap" : "taps"} ${pairs.map(([, tap]) => name(tap)).join(", ")}.`;
    }
    if (chosen.side === "o") {
      const start = chosen.at * axis.stride - axis.before;
      return `Output ${chosen.at + state.base} reads, through taps ${name(0)} to ${name(axis.kernel - 1)}, ${word}s ${Array.from({ length: axis.kernel }, (_, tap) => start + tap * axis.dilation + state.base).join(", ")}.`;
    }
    return `Tap ${name(chosen.at)} meets one sample in every window.`;
  },
};
