// Hand back: every window adds its share, dL/dO times the kernel, to the entries of dL/dX that it read.

views.handback = {
  order: 1,
  title: "Hand back",
  about: () => {
    const { spec, axes } = current.model;
    if (spec.transposed) return "Every entry of dL/dO is handed back to the entries of X that reached it, times the tap through which each did; at an entry of X, that adds up.";
    const copies = axes.some((axis) => axis.copies) ? ` A tap on the padding read a copy (${spec.padding_mode}): its share goes to the sample itself.` : "";
    return `Every entry of dL/dO is handed back to the window it was made from: times each tap, to the sample that the tap read. Where windows overlap, the shares add up.${copies}`;
  },
  possible: () => true,
  steps: (model) => model.sites.output,
  refAt: (model, step) => ({ map: "dO", index: [state.slice.n, state.slice.f, ...siteOf(step, model.output)] }),

  // dL/dX after some windows, those of all filters: {dX: {values, hidden, note}}.
  after(model, time) {
    const { n, c } = state.slice, values = new Float64Array(model.sites.input), met = new Uint8Array(model.sites.input);
    for (const filter of model.filtersOf(c)) model.handBack(values, n, c, filter, 0, time);
    const { kernel } = model.sites;
    for (let at = 0; at < time * kernel; at++) if (model.sources[at] >= 0) met[model.sources[at]] = 1;
    return { dX: { values, hidden: (flat) => !met[flat], note: `after ${counted(time, "window")}` } };
  },
};
