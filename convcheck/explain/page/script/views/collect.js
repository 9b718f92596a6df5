// Collect: the turned kernel slides over dL/dO, dilated and padded, and every place of it gives one entry of dL/dX.

views.collect = {
  order: 2,
  title: "Collect",
  about: () => (current.model.spec.transposed ? ASIS : `Output 0 reads a sample through a late tap, the next output through an earlier one: what reaches one entry of X meets the taps from the last to the first. So the kernel that slides over dL/dO is ${turnedWords()}. The terms are those of Hand back.${current.model.axes.some((axis) => axis.copies) ? " An entry collects at the places of its copies too." : ""}`),
  possible: () => true,
  steps: (model) => model.sites.input,
  refAt: (model, step) => ({ map: "dX", index: [state.slice.n, state.slice.c, ...siteOf(step, model.spec.input)] }),
  after: (model, time) => ({ dX: { hidden: (flat) => flat >= time, note: `${time} of ${model.sites.input}` } }),

  // The kernel as it slides, beside W and its taps lettered as there.
  panel() {
    // A transposed layer slides W itself.
    if (current.model.spec.transposed) return this.leave();
    const { model } = current, { kernel } = model.sites, weight = model.values("W", state.slice), marks = new Map();
    for (const [flat, mark] of currentMarks.W) marks.set(kernel - 1 - flat, mark);
    this.map ??= new MapView("turned", "W");
    if (!this.map.section.isConnected) maps.W.section.after(this.map.section);
    this.map.show({
      title: "W flipped", role: "input", note: `turned: ${turnedWords()}`, shape: model.spec.kernel, values: weight.slice().reverse(), marks,
      letters: (flat) => letterOf(kernel - 1 - flat), scale: largest(weight) * 1.1,
      refAt: (flat) => ({ map: "W", index: [...model.sliceBetween(state.slice.c, state.slice.f), ...siteOf(kernel - 1 - flat, model.spec.kernel)] }),
    });
  },

  leave() {
    this.map?.section.remove();
  },
};

const ASIS = "Forward, an entry of X was handed out to a window of O. It collects from the same window of dL/dO, through the same taps: the kernel slides as it is, in steps of the stride, and nothing is turned.";

const turnedWords = () => ({ 1: "reversed", 2: "rotated by 180°", 3: "reversed along all three axes" })[current.model.rank];
