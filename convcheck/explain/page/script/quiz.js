// The quiz: dL/dX is hidden; which dL/dO entries reach an X, and each through which tap?

function startQuiz() {
  const { model } = current, { n, c, f } = state.slice;
  // Entries with something to find, not the same one twice in a row.
  const good = [];
  for (let flat = 0; flat < model.sites.input && good.length < 4000; flat++) {
    const pairs = model.pairs(siteOf(flat, model.spec.input));
    // An output that reads it twice would have two right taps.
    if (pairs.length && pairs.length <= 9 && new Set(pairs.map(([output]) => output)).size === pairs.length) good.push([flat, pairs]);
  }
  if (!good.length) {
    tell("No entry of X is read by 1 to 9 windows here, so there is nothing to ask.");
    return;
  }
  const most = Math.max(...good.map(([, pairs]) => pairs.length));
  const choice = good.filter(([flat, pairs]) => pairs.length >= Math.min(2, most) && flat !== state.quiz?.flat);
  const pool = choice.length ? choice : good, [flat, pairs] = pool[Math.floor(Math.random() * pool.length)];
  state.quiz = { flat, pairs, found: [], asked: null, wrong: 0, n, c, f };
  state.time = null;
  state.pin = { map: "dX", index: [n, c, ...siteOf(flat, model.spec.input)] };
  state.view = "handback";
  tellQuiz("");
  render();
}

function tellQuiz(before) {
  const { quiz } = state, { model } = current;
  const place = `X[${siteOf(quiz.flat, model.spec.input).map((each) => each + state.base)}]`;
  const left = quiz.pairs.length - quiz.found.length;
  let question;
  if (quiz.asked !== null) question = `Through which tap does it reach ${place}? Click it in W.`;
  else if (left) question = `Click ${left === 1 && quiz.found.length ? "the last" : left === 1 ? "the" : `${left} ${quiz.found.length ? "more " : ""}`} dL/dO ${left === 1 ? "entry that reaches" : "entries that reach"} ${place}.`;
  else question = `All ${quiz.pairs.length} found, with ${counted(quiz.wrong, "wrong click")}.`;
  tell([before, question].filter(Boolean).join(" "), true);
}

function quizAnswer(map, flat) {
  const { quiz } = state, { model } = current, ref = { map: "dX", index: state.pin.index };
  if (quiz.asked === null ? map !== "dO" : map !== "W") return tellQuiz(`That is ${SYMBOLS[map]}.`);
  if (quiz.asked === null) {
    const pair = quiz.pairs.find(([output]) => output === flat);
    if (!pair) {
      quiz.wrong++;
      return tellQuiz(`No: ${whyNot(model, state.slice, ref, "dO", flat)}.`);
    }
    if (quiz.found.includes(flat)) return tellQuiz("That one is found already.");
    quiz.asked = flat;
    tellQuiz("Yes.");
  } else {
    const [, tap] = quiz.pairs.find(([output]) => output === quiz.asked);
    if (tap !== flat) {
      quiz.wrong++;
      const why = whyNot(model, state.slice, ref, "W", flat);
      return tellQuiz(`No: ${why ? `tap ${letterOf(flat)} reaches it from no output: ${why}` : `through tap ${letterOf(flat)} another output reaches it`}.`);
    }
    quiz.found.push(quiz.asked);
    quiz.asked = null;
    tellQuiz(`Yes, tap ${letterOf(tap)}.`);
  }
  render();
}

// What the quiz has shown so far of the marks.
function quizMarks(marks) {
  const { quiz } = state, outputs = marks.dO, found = new Set(quiz.found);
  const taps = new Set(quiz.pairs.filter(([output]) => found.has(output)).map(([, tap]) => tap));
  for (const map of ["dO", "W"])
    for (const flat of [...marks[map].keys()])
      if (!(map === "dO" ? found : taps).has(flat)) marks[map].delete(flat);
  if (quiz.asked !== null) outputs.set(quiz.asked, { role: "chosen" });
  marks.spread.clear();
  marks.O.clear();
}
