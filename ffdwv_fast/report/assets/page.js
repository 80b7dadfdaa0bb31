"use strict";

for (const element of document.querySelectorAll(".controls")) element.hidden = false;

// Tables: a click on a column's name sorts by it, another one the other way round.
function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text.replaceAll(",", ""));
  return text === "" ? null : Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sort(table, column, header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // empty ones last
    return down ? compare(b, a) : compare(a, b);
  });
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(table, column, header));
  });
}

// Tables: only the rows that have the words.
for (const input of document.querySelectorAll("[data-filter]")) {
  const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
  const count = document.querySelector(`[data-count="${input.dataset.filter}"]`);
  input.addEventListener("input", () => {
    const words = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(words);
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} classes`;
  });
}

for (const box of document.querySelectorAll("[data-only-different]")) {
  box.addEventListener("change", () => {
    for (const table of document.querySelectorAll("table.configuration")) {
      table.classList.toggle("only-different", box.checked);
    }
  });
}

for (const box of document.querySelectorAll("[data-full-size]")) {
  box.addEventListener("change", () => {
    for (const pair of document.querySelectorAll(".pair")) {
      pair.classList.toggle("full-size", box.checked);
    }
  });
}

// The gallery: chosen by runs and classes, in an order.
const gallery = document.getElementById("gallery");
if (gallery) {
  const items = [...gallery.children];
  const choices = [...document.querySelectorAll("[data-choose]")];
  const order = document.querySelector("[data-order]");
  const count = document.getElementById("mistakes-count");
  const choose = () => {
    for (const item of items) {
      item.hidden = choices.some((c) => c.value && item.dataset[c.dataset.choose] !== c.value);
    }
    count.textContent = `${items.filter((item) => !item.hidden).length} of ${items.length} mistakes`;
  };
  for (const control of choices) control.addEventListener("change", choose);
  order.addEventListener("change", () => {
    const sign = order.value.startsWith("-") ? -1 : 1;
    const name = order.value.replace("-", "");
    items.sort((a, b) => sign * (a.dataset[name] - b.dataset[name]));
    gallery.append(...items);
  });
}
