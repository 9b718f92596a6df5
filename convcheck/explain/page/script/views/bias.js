// Bias: it enters every output once, so its gradient is the sum of all dL/dO of its filter.

views.bias = {
  order: 4,
  title: "Bias",
  about: "The bias of a filter is added to each of its outputs, once and with factor 1: its gradient is the sum of dL/dO over all outputs and all samples.",
  possible: () => current.model.spec.bias,
  steps: (model) => model.sites.output,
  refAt: (model, step) => ({ map: "dO", index: [state.slice.n, state.slice.f, ...siteOf(step, model.output)] }),

  after(model, time) {
    const { n, f } = state.slice, values = model.values("db", {}).slice();
    const before = model.range("samples").filter((sample) => sample < n);
    values[f - model.kept.filters[0]] = exactSum([...before.flatMap((sample) => [...model.gradOutput(sample, f)]), ...model.gradOutput(n, f).slice(0, time)]);
    return { db: { values, note: `filter ${f + state.base} after ${counted(time, "output")} of sample ${n + state.base}` } };
  },
};
