// Channels: F filters of depth C going forward are C filters of depth F going back.

views.channels = {
  order: 6,
  title: "Channels",
  about: () => {
    const { model } = current, forward = counted(model.count, "filter"), back = counted(model.depth, "filter");
    const groups = model.spec.groups > 1 ? ` in each of ${model.spec.groups} groups, which do not mix` : "";
    if (model.spec.transposed) return `Backward, the slices of a row, as they are, make one channel of dL/dX${groups}. Forward, those of a column, each of them ${turnedWords()}, make one map of O.`;
    return `Forward, ${forward} of depth ${model.depth}${groups}: a frame around each column. Backward, ${back} of depth ${model.count}: a frame around each row, whose slices, each of them ${turnedWords()}, make one channel of dL/dX.`;
  },
  possible: () => current.model.kept.channels[1] * current.model.kept.filters[1] > 1,

  panel(box) {
    const { model } = current, { c, f } = state.slice, MOST = 24;
    const channels = around(model.range("channels"), c, MOST), filters = around(model.range("filters"), f, MOST);
    const scale = largest(model.arrays.weight.values);
    const grid = (title, className, turned) => {
      const head = element("tr", {}, element("td"), ...filters.map((filter) => element("th", { scope: "col" }, `f${filter + state.base}`)));
      const rows = channels.map((channel) => element("tr", {}, element("th", { scope: "row" }, `channel ${channel + state.base}`), ...filters.map((filter) => {
        if (!model.reads(filter, channel)) {
          const why = `filter ${filter + state.base} is in group ${model.groupOf(filter) + state.base}, channel ${channel + state.base} in group ${Math.floor(channel / model.depth) + state.base}`;
          return element("td", { class: "unreachable", title: why }, element("span", { class: "hidden-words" }, why));
        }
        const weight = model.weight(filter, channel);
        const button = element("button", { type: "button", class: "thumb", "aria-pressed": String(filter === f && channel === c),
          "aria-label": `${turned ? "turned slice" : "slice"} of filter ${filter + state.base} for channel ${channel + state.base}`,
          onclick: () => { Object.assign(state.slice, { c: channel, f: filter }); repin(); render(); } },
        thumbnail(turned ? weight.slice().reverse() : weight, model.spec.kernel, scale));
        return element("td", {}, button);
      })));
      return element("figure", { class: `slices ${className}` }, element("figcaption", {}, title),
        element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": title }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))));
    };
    const some = channels.length < model.spec.channels || filters.length < model.spec.filters
      ? element("p", { class: "note" }, `Shown: channels ${channels[0] + state.base} to ${channels.at(-1) + state.base} of ${model.spec.channels}, filters ${filters[0] + state.base} to ${filters.at(-1) + state.base} of ${model.spec.filters}.`) : "";
    const grids = model.spec.transposed
      ? [grid("Forward: each column is one filter, its slices flipped", "columns", true), grid("Backward: each row is one filter", "rows", false)]
      : [grid("Forward: each column is one filter", "columns", false), grid("Backward: each row is one filter, its slices flipped", "rows", true)];
    box.replaceChildren(...grids, some);
  },
};

// What filters, samples or channels have each in the selected sum: "−13 − 19 + 1 = −31".
function drawBars(box) {
  box.replaceChildren();
  if (!shownRef || shownTerms.shared || state.quiz) return;
  const key = { dX: "f", O: "c", dW: "n", db: "n" }[shownRef.map], word = { f: "filter", c: "channel", n: "sample" }[key];
  const sums = new Map();
  for (const term of shownTerms.terms) {
    const name = term[key] === undefined ? "bias" : `${word} ${term[key] + state.base}`;
    if (!sums.has(name)) sums.set(name, []);
    sums.get(name).push(term.value);
  }
  if (sums.size < 2) return;
  const parts = [...sums].map(([name, values]) => [name, exactSum(values)]);
  if (shownTerms.rest !== undefined) parts.push(["others", shownTerms.rest]);
  const scale = largest(parts.map(([, value]) => value)), few = parts.slice(0, 12);
  const text = few.map(([, value], i) => (i ? ` ${value < 0 ? "−" : "+"} ${readable(Math.abs(value))}` : readable(value))).join("");
  box.append(element("p", { class: "parts" }, `${text}${parts.length > few.length ? ` + ${parts.length - few.length} more` : ""} = ${readable(shownTerms.value)}`),
    element("ul", { class: "bars" }, ...few.map(([name, value]) => element("li", {},
      element("span", {}, name),
      element("span", { class: "track" }, element("i", { class: value < 0 ? "below" : "above", style: `--part:${Math.abs(value) / scale}` })),
      element("b", {}, readable(value))))));
}
