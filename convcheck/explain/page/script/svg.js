// The maps and the equation as they are shown, as an SVG file of its own.

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");

function asSvg() {
  const cell = 40, gap = 36, parts = [];
  let x = 16, bottom = 0;
  const write = (left, top, text, style = "") => parts.push(`<text x="${left}" y="${top}" ${style}>${escaped(text)}</text>`);
  write(16, 26, layerLine(), 'font-weight="bold"');
  const written = shownTerms && shownTerms.terms.length <= MOST_TERMS ? [equationText().text, spoken()] : [spoken()];
  written.forEach((line, i) => write(16, 50 + 20 * i, line));
  const top = 50 + 20 * written.length + 24;
  for (const view of mapViews()) {
    if (view.section.hidden || !view.section.isConnected) continue;
    write(x, top, view.title.textContent, 'font-weight="bold"');
    write(x, top + 18, view.note.textContent, 'font-size="12"');
    view.cells.forEach((cells, row) => cells.forEach((each, column) => {
      const left = x + column * cell, high = top + 30 + row * cell, style = getComputedStyle(each);
      parts.push(`<rect x="${left}" y="${high}" width="${cell}" height="${cell}" fill="${style.backgroundColor}" stroke="#888"/>`);
      if (/chosen|term/.test(each.className)) {
        parts.push(`<rect x="${left + 2}" y="${high + 2}" width="${cell - 4}" height="${cell - 4}" fill="none" stroke="#fff" stroke-width="4"/>`,
          `<rect x="${left + 2}" y="${high + 2}" width="${cell - 4}" height="${cell - 4}" fill="none" stroke="#000" stroke-width="2"/>`);
      }
      write(left + cell / 2, high + 22, each.firstChild.textContent, `text-anchor="middle" fill="${style.color}"`);
      write(left + cell / 2, high + 35, `${each.children[2].textContent} ${each.children[1].textContent}`, `text-anchor="middle" font-size="9" fill="${style.color}"`);
    }));
    x += Math.max(view.heads.length * cell, 7 * view.title.textContent.length, 6 * view.note.textContent.length) + gap;
    bottom = Math.max(bottom, top + 40 + view.cells.length * cell);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${x}" height="${bottom + 10}" font-family="system-ui, sans-serif" font-size="14"><rect width="100%" height="100%" fill="#fff"/>${parts.join("")}</svg>`;
}

function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    tell(`${what} copied.`);
  } catch {
    // A page from disk may not be given the clipboard: the text is shown, selected.
    const box = element("textarea", { class: "copy", readonly: true, rows: 3, "aria-label": what });
    box.value = text;
    const status = document.getElementById("told");
    status.replaceChildren(`${what}: `, box);
    box.select();
  }
}
