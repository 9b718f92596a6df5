// The mathematics of a layer: which output reads which input through which tap, and the sums that follow from it.
// A site is a place on the spatial axes, and is counted flat: the last axis fastest.

const KIND = { VALUE: 0, INSERTED: 1, REMAINDER: 2, BORDER: 3, UNREAD: 4 };

const AXIS_WORDS = { 1: ["position"], 2: ["row", "column"], 3: ["plane", "row", "column"] };

// The sample that a place beside the input holds, by the padding mode; -1 for a zero.
const HELD = {
  zeros: (place, size) => (place < 0 || place >= size ? -1 : place),
  circular: (place, size) => ((place % size) + size) % size,
  replicate: (place, size) => Math.max(0, Math.min(size - 1, place)),
  reflect: (place, size) => {
    const back = Math.max(2 * (size - 1), 1), at = ((place % back) + back) % back;
    return size > 1 ? Math.min(at, back - at) : 0;
  },
};

class Axis {
  constructor(size, kernel, stride, dilation, before, after, { mode = "zeros", transposed = false, behind = 0 } = {}) {
    Object.assign(this, { size, kernel, stride, dilation, before, after, kind: { mode, transposed, behind }, mode, transposed, behind });
    this.span = dilation * (kernel - 1) + 1;
    this.copies = mode !== "zeros" && before + after > 0;
    if (transposed) {
      this.padded = (size - 1) * stride + this.span + behind;
      this.output = this.padded - before - after;
      this.remainder = behind;
      // Nothing is spread: windows of dL/dO, with its padding, are read in steps of the stride.
      Object.assign(this, { step: 1, spread: this.output, front: before, full: this.padded });
      return;
    }
    this.padded = size + before + after;
    this.output = Math.floor((this.padded - this.span) / stride) + 1;
    this.remainder = (this.padded - this.span) % stride;
    // dL/dO with stride - 1 zeros between its samples, and the border with which the turned kernel reaches all of X;
    // or, where the padding holds copies, all of the padded X.
    this.step = stride;
    this.spread = (this.output - 1) * stride + 1;
    this.front = this.span - 1 - (this.copies ? 0 : before);
    this.full = (this.copies ? this.padded : size) + this.span - 1;
  }

  // The same axis with another size.
  with(name, value) {
    const sizes = { size: this.size, kernel: this.kernel, stride: this.stride, dilation: this.dilation, before: this.before, after: this.after };
    return new Axis(...Object.values({ ...sizes, [name === "input" ? "size" : name]: value }), this.kind);
  }

  // Why there is no such axis; empty if there is.
  get fault() {
    const { size, kernel, padded, dilation } = this;
    if (this.transposed) {
      if (this.output < 1) return "the padding would remove every output";
      return this.behind >= Math.max(this.stride, dilation) ? `output padding ${this.behind} needs a stride or a dilation above it` : "";
    }
    const most = { circular: size, reflect: size - 1 }[this.mode] ?? Infinity;
    if (Math.max(this.before, this.after) > most) return `${this.mode} padding is at most ${most} on ${counted(size, "sample")}`;
    return padded < this.span ? `a kernel of ${kernel} taps, ${dilation} apart, does not fit into ${padded} padded samples` : "";
  }

  // The sample that a padded position holds; -1 for a zero.
  held = (position) => HELD[this.mode](position - this.before, this.size);

  // Padded positions that hold a sample: its own first, then its copies.
  positions(sample) {
    const own = sample + this.before;
    if (!this.copies) return [own];
    return [own, ...Array.from({ length: this.padded }, (_, position) => position).filter((position) => position !== own && this.held(position) === sample)];
  }

  // The sample that an output reads through a tap; -1 where there is none.
  source(output, tap) {
    if (!this.transposed) return this.held(output * this.stride + tap * this.dilation);
    const start = output + this.before - tap * this.dilation, sample = start / this.stride;
    return start % this.stride || sample < 0 || sample >= this.size ? -1 : sample;
  }

  // Pairs [output, tap] that read a sample of the input, in order of the output, as often as they read it.
  readers(sample) {
    if (!this.lists) {
      this.lists = Array.from({ length: this.size }, () => []);
      for (let output = 0; output < this.output; output++)
        for (let tap = 0; tap < this.kernel; tap++) this.lists[this.source(output, tap)]?.push([output, tap]);
    }
    return this.lists[sample];
  }

  // Why no output reads a sample through a tap; empty if one does.
  tapFault(sample, tap) {
    if (this.transposed) {
      const output = sample * this.stride + tap * this.dilation - this.before;
      return output < 0 || output >= this.output ? `output ${output} does not exist` : "";
    }
    return this.atAll(sample, (position) => this.positionFault(position, tap));
  }

  positionFault(position, tap) {
    const start = position - tap * this.dilation;
    if (start < 0) return `the window would start at ${start}, before the padded input`;
    if (start % this.stride) return `the window would start at ${start}, which is no multiple of the stride ${this.stride}`;
    const output = start / this.stride, last = this.output - 1;
    return output > last ? `the window would be output ${output}, and the last is ${last}` : "";
  }

  // What is wrong at a sample's position and at those of its copies; empty if it is not so at one of them.
  atAll(sample, faultAt) {
    const positions = this.positions(sample), faults = positions.map(faultAt);
    return faults.every(Boolean) ? faults.map((fault, i) => (i ? `its copy at ${positions[i]}: ${fault}` : fault)).join("; ") : "";
  }

  // Why an output does not read a sample; empty if it does.
  outputFault(sample, output) {
    if (!this.transposed) return this.atAll(sample, (position) => this.faultBetween(output * this.stride, position, "its window", "position"));
    return this.faultBetween(sample * this.stride - this.before, output, `the window of ${sample}`, "output");
  }

  faultBetween(start, at, window, word) {
    const off = at - start;
    if (off < 0) return `${window} starts at ${start}, behind ${word} ${at}`;
    if (off >= this.span) return `${window} ends at ${start + this.span - 1}, before ${word} ${at}: no such tap`;
    return off % this.dilation ? `${word} ${at} lies between two taps (dilation ${this.dilation})` : "";
  }

  // Why a transposed axis's output reads no sample through a tap; empty if it does.
  spreadFault(output, tap) {
    const start = output + this.before - tap * this.dilation, sample = Math.floor(start / this.stride);
    if (start % this.stride) return `X, dilated, has a zero at ${start}, which is no multiple of the stride ${this.stride}`;
    return sample < 0 || sample >= this.size ? `X has no entry ${sample}` : "";
  }

  // Where the kernel lies, in the map that is spread or padded, while it makes an entry of dL/dX: place of each tap.
  laid(sample, tap) {
    if (this.transposed) return [sample * this.stride + tap * this.dilation];
    const last = this.span - 1 - tap * this.dilation;
    return this.copies ? this.positions(sample).map((position) => position + last) : [sample + last];
  }

  kindOfSpread(index) {
    const place = index - this.front;
    if (place < 0 || place >= this.spread + (this.transposed ? 0 : this.remainder)) return KIND.BORDER;
    if (this.transposed) return Array.from({ length: this.kernel }, (_, tap) => this.source(place, tap)).some((sample) => sample >= 0) ? KIND.VALUE : KIND.UNREAD;
    if (place >= this.spread) return KIND.REMAINDER;
    return place % this.stride ? KIND.INSERTED : KIND.VALUE;
  }
}

const product = (numbers) => numbers.reduce((all, each) => all * each, 1);

function siteOf(flat, shape) {
  const site = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    site[axis] = flat % shape[axis];
    flat = Math.floor(flat / shape[axis]);
  }
  return site;
}

const flatOf = (site, shape) => site.reduce((flat, place, axis) => flat * shape[axis] + place, 0);

const inside = (site, shape) => site.every((place, axis) => place >= 0 && place < shape[axis]);

// All combinations of one item of each list, the last list fastest.
const combinations = (lists) =>
  lists.reduce((all, list) => all.flatMap((head) => list.map((each) => [...head, each])), [[]]);

// The sum, correctly rounded however many terms there are (Shewchuk 1997: partial sums that do not overlap).
function exactSum(numbers) {
  const partials = [];
  for (let x of numbers) {
    if (!Number.isFinite(x)) return numbers.reduce((all, each) => all + each, 0);
    let kept = 0;
    for (let y of partials) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y, low = y - (high - x);
      if (low) partials[kept++] = low;
      x = high;
    }
    partials.length = kept;
    partials.push(x);
  }
  let total = 0;
  while (partials.length) {
    const next = partials.pop(), before = total;
    total = before + next;
    const low = next - (total - before);
    if (low) {
      // Half way between two numbers, the rest decides.
      if (partials.length && Math.sign(partials[partials.length - 1]) === Math.sign(low)) {
        const twice = 2 * low, rounded = total + twice;
        if (twice === rounded - total) total = rounded;
      }
      break;
    }
  }
  return total;
}

const BYTES = { int16: Int16Array, int32: Int32Array, float64: Float64Array };

// An array as Python packed it: {shape, as, text} -> {shape, values}.
function unpacked({ shape, as, text }) {
  if (as === "characters") return { shape, values: Float64Array.from(text, (each) => each.charCodeAt(0) - 79) };
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  if (as !== "bits") return { shape, values: Float64Array.from(new BYTES[as](bytes.buffer)) };
  return { shape, values: Float64Array.from({ length: product(shape) }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1) };
}

// An axis of a layer with other sizes: its kind stays.
const axisOf = (sizes, spec, i) => new Axis(...sizes, { mode: spec.padding_mode, transposed: spec.transposed, behind: spec.output_padding[i] });

// A layer with its numbers. `kept` says which samples, channels and filters are there, [first, count] each.
class Model {
  constructor(spec, arrays, kept, totals = {}) {
    Object.assign(this, { spec, arrays, kept, totals });
    this.rank = spec.input.length;
    this.axes = spec.input.map((size, i) => axisOf([size, spec.kernel[i], spec.stride[i], spec.dilation[i], ...spec.padding[i]], spec, i));
    this.output = this.axes.map((axis) => axis.output);
    this.depth = spec.channels / spec.groups;
    this.count = spec.filters / spec.groups;
    this.sites = { input: product(spec.input), kernel: product(spec.kernel), output: product(this.output) };
    // Of the slices of W that are kept, the first two indices of the first one.
    const own = spec.transposed ? kept.filters[1] === spec.filters ? 0 : kept.filters[0] % this.count
      : kept.channels[1] === spec.channels ? 0 : kept.channels[0] % this.depth;
    this.firstSlice = [spec.transposed ? kept.channels[0] : kept.filters[0], own];
    this.known = new Map();
  }

  shape(map) {
    if (map === "db") return [this.kept.filters[1]];
    if (map === "spread") return this.axes.map((axis) => axis.full);
    return { X: this.spec.input, dX: this.spec.input, W: this.spec.kernel, dW: this.spec.kernel }[map] || this.output;
  }

  range(name) {
    const [first, count] = this.kept[name];
    return Array.from({ length: count }, (_, i) => first + i);
  }

  has = (name, number) => number >= this.kept[name][0] && number < this.kept[name][0] + this.kept[name][1];
  groupOf = (filter) => Math.floor(filter / this.count);
  reads = (filter, channel) => this.groupOf(filter) === Math.floor(channel / this.depth);
  filtersOf = (channel) => this.range("filters").filter((filter) => this.reads(filter, channel));
  channelsOf = (filter) => this.range("channels").filter((channel) => this.reads(filter, channel));

  slice(name, first, second) {
    const { shape, values } = this.arrays[name];
    const size = product(shape.slice(2)), start = (first * shape[1] + second) * size;
    return values.subarray(start, start + size);
  }

  x = (n, c) => this.slice("x", n - this.kept.samples[0], c - this.kept.channels[0]);
  weight = (f, c) => this.slice("weight", ...this.sliceBetween(c, f).map((each, i) => each - this.firstSlice[i]));

  // The first two indices of W's slice between a channel and a filter; and the other way round.
  sliceBetween = (c, f) => (this.spec.transposed ? [c, f % this.count] : [f, c % this.depth]);
  endsOf = (first, second) => (this.spec.transposed
    ? { c: first, f: Math.floor(first / this.depth) * this.count + second } : { c: this.groupOf(first) * this.depth + second, f: first });
  gradOutput = (n, f) => this.slice("grad_output", n - this.kept.samples[0], f - this.kept.filters[0]);
  bias = (f) => (this.arrays.bias ? this.arrays.bias.values[f - this.kept.filters[0]] : 0);

  // For every output and tap the sample of the input that is read, or -1 where that is padding.
  get sources() {
    return this.once("sources", () => {
      const { output, kernel } = this.sites, table = new Int32Array(output * kernel);
      const taps = Array.from({ length: kernel }, (_, tap) => siteOf(tap, this.spec.kernel));
      for (let o = 0; o < output; o++) {
        const start = siteOf(o, this.output);
        for (let tap = 0; tap < kernel; tap++) {
          let flat = 0;
          for (let i = 0; i < this.rank && flat >= 0; i++) {
            const place = this.axes[i].source(start[i], taps[tap][i]);
            flat = place < 0 ? -1 : flat * this.spec.input[i] + place;
          }
          table[o * kernel + tap] = flat;
        }
      }
      return table;
    });
  }

  once(key, make) {
    if (!this.known.has(key)) this.known.set(key, make());
    return this.known.get(key);
  }

  // The numbers of a map, for a slice {n, c, f}.
  values(map, { n, c, f }) {
    const kernel = this.sites.kernel;
    switch (map) {
      case "X": return this.x(n, c);
      case "W": return this.weight(f, c);
      case "dO": return this.gradOutput(n, f);
      case "spread": return this.once(`spread ${n} ${f}`, () => this.spreadOut(this.gradOutput(n, f)));
      case "O": return this.once(`O ${n} ${f}`, () => {
        const out = new Float64Array(this.sites.output).fill(this.bias(f));
        for (const channel of this.channelsOf(f)) {
          const x = this.x(n, channel), weight = this.weight(f, channel);
          this.eachPair((o, tap, p) => { out[o] += x[p] * weight[tap]; });
        }
        return out;
      });
      case "dX": return this.once(`dX ${n} ${c}`, () => {
        const out = this.start("input", n - this.kept.samples[0], c - this.kept.channels[0], this.sites.input);
        if (!out.whole) for (const filter of this.filtersOf(c)) this.handBack(out.values, n, c, filter, 0, this.sites.output);
        return out.values;
      });
      case "dW": return this.once(`dW ${f} ${c}`, () => {
        const out = this.start("weight", ...this.sliceBetween(c, f).map((each, i) => each - this.firstSlice[i]), kernel);
        if (!out.whole) {
          for (const sample of this.range("samples")) {
            const x = this.x(sample, c), gradient = this.gradOutput(sample, f);
            this.eachPair((o, tap, p) => { out.values[tap] += gradient[o] * x[p]; });
          }
        }
        return out.values;
      });
      default: return this.once("db", () => {
        if (this.totals.bias) return this.totals.bias.values;
        return Float64Array.from(this.range("filters"), (filter) =>
          exactSum(this.range("samples").flatMap((sample) => [...this.gradOutput(sample, filter)])));
      });
    }
  }

  // Zeros to add to, or the whole sum where not all of its terms are there.
  start(name, first, second, size) {
    const total = this.totals[name];
    if (!total) return { whole: false, values: new Float64Array(size) };
    const at = (first * total.shape[1] + second) * size;
    return { whole: true, values: total.values.slice(at, at + size) };
  }

  eachPair(visit) {
    const { output, kernel } = this.sites, sources = this.sources;
    for (let o = 0, at = 0; o < output; o++)
      for (let tap = 0; tap < kernel; tap++, at++) if (sources[at] >= 0) visit(o, tap, sources[at]);
  }

  // Add what some windows of a filter hand back to a channel of dL/dX.
  handBack(out, n, c, f, first, last) {
    const kernel = this.sites.kernel, sources = this.sources, weight = this.weight(f, c), gradient = this.gradOutput(n, f);
    for (let o = first; o < last; o++)
      for (let tap = 0; tap < kernel; tap++) {
        const p = sources[o * kernel + tap];
        if (p >= 0) out[p] += gradient[o] * weight[tap];
      }
  }

  spreadOut(gradient) {
    const shape = this.shape("spread"), out = new Float64Array(product(shape));
    gradient.forEach((value, o) => {
      const site = this.spreadSite(siteOf(o, this.output));
      if (inside(site, shape)) out[flatOf(site, shape)] = value;
    });
    return out;
  }

  spreadSite = (output) => output.map((place, i) => place * this.axes[i].step + this.axes[i].front);

  // What every cell of a map is; null where all are values.
  kinds(map) {
    return this.once(`kinds ${map}`, () => {
      const shape = this.shape(map);
      let perAxis;
      if (map === "spread") {
        perAxis = this.axes.map((axis) => Array.from({ length: axis.full }, (_, i) => axis.kindOfSpread(i)));
      } else if (map === "X" || map === "dX") {
        perAxis = this.axes.map((axis) =>
          Array.from({ length: axis.size }, (_, i) => (axis.readers(i).length ? KIND.VALUE : KIND.UNREAD)));
      } else return null;
      return Uint8Array.from({ length: product(shape) }, (_, flat) =>
        Math.max(...siteOf(flat, shape).map((place, i) => perAxis[i][place])));
    });
  }

  // Pairs [output, tap], flat, that read a sample of the input.
  pairs(site) {
    return combinations(this.axes.map((axis, i) => axis.readers(site[i]))).map((chosen) => [
      flatOf(chosen.map(([output]) => output), this.output), flatOf(chosen.map(([, tap]) => tap), this.spec.kernel)]);
  }

  inWords(faults) {
    return faults.map((fault, i) => fault && `${AXIS_WORDS[this.rank][i]}: ${fault}`).filter(Boolean).join("; ");
  }

  // Why an output and a tap meet no sample of the input.
  onPadding(output, tap) {
    if (this.spec.transposed) return this.inWords(this.axes.map((axis, i) => axis.spreadFault(output[i], tap[i])));
    const outside = this.outside(this.axes.map((axis, i) => (axis.source(output[i], tap[i]) < 0 ? output[i] * axis.stride + tap[i] * axis.dilation - axis.before : null)));
    return outside ? `reads padding, which is 0 (${outside} of the input does not exist)` : "";
  }

  outside = (places) => places.map((place, i) => (place === null ? "" : `${AXIS_WORDS[this.rank][i]} ${place}`)).filter(Boolean).join(" and ");

  // Why an entry of a transposed layer's X reaches no output through a tap.
  removed(site, tap) {
    const outside = this.outside(this.axes.map((axis, i) => {
      const output = site[i] * axis.stride + tap[i] * axis.dilation - axis.before;
      return output < 0 || output >= axis.output ? output : null;
    }));
    return outside ? `its tap reaches ${outside} of the output, which does not exist` : "";
  }

  // Everything that an entry is the sum of, or, for dL/dO, all that it is handed back to.
  terms({ map, index }) {
    const found = { X: this.inputTerms, dX: this.inputTerms, W: this.weightTerms, dW: this.weightTerms,
      db: this.biasTerms, O: this.outputTerms, dO: this.shares }[map].call(this, index);
    found.sum = exactSum(found.terms.map((term) => term.value));
    found.value = found.sum;
    const name = { X: "input", dX: "input", W: "weight", dW: "weight", db: "bias" }[map];
    if (name && this.totals[name]) {
      // Not all terms are there: the rest is what is missing to the total.
      found.value = this.valueAt({ map: { input: "dX", weight: "dW", bias: "db" }[name], index });
      found.rest = exactSum([found.value, -found.sum]);
    }
    return found;
  }

  valueAt({ map, index }) {
    if (map === "db") return this.values("db", {})[index[0] - this.kept.filters[0]];
    const [first, second, ...site] = index;
    const own = map === "dW" || map === "W";
    const slice = own
      ? this.endsOf(first, second)
      : map === "O" || map === "dO" ? { n: first, f: second } : { n: first, c: second };
    return this.values(map, slice)[flatOf(site, this.shape(map))];
  }

  term(factors, places) {
    return { factors, value: factors.reduce((all, factor) => all * factor.value, 1), ...places };
  }

  // The taps for which there is a reason to fall away.
  fallen = (whyOf) => Array.from({ length: this.sites.kernel }, (_, tap) => siteOf(tap, this.spec.kernel))
    .map((tap) => ({ what: `tap [${tap}]`, why: whyOf(tap) })).filter(({ why }) => why);

  inputTerms([n, c, ...site]) {
    const pairs = this.pairs(site), p = flatOf(site, this.spec.input);
    const terms = this.filtersOf(c).flatMap((f) => {
      const gradient = this.gradOutput(n, f), weight = this.weight(f, c);
      return pairs.map(([o, tap]) => this.term([
        { array: "grad_output", index: [n, f, ...siteOf(o, this.output)], value: gradient[o] },
        { array: "weight", index: [...this.sliceBetween(c, f), ...siteOf(tap, this.spec.kernel)], value: weight[tap] },
      ], { n, c, f, o, tap, p }));
    });
    return { terms, excluded: this.fallen((tap) => this.inWords(this.axes.map((axis, i) => axis.tapFault(site[i], tap[i])))) };
  }

  weightTerms([first, second, ...tap]) {
    const { c, f } = this.endsOf(first, second), t = flatOf(tap, this.spec.kernel);
    const terms = [], excluded = [], { transposed } = this.spec;
    // Every output with the sample that it reads; of a transposed layer, every entry of X with the output it reaches.
    const met = [], reach = (site) => flatOf(site.map((place, i) => place * this.axes[i].stride + tap[i] * this.axes[i].dilation - this.axes[i].before), this.output);
    for (let at = 0; at < (transposed ? this.sites.input : this.sites.output); at++) {
      const site = siteOf(at, transposed ? this.spec.input : this.output), why = transposed ? this.removed(site, tap) : this.onPadding(site, tap);
      if (why) excluded.push({ what: `${transposed ? "entry" : "output"} [${site}]`, why });
      else met.push(transposed ? [reach(site), at] : [at, this.sources[at * this.sites.kernel + t]]);
    }
    for (const n of this.range("samples")) {
      const gradient = this.gradOutput(n, f), x = this.x(n, c);
      for (const [o, p] of met) {
        terms.push(this.term([
          { array: "grad_output", index: [n, f, ...siteOf(o, this.output)], value: gradient[o] },
          { array: "x", index: [n, c, ...siteOf(p, this.spec.input)], value: x[p] },
        ], { n, c, f, o, tap: t, p }));
      }
    }
    return { terms, excluded };
  }

  biasTerms([f]) {
    const terms = this.range("samples").flatMap((n) => Array.from(this.gradOutput(n, f), (value, o) =>
      this.term([{ array: "grad_output", index: [n, f, ...siteOf(o, this.output)], value }], { n, f, o })));
    return { terms, excluded: [] };
  }

  outputTerms([n, f, ...output]) {
    const o = flatOf(output, this.output), terms = [];
    for (const c of this.channelsOf(f)) {
      const x = this.x(n, c), weight = this.weight(f, c);
      for (let tap = 0; tap < this.sites.kernel; tap++) {
        const p = this.sources[o * this.sites.kernel + tap];
        if (p < 0) continue;
        terms.push(this.term([
          { array: "weight", index: [...this.sliceBetween(c, f), ...siteOf(tap, this.spec.kernel)], value: weight[tap] },
          { array: "x", index: [n, c, ...siteOf(p, this.spec.input)], value: x[p] },
        ], { n, c, f, o, tap, p }));
      }
    }
    if (this.spec.bias) terms.push(this.term([{ array: "bias", index: [f], value: this.bias(f) }], { n, f, o }));
    return { terms, excluded: this.fallen((tap) => this.onPadding(output, tap)) };
  }

  // What an entry of dL/dO pays into: an entry of dL/dX for every tap of its window.
  shares([n, f, ...output]) {
    const o = flatOf(output, this.output), value = this.gradOutput(n, f)[o], terms = [];
    for (const c of this.channelsOf(f)) {
      const weight = this.weight(f, c);
      for (let tap = 0; tap < this.sites.kernel; tap++) {
        const p = this.sources[o * this.sites.kernel + tap];
        if (p < 0) continue;
        terms.push(this.term([
          { array: "grad_output", index: [n, f, ...output], value },
          { array: "weight", index: [...this.sliceBetween(c, f), ...siteOf(tap, this.spec.kernel)], value: weight[tap] },
        ], { n, c, f, o, tap, p, into: { map: "dX", index: [n, c, ...siteOf(p, this.spec.input)] } }));
      }
    }
    return { terms, excluded: this.fallen((tap) => this.onPadding(output, tap)), shared: true };
  }
}
