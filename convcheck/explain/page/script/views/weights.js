// Weights: dL/dO is laid over X, once for every tap; the products add up to that tap of dL/dW.

views.weights = {
  order: 3,
  title: "Weights",
  about: () => (current.model.spec.transposed ? "A tap of the kernel took every entry of X to one output. Its gradient is the sum of those entries, each times the dL/dO that it was taken to." : "A tap of the kernel met one sample of X in every window. Its gradient is the sum of those samples, each times the dL/dO of its window: dL/dO, spread by the stride, laid over X at the tap's place."),
  possible: () => true,
  steps: (model) => model.sites.kernel,
  refAt: (model, step) => ({ map: "dW", index: [...model.sliceBetween(state.slice.c, state.slice.f), ...siteOf(step, model.spec.kernel)] }),
  after: (model, time) => ({ dW: { hidden: (flat) => flat >= time, note: `${time} of ${model.sites.kernel} taps` } }),
};
