// A map as cells with numbers, or, where it is large, as colours with a lens; both can be walked through by keys.

const MOST_CELLS = 24, MOST_IN_ROW = 48, MOST_COLORS = 96, LENS = 11;

const dark = matchMedia("(prefers-color-scheme: dark)");

// Red below zero, blue above, paper at zero: [share of the largest, red, green, blue].
const RAMPS = {
  light: {
    up: [[0, 252, 252, 252], [0.25, 209, 229, 240], [0.5, 146, 197, 222], [0.75, 67, 147, 195], [1, 33, 102, 172]],
    down: [[0, 252, 252, 252], [0.25, 253, 219, 199], [0.5, 244, 165, 130], [0.75, 214, 96, 77], [1, 178, 24, 43]],
  },
  dark: {
    up: [[0, 30, 34, 40], [0.25, 30, 58, 92], [0.5, 33, 88, 145], [0.75, 58, 130, 190], [1, 125, 185, 225]],
    down: [[0, 30, 34, 40], [0.25, 84, 38, 38], [0.5, 140, 52, 46], [0.75, 200, 90, 70], [1, 242, 155, 125]],
  },
};

// The colour of a value as [red, green, blue]; on a symmetric logarithm where small ones must be seen beside large ones.
function colorOf(value, scale, log) {
  if (!Number.isFinite(value)) return dark.matches ? [90, 90, 90] : [190, 190, 190];
  const size = Math.abs(value), share = log ? Math.log1p(size / log) / Math.log1p(scale / log) : size / scale;
  const ramp = RAMPS[dark.matches ? "dark" : "light"][value < 0 ? "down" : "up"];
  const at = Math.min(1, share || 0), upper = Math.max(1, ramp.findIndex(([end]) => end >= at));
  const [from, to] = [ramp[upper - 1], ramp[upper]], part = (at - from[0]) / (to[0] - from[0]);
  return [1, 2, 3].map((i) => Math.round(from[i] + (to[i] - from[i]) * part));
}

// Black or white, whichever stands out more on a colour (WCAG 2).
function inkOn(color) {
  const [r, g, b] = color.map((each) => {
    const part = each / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (light + 0.05) > (light + 0.05) / 0.05 ? "#fff" : "#000";
}

function largest(values) {
  let most = 0;
  for (const value of values) if (Number.isFinite(value) && Math.abs(value) > most) most = Math.abs(value);
  return most || 1;
}

// The smallest size that is not zero: below it, a symmetric logarithm is straight.
function smallest(values) {
  let least = Infinity;
  for (const value of values) if (value && Number.isFinite(value)) least = Math.min(least, Math.abs(value));
  return least === Infinity ? 1 : least;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// One map on the page. `of` is the map whose entries its cells are.
class MapView {
  constructor(id, of = id) {
    Object.assign(this, { id, of, center: [0, 0], focus: 0, lastChosen: "" });
    this.title = element("h2", { id: `title-${id}` });
    this.note = element("p", { class: "note" });
    this.body = element("div", { class: "body" });
    this.foot = element("div", { class: "foot" });
    this.section = element("section", { class: "map", "data-map": id, "aria-labelledby": `title-${id}` },
      this.title, this.note, this.body, this.foot);
    this.body.addEventListener("mouseover", (event) => this.point(event));
    this.body.addEventListener("mouseleave", () => hover(null));
    this.body.addEventListener("focusin", (event) => this.focused(event));
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("dblclick", (event) => this.startEdit(event.target.closest("td")));
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  // `shown`: {title, role, note, values, shape, marks, kinds, letters, hidden, log, scale, state, editable, index}.
  show(shown) {
    this.shown = shown;
    const { shape } = shown, [high, wide] = [shape.at(-2) ?? 1, shape.at(-1)];
    Object.assign(this, { high, wide, planes: shape.length > 2 ? shape[0] : 1 });
    this.plane = Math.min(this.wantedPlane(), this.planes - 1);
    this.title.textContent = shown.title;
    const size = shape.join("×") + (shown.note ? ` · ${shown.note}` : "");
    this.note.replaceChildren(element("span", { class: `tag ${shown.role}` }, shown.role), ` ${size}`);
    const cells = shape.length === 1 ? wide <= MOST_IN_ROW : wide <= MOST_CELLS && high <= MOST_CELLS;
    this.step = Math.max(1, Math.ceil(Math.max(high, wide / (shape.length === 1 ? 4 : 1)) / MOST_COLORS));
    this.lens = !cells;
    this.section.classList.toggle("large", this.lens);
    const [rows, columns] = cells ? [high, wide] : [Math.min(LENS, high), Math.min(LENS, wide)];
    if (this.layout !== `${rows}×${columns}×${this.lens}×${this.planes}×${shape}`) {
      this.layout = `${rows}×${columns}×${this.lens}×${this.planes}×${shape}`;
      this.build(rows, columns);
    }
    this.follow();
    this.paint();
  }

  wantedPlane() {
    if (this.id in state.planes) return state.planes[this.id];
    const size = this.high * this.wide;
    for (const role of ["chosen", "term", "frame", "twin"])
      for (const [flat, mark] of this.shown.marks) if (mark.role === role) return Math.floor(flat / size);
    return this.plane || 0;
  }

  build(rows, columns) {
    const head = element("tr", { role: "row" }, element("th", { class: "corner", "aria-hidden": "true" }));
    this.heads = Array.from({ length: columns }, () => element("th", { scope: "col", role: "columnheader" }));
    head.append(...this.heads);
    this.rows = [];
    this.cells = [];
    for (let row = 0; row < rows; row++) {
      const label = element("th", this.shown.shape.length === 1 ? { role: "presentation" } : { scope: "row", role: "rowheader" });
      this.rows.push(label);
      const cells = Array.from({ length: columns }, () => element("td", { role: "gridcell", tabindex: "-1" },
        element("span", { class: "value" }), element("span", { class: "part" }), element("span", { class: "letter" })));
      this.cells.push(cells);
      const line = element("tr", { role: "row" }, label, ...cells);
      this.rows[row].line = line;
    }
    const body = element("tbody", { role: "rowgroup" }, ...this.rows.map((label) => label.line));
    this.table = element("table", { role: "grid", "aria-labelledby": `title-${this.id}` },
      element("thead", { role: "rowgroup" }, head), body);
    this.body.replaceChildren(element("div", { class: "scroll" }, this.table));
    if (this.lens) {
      this.canvas = element("canvas", { class: "overview", role: "img" });
      this.canvas.addEventListener("click", (event) => this.jump(event));
      this.body.prepend(this.canvas);
    }
    this.foot.querySelector(".planes")?.remove();
    if (this.planes > 1) {
      const slider = element("input", { type: "range", min: 0, max: this.planes - 1, "aria-label": `${this.shown.title}: plane`,
        oninput: () => { state.planes[this.id] = Number(slider.value); render(); } });
      this.planeSlider = slider;
      this.planeWords = element("span");
      this.foot.prepend(element("label", { class: "planes" }, this.planeWords, slider));
    }
  }

  // Keep what is selected within the lens.
  follow() {
    if (!this.lens) {
      this.origin = [0, 0];
      return;
    }
    const size = this.high * this.wide;
    const places = [...this.shown.marks].filter(([flat, mark]) => mark.role !== "twin" && Math.floor(flat / size) === this.plane);
    const chosen = (places.find(([, mark]) => mark.role === "chosen") || places[0])?.[0];
    if (chosen !== undefined && String(chosen) !== this.lastChosen) {
      this.lastChosen = String(chosen);
      const place = chosen % size, row = Math.floor(place / this.wide), column = place % this.wide;
      const [top, left] = this.corner();
      const inside = row >= top && row < top + this.cells.length && column >= left && column < left + this.heads.length;
      if (!inside || !this.table.contains(document.activeElement)) this.center = [row, column];
    }
    this.origin = this.corner();
  }

  corner() {
    return [[this.center[0], this.high, this.cells.length], [this.center[1], this.wide, this.heads.length]].map(
      ([center, size, count]) => Math.max(0, Math.min(size - count, center - Math.floor(count / 2))));
  }

  flatAt(row, column) {
    return (this.plane * this.high + row + this.origin[0]) * this.wide + column + this.origin[1];
  }

  paint() {
    const { values, kinds, marks, hidden, log, letters, state: stateOf } = this.shown;
    const scale = this.shown.scale || largest(values) * 1.1, least = log ? smallest(values) : 0;
    const busy = [...marks.values()].some((mark) => mark.role === "term" || mark.role === "chosen");
    this.heads.forEach((head, i) => { head.textContent = i + this.origin[1] + state.base; });
    this.rows.forEach((head, i) => { head.textContent = this.shown.shape.length === 1 ? "" : i + this.origin[0] + state.base; });
    let focusable = null;
    this.cells.forEach((cells, row) => cells.forEach((cell, column) => {
      const flat = this.flatAt(row, column), value = values[flat], mark = marks.get(flat), kind = kinds?.[flat] || 0;
      const blank = hidden === true || (hidden && hidden(flat)), status = stateOf?.(flat);
      const names = ["cell"];
      if (kind) names.push(["", "inserted", "remainder", "border", "unread"][kind]);
      if (mark) names.push(mark.role);
      if (mark?.framed) names.push("framed");
      const dim = busy && !mark;
      if (dim) names.push("dim");
      if (blank) names.push("blank");
      if (status) names.push(status);
      if (sameRef(state.pin, this.refAt(flat))) names.push("pinned");
      const text = blank ? "·" : short(value);
      if (text.length > 5) names.push(text.length > 7 ? "longest" : "long");
      const color = blank ? null : colorOf(dim ? value * 0.25 : value, scale, least);
      const hatched = kind && (!value || kind === KIND.UNREAD);
      cell.className = names.join(" ");
      cell.style.backgroundColor = color && !hatched ? `rgb(${color})` : "";
      cell.style.color = color && !hatched ? inkOn(color) : "";
      cell.firstChild.textContent = text;
      const letter = mark?.letter || (letters && letters(flat)) || "";
      cell.children[1].textContent = mark?.product && !blank ? mark.product : "";
      cell.children[2].textContent = letter;
      const label = this.labelOf(flat, blank ? "hidden" : short(value), mark, kind, status);
      if (cell.label !== label) cell.setAttribute("aria-label", (cell.label = label));
      if (mark?.role === "chosen") cell.setAttribute("aria-selected", "true");
      else cell.removeAttribute("aria-selected");
      cell.flat = flat;
      cell.tabIndex = -1;
      if (flat === this.focus) focusable = cell;
    }));
    (focusable || this.cells[0][0]).tabIndex = 0;
    if (this.lens) this.paintColors(scale, least);
    if (this.planes > 1) {
      this.planeSlider.value = this.plane;
      const others = [...new Set([...marks].filter(([, mark]) => mark.role === "term" || mark.role === "chosen")
        .map(([flat]) => Math.floor(flat / (this.high * this.wide))))].filter((plane) => plane !== this.plane);
      this.planeWords.textContent = `plane ${this.plane + state.base} of ${this.planes}` +
        (others.length ? `; more in ${others.map((plane) => plane + state.base).join(", ")}` : "");
    }
  }

  // All of a plane as colours: every pixel the entry of largest magnitude, or a wrong one, of those that it stands for.
  drawColors(scale, least, pixel, tall) {
    const { values, state: stateOf, hidden } = this.shown, offset = this.plane * this.high * this.wide;
    const drawn = element("canvas", { width: this.canvas.width, height: this.canvas.height }), context = drawn.getContext("2d");
    for (let row = 0; row * tall < drawn.height; row++)
      for (let column = 0; column * pixel < drawn.width; column++) {
        const found = this.largestIn(row, column), value = values[offset + found];
        context.fillStyle = hidden ? "#888" : `rgb(${colorOf(value, scale, least)})`;
        context.fillRect(column * pixel, row * tall, pixel, tall);
        if (stateOf && stateOf(offset + found) === "wrong") {
          context.fillStyle = dark.matches ? "#fff" : "#000";
          context.fillRect(column * pixel + pixel / 4, row * tall + tall / 4, Math.max(1, pixel / 2), Math.max(1, tall / 2));
        }
      }
    return drawn;
  }

  paintColors(scale, least) {
    const { values, marks, hidden } = this.shown, high = Math.ceil(this.high / this.step), wide = Math.ceil(this.wide / this.step);
    const pixel = Math.max(2, Math.floor(288 / Math.max(wide, high))), tall = this.high === 1 ? 28 : pixel;
    this.canvas.width = wide * pixel;
    this.canvas.height = high * tall;
    const offset = this.plane * this.high * this.wide;
    // What is selected changes more often than the numbers.
    const key = [values, this.plane, scale, least, dark.matches, Boolean(hidden)];
    if (!this.colors || hidden || key.some((each, i) => each !== this.colors.key[i]))
      this.colors = { key, drawn: this.drawColors(scale, least, pixel, tall) };
    const context = this.canvas.getContext("2d");
    context.drawImage(this.colors.drawn, 0, 0);
    const outline = (row, column, rows, columns, width) => {
      for (const [color, extra] of [["#fff", width + 2], ["#000", width]]) {
        context.strokeStyle = color;
        context.lineWidth = extra;
        context.strokeRect((column / this.step) * pixel, (row / this.step) * tall, Math.max(2, (columns / this.step) * pixel), Math.max(2, (rows / this.step) * tall));
      }
    };
    for (const [flat, mark] of marks) {
      const place = flat - offset;
      if (place < 0 || place >= this.high * this.wide || mark.role === "twin" || marks.size > 2000) continue;
      outline(Math.floor(place / this.wide), place % this.wide, 1, 1, 1);
    }
    outline(this.origin[0], this.origin[1], this.cells.length, this.heads.length, 1.5);
    const pooled = this.step > 1 ? `, a pixel for ${this.step}×${this.step} entries` : "";
    this.canvas.setAttribute("aria-label", `${this.shown.title} as colours${pooled}; the lens shows rows ${this.origin[0]} to ${this.origin[0] + this.cells.length - 1}, columns ${this.origin[1]} to ${this.origin[1] + this.heads.length - 1}`);
  }

  largestIn(row, column) {
    const { values, state: stateOf } = this.shown, offset = this.plane * this.high * this.wide;
    let best = 0, most = -1;
    for (let r = row * this.step; r < Math.min(this.high, (row + 1) * this.step); r++)
      for (let c = column * this.step; c < Math.min(this.wide, (column + 1) * this.step); c++) {
        const flat = r * this.wide + c, value = Math.abs(values[offset + flat]);
        const weight = (Number.isFinite(value) ? value : 1e300) + (stateOf && stateOf(offset + flat) === "wrong" ? 1e200 : 0);
        if (weight > most) [best, most] = [flat, weight];
      }
    return best;
  }

  // Pointed at in the overview: the lens goes there, to the entry that the pixel shows.
  jump(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * Math.ceil(this.wide / this.step));
    const row = Math.floor(((event.clientY - box.top) / box.height) * Math.ceil(this.high / this.step));
    const found = this.largestIn(Math.max(0, row), Math.max(0, column));
    this.center = [Math.floor(found / this.wide), found % this.wide];
    this.pick(this.plane * this.high * this.wide + found);
    event.stopPropagation();
  }

  labelOf(flat, value, mark, kind, status) {
    const site = siteOf(flat, this.shown.shape).map((place) => place + state.base);
    const place = site.map((each, i) => `${this.id === "db" ? "filter" : AXIS_WORDS[site.length][i]} ${each}`).join(" ");
    const parts = [`${this.shown.title.split(" ·")[0]} ${place}`, value];
    if (kind) parts.push(KIND_WORDS[kind].split(":")[0]);
    if (mark?.role === "chosen" && shownTerms && ["dX", "dW", "db", "O"].includes(this.of))
      parts.push(counted(shownTerms.terms.length, "term"));
    if (mark?.role === "term" && mark.letter) parts.push(`tap ${mark.letter}`);
    if (status) parts.push(status);
    return parts.join(", ");
  }

  // The entry that a cell is: its map and whole index.
  refAt(flat) {
    const { n, c, f } = state.slice, { model } = current;
    if (this.shown.refAt) return this.shown.refAt(flat);
    if (this.of === "db") return { map: "db", index: [model.kept.filters[0] + flat] };
    if (this.of === "spread") {
      const site = siteOf(flat, this.shown.shape).map((place, i) => (place - model.axes[i].front) / model.axes[i].step);
      const there = site.every(Number.isInteger) && inside(site, model.output);
      return there ? { map: "dO", index: [n, f, ...site] } : null;
    }
    const lead = { X: [n, c], dX: [n, c], O: [n, f], dO: [n, f] }[this.of] || model.sliceBetween(c, f);
    return { map: this.of, index: [...lead, ...siteOf(flat, this.shown.shape)] };
  }

  point(event) {
    const cell = event.target.closest("td");
    if (cell) hover(this.refAt(cell.flat), this, cell.flat);
  }

  focused(event) {
    const cell = event.target.closest("td");
    if (cell && cell.flat !== undefined) {
      this.focus = cell.flat;
      this.cells.flat().forEach((each) => { each.tabIndex = each === cell ? 0 : -1; });
    }
  }

  click(event) {
    const cell = event.target.closest("td");
    if (!cell || event.target.closest("input")) return;
    if (state.editing && this.shown.editable) this.startEdit(cell);
    else this.pick(cell.flat);
  }

  pick(flat) {
    this.focus = flat;
    const ref = this.refAt(flat);
    if (state.quiz) quizAnswer(this.of, flat);
    else if (!ref) tell(whyNot(current.model, state.slice, state.pin, this.of, flat) || KIND_WORDS[current.model.kinds(this.of)?.[flat]] || "");
    else pin(ref);
  }

  key(event) {
    const cell = event.target.closest("td");
    if (!cell || event.target.closest("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -Infinity], End: [0, Infinity] };
    if (event.key === "Enter") this.pick(cell.flat);
    else if (event.key === "F2" || event.key === "e") this.startEdit(cell);
    else if (moves[event.key]) this.move(cell.flat, moves[event.key]);
    else if ((event.key === "PageUp" || event.key === "PageDown") && this.planes > 1) {
      state.planes[this.id] = Math.max(0, Math.min(this.planes - 1, this.plane + (event.key === "PageUp" ? -1 : 1)));
      render();
      this.focusOn(this.cells.flat().find((each) => each.tabIndex === 0).flat);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(flat, [down, right]) {
    const place = flat % (this.high * this.wide);
    const row = Math.max(0, Math.min(this.high - 1, Math.floor(place / this.wide) + down));
    const column = Math.max(0, Math.min(this.wide - 1, (place % this.wide) + right));
    this.focusOn((this.plane * this.high + row) * this.wide + column);
  }

  focusOn(flat) {
    const place = flat % (this.high * this.wide), at = [Math.floor(place / this.wide), place % this.wide];
    if (this.lens) {
      const outside = at.some((each, i) => each < this.origin[i] || each >= this.origin[i] + (i ? this.heads.length : this.cells.length));
      if (outside) {
        this.center = at;
        this.origin = this.corner();
        this.paint();
      }
    }
    this.focus = flat;
    this.cells[at[0] - this.origin[0]][at[1] - this.origin[1]].focus();
    hover(this.refAt(flat), this, flat);
  }

  startEdit(cell) {
    if (!cell || !this.shown.editable || state.quiz) return;
    const { flat } = cell, ref = this.refAt(flat);
    const input = element("input", { type: "number", step: "any", "aria-label": `New number for ${cell.label}`, value: this.shown.values[flat] });
    let open = true;
    const close = (keep) => {
      // To take a field away also takes the focus from it, which closes it again.
      if (!open) return;
      open = false;
      const value = Number(input.value);
      input.remove();
      if (keep && input.value !== "" && Number.isFinite(value)) edit(ref, value);
      else render();
      this.focusOn(flat);
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") close(true);
      if (event.key === "Escape") close(false);
      event.stopPropagation();
    });
    input.addEventListener("blur", () => close(true));
    cell.append(input);
    input.focus();
    input.select();
  }
}
