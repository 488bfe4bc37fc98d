// Tables that can be sorted by a column and searched. Without this script they are all there, in their own order.
"use strict";

const SHOWN = 200; // rows at first: thousands make a page slow
const NUMBER = /^[<≥≈+]?\s*([−-]?[\d,]*\.?\d+)/;

function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const found = text.replace("< ", "<").match(NUMBER);
  return { text, number: found ? parseFloat(found[1].replace("−", "-").replaceAll(",", "")) : NaN };
}

// Numbers before words, what is missing last, whichever the direction.
function compare(a, b, direction) {
  const [left, right] = [a, b].map((each) => (!Number.isNaN(each.number) ? 0 : /\p{L}/u.test(each.text) ? 1 : 2));
  if (left !== right) return left - right;
  if (left === 0) return direction * (a.number - b.number);
  return direction * a.text.localeCompare(b.text, undefined, { numeric: true });
}

function prepare(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  let order = rows;
  let all = rows.length <= SHOWN;
  const bar = document.createElement("div");
  bar.className = "bar";
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "Search these rows";
  search.setAttribute("aria-label", "Search the rows of this table");
  const told = document.createElement("span");
  told.setAttribute("role", "status");
  const more = document.createElement("button");
  more.type = "button";
  more.textContent = `Show all ${rows.length.toLocaleString("en")}`;
  bar.append(search, told, more);
  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const row of order) {
      const fits = words.every((word) => text.get(row).includes(word));
      found += fits;
      row.hidden = !fits || (!all && found > SHOWN);
    }
    more.hidden = all || found <= SHOWN;
    const shown = all ? found : Math.min(found, SHOWN);
    told.textContent = shown === rows.length ? "" : `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  }

  function sort(column, direction) {
    const values = new Map(rows.map((row) => [row, value(row, column)]));
    order = direction ? [...rows].sort((a, b) => compare(values.get(a), values.get(b), direction)) : rows;
    headings.forEach((heading, index) => {
      if (index === column && direction) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
    table.classList.toggle("sorted", direction !== 0);
    body.append(...order);
    show();
  }

  headings.forEach((heading, column) => {
    if (!heading.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      sort(column, now === "ascending" ? -1 : now === "descending" ? 0 : 1);
    });
  });
  search.addEventListener("input", show);
  more.addEventListener("click", () => {
    all = true;
    show();
    search.focus();
  });
  const place = table.closest(".scroll") ?? table;
  if (rows.length > 5) place.before(bar);
  show();
}

// A row that has no name of its own belongs to the one above: such a table stays as it is.
function isPlain(table) {
  if (table.tHead?.rows.length !== 1 || table.tBodies.length !== 1) return false;
  return [...table.tBodies[0].rows].every((row) => row.cells[0].textContent.trim());
}

for (const table of document.querySelectorAll("table")) {
  if (isPlain(table) && table.tBodies[0].rows.length > 1) prepare(table);
}
