// The equation of the selected entry: a chip per term, in the order and with the letters of the maps; long sums fold.

const MOST_TERMS = 12;

// The terms of the entry that is shown now, and of what is beside it in the view of errors.
let shownTerms = null, shownRef = null;

const equationText = () => (shownRef && !shownTerms.shared
  ? expanded(writing(), shownRef, shownTerms, current.model, state.base) : { text: "", latex: [] });

const nameOf = ({ map, index }) => entryOf(writing(), NAMES[map], index, current.model, state.base)[0];

function showEquation(ref) {
  const box = document.getElementById("equation"), { model } = current;
  shownRef = ref && (ref.map === "X" || ref.map === "W") ? { map: ref.map === "X" ? "dX" : "dW", index: ref.index } : ref;
  shownTerms = ref ? model.terms(ref) : null;
  if (!ref) {
    box.replaceChildren(element("p", { class: "hint" }, "Point at a cell, or tap it, to see what it is made of."));
    return;
  }
  const wrong = wrongOf(shownRef), { terms } = shownTerms;
  const hidden = state.quiz && shownRef.map === "dX";
  const left = nameOf(shownRef), head = element("div", { class: "left" }, element("b", {}, left));
  // Of a long sum, what it comes to is said first.
  const long = terms.length > MOST_TERMS / 2 && !hidden && !shownTerms.shared;
  box.classList.toggle("long", long);
  if (shownTerms.shared) head.append(` = ${readable(model.valueAt(ref))} is handed back to`);
  else if (!long) head.append(" =");
  const list = element("ol", { class: "terms" });
  const aligned = wrong?.terms ? alignedWith(terms, wrong.terms) : terms.map((term) => ({ term }));
  if (hidden) list.append(element("li", {}, "hidden while the quiz asks"));
  else if (aligned.length <= MOST_TERMS) list.append(...aligned.map((each) => chip(each, wrong)));
  else list.append(...folded(aligned, wrong));
  if (!aligned.length) list.append(element("li", {}, "no term"));
  if (shownTerms.rest !== undefined && !hidden)
    list.append(element("li", { class: "fold" }, `${readable(shownTerms.rest)} from ${shownRef.map === "dX" ? "filters" : "samples"} that the page has not`));
  const rows = [head, list];
  if (!shownTerms.shared && !hidden) rows.push(totals(wrong));
  if (wrong && !wrong.terms && wrong.given !== wrong.right) rows.push(element("p", { class: "hint" }, wrong.untold));
  const { excluded } = shownTerms;
  if (excluded.length && !hidden) {
    rows.push(element("details", { class: "excluded" },
      element("summary", {}, `What falls away: ${counted(excluded.length, excluded[0].what.split(" ")[0])}`),
      element("ul", {}, ...excluded.slice(0, 200).map(({ what, why }) =>
        element("li", {}, element("b", {}, what), ` ${why}`)))));
  }
  const open = box.querySelector("details.excluded")?.open;
  box.replaceChildren(...rows);
  if (open && box.querySelector("details.excluded")) box.querySelector("details.excluded").open = true;
}

function totals(wrong) {
  const { value } = shownTerms;
  const lines = element("div", { class: "totals" });
  if (!wrong) {
    lines.append(element("p", { class: "total" }, `= ${readable(value)}`));
    return lines;
  }
  const [right, given] = toldApart(wrong.right, wrong.given), same = wrong.right === wrong.given;
  lines.append(element("p", { class: "total" }, `${wrong.source} = ${right}`));
  lines.append(element("p", { class: same ? "total fine" : "total bad" },
    same ? `✓ ${wrong.label} = ${given}` : `✗ ${wrong.label} = ${given}`));
  return lines;
}

// Right terms and those of a mistake, side by side: both have at most one for every entry of dL/dO.
function alignedWith(terms, wrongTerms) {
  const rest = new Map(wrongTerms.map((each) => [each.key, each]));
  const pairs = terms.map((term) => {
    const key = String(term.factors[0].index), wrong = rest.get(key) || null;
    rest.delete(key);
    return { term, wrong };
  });
  return [...pairs, ...[...rest.values()].map((wrong) => ({ term: null, wrong }))];
}

const productText = (term) => term.factors.map((factor) => bracketed(factor.value)).join("·");

function chip({ term, wrong: other }, wrong) {
  const places = term || other;
  const button = element("button", { type: "button", class: "chip" });
  if (term) {
    const names = termOf(writing(), term, current.model, state.base).map(([text]) => text).join(writing().times);
    const into = term.into && nameOf(term.into);
    button.append(element("span", { class: "symbols" }, into || names));
    button.append(element("span", { class: "numbers" },
      term.tap === undefined ? "" : element("i", { class: "letter" }, letterOf(term.tap)), (into ? "+= " : "") + productText(term)));
    button.setAttribute("data-term", term.factors.map((factor) => `${factor.array}[${factor.index}]`).join("·"));
  } else {
    button.append(element("span", { class: "symbols" }, `${nameOf({ map: "dO", index: other.index })}·?`), element("span", { class: "numbers" }, "no term"));
  }
  if (wrong?.terms) {
    const same = term && other && term.factors.length > 1 && term.factors[1].value === other.factor;
    button.append(element("span", { class: same ? "wrong same" : "wrong" },
      other ? `${bracketed(other.value)}·${bracketed(other.factor)}` : "no term"));
  }
  const light = (on) => () => lightUp(on ? places : null);
  for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) button.addEventListener(name, light(on));
  button.addEventListener("click", () => showTerm(places));
  return element("li", {}, button);
}

// A long sum, by filter, channel or sample, and each of these by the first axis of the windows.
function folded(aligned, wrong) {
  const { map } = shownRef;
  const key = { dX: "f", dO: "c", O: "c", dW: "n", db: "n" }[map];
  const word = { f: "filter", c: "channel", n: "sample" }[key];
  const groups = Map.groupBy
    ? Map.groupBy(aligned, ({ term }) => (term ? term[key] : "more"))
    : aligned.reduce((all, each) => all.set(each.term ? each.term[key] : "more", [...(all.get(each.term ? each.term[key] : "more") || []), each]), new Map());
  return [...groups].map(([number, items]) => fold(
    number === undefined ? "bias" : number === "more" ? "no right term" : `${word} ${number + state.base}`, items, wrong,
    items.length > MOST_TERMS ? byWindow : null));
}

function byWindow(items, wrong) {
  const rows = new Map(), place = shownRef.map === "O" || shownRef.map === "dO" ? ["tap", "spec"] : ["o"];
  for (const each of items) {
    const { term } = each;
    const site = term ? (place[0] === "tap" ? siteOf(term.tap, current.model.spec.kernel) : siteOf(term.o, current.model.output)) : ["more"];
    const row = current.model.rank === 1 ? Math.floor(site[0] / MOST_TERMS) * MOST_TERMS : site[0];
    if (!rows.has(row)) rows.set(row, []);
    rows.get(row).push(each);
  }
  const word = place[0] === "tap" ? "taps of" : "windows of";
  const name = (row) => current.model.rank === 1 ? `${word.split(" ")[0]} from ${row + state.base}` : `${word} ${AXIS_WORDS[current.model.rank][0]} ${row + state.base}`;
  if (rows.size === 1) return items.map((each) => chip(each, wrong));
  return [...rows].map(([row, each]) => fold(name(row), each, wrong, null));
}

// A part of a sum that opens: its own sum, and, where there is one, the mistake's.
function fold(name, items, wrong, further) {
  const sum = exactSum(items.map(({ term }) => term?.value ?? 0));
  const other = wrong?.terms ? exactSum(items.map(({ wrong: each }) => (each ? each.value * each.factor : 0))) : null;
  const summary = element("summary", {}, `${name}: `, element("b", {}, readable(sum)),
    other === null ? "" : element("span", { class: other === sum ? "wrong same" : "wrong" }, ` ${readable(other)}`), ` (${counted(items.length, "term")})`);
  const inner = element("ol", { class: "terms" });
  const details = element("details", {}, summary, inner);
  details.addEventListener("toggle", () => {
    if (details.open && !inner.childElementCount)
      inner.append(...(further ? further(items, wrong) : items.map((each) => chip(each, wrong))));
  });
  return element("li", { class: "fold" }, details);
}

// For those who hear the page: the equation as one sentence.
function spoken() {
  if (!shownRef || (state.quiz && shownRef.map === "dX")) return "";
  const { terms, value, shared } = shownTerms;
  if (shared) return `${nameOf(shownRef)} is handed back to ${counted(terms.length, "entry", "entries")}`;
  const sum = terms.length <= MOST_TERMS ? terms.map(productText).join(" + ") || "0" : counted(terms.length, "term");
  return `${nameOf(shownRef)} = ${sum} = ${readable(value)}`;
}
