// How entries and numbers are written: the notations are data of the page, by name.

const NAMES = { X: "x", W: "weight", O: "output", dO: "grad_output", dX: "grad_input", dW: "grad_weight", db: "grad_bias" };

// Terms on a line of LaTeX, as `convcheck explain` breaks it.
const PER_LINE = 4;

// An entry as [text, LaTeX]; `first` is what indices count from.
function entryOf(writing, array, index, model, first = 0) {
  const { spec } = model, [symbol, latex, fraction] = writing.symbols[array];
  const parts = ordered(writing, array, index, model).map((part) => String(part + first));
  const at = (written) => (fraction ? `\\frac{\\partial L}{\\partial ${latex}_{${written}}}` : `${latex}_{${written}}`);
  const sizes = [spec.batch, spec.channels, spec.filters, ...spec.input, ...model.output];
  if (writing.layout === "subscript" && Math.max(...sizes) <= 10 - first)
    return [symbol + parts.join(""), at(parts.join(""))];
  return [`${symbol}[${parts.join(",")}]`, at(parts.join(","))];
}

// The parts of an index where a notation has them, without those that it leaves out.
function ordered(writing, array, index, model) {
  const { spec } = model;
  if (array === "bias" || array === "grad_bias" || writing.layout === "leading") return index;
  const [first, second, ...sites] = index;
  const weight = array.endsWith("weight"), image = array === "x" || array === "grad_input";
  if (writing.layout === "matrix") {
    // Of a transposed layer, X is the matrix, and what the windows are cut from is O.
    if (!weight && image !== spec.transposed) return index;
    const place = flatOf(sites, weight ? spec.kernel : spec.transposed ? spec.input : model.output);
    if (weight) return [first, second * model.sites.kernel + place];
    return [...(spec.batch > 1 ? [first] : []), second, place];
  }
  if (writing.layout === "last")
    return weight ? [...sites, second, first] : [...(spec.batch > 1 ? [first] : []), ...sites, second];
  const sizes = weight ? (spec.transposed ? [spec.channels, model.count] : [spec.filters, model.depth]) : [spec.batch, image ? spec.channels : spec.filters];
  return [...[first, second].filter((_, i) => sizes[i] > 1), ...sites];
}

const termOf = (writing, term, model, first) =>
  term.factors.map((factor) => entryOf(writing, factor.array, factor.index, model, first));

// The equation of an entry in symbols: one line of text, several of LaTeX.
function expanded(writing, ref, found, model, first = 0) {
  const [left, latex] = entryOf(writing, NAMES[ref.map], ref.index, model, first);
  const terms = found.terms.map((term) => termOf(writing, term, model, first));
  return {
    text: `${left} = ${terms.map((term) => term.map(([text]) => text).join(writing.times)).join(" + ") || "0"}`,
    latex: lines(`${latex} &= `, terms.map((term) => term.map(([, one]) => one).join(" \\, "))),
  };
}

function lines(start, terms) {
  const rows = [];
  for (let at = 0; at < terms.length; at += PER_LINE) rows.push(terms.slice(at, at + PER_LINE).join(" + "));
  return (rows.length ? rows : ["0"]).map((row, i) => (i ? "&\\quad + " : start) + row);
}

// A number in few characters for a cell, or with all its digits.
function short(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "−inf";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value || 0).replace("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

const exactly = (value) => (Number.isFinite(value) ? String(value || 0).replace(/-/g, "−") : short(value));

// A number for an equation: all digits of a whole one, six of any other.
function readable(value) {
  return Number.isFinite(value) && !Number.isInteger(value) ? exactly(Number(value.toPrecision(6))) : exactly(value);
}

const bracketed = (value) => (value < 0 ? `(${readable(value)})` : readable(value));

// Two numbers with as many digits as their difference needs.
function toldApart(one, other) {
  for (let digits = 6; digits < 17; digits++) {
    const [left, right] = [one, other].map((value) => (Number.isInteger(value) ? value : Number(value.toPrecision(digits))));
    if (Math.abs(left - right - (one - other)) <= Math.abs(one - other) / 10) return [exactly(left), exactly(right)];
  }
  return [exactly(one), exactly(other)];
}

const counted = (number, noun, plural = `${noun}s`) => `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;

// Taps by letter: a to z, then aa, ab and so on.
function letterOf(tap) {
  const letter = String.fromCharCode(97 + (tap % 26));
  return tap < 26 ? letter : letterOf(Math.floor(tap / 26) - 1) + letter;
}
