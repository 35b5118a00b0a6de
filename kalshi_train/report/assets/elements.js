// What all pages are made with: data out of the page, amounts in words, elements.
"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const number = (value, digits) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const none = "–";
const amount = (v) => number(Math.abs(v) / 100, v && Math.abs(v) < 10 ? 4 : 2);
const signed = (text, value) => (value > 0 ? "+" : "") + text;
const formats = {
  dollars: (v) => (v < 0 ? "−$" : "$") + amount(v),
  profit: (v) => (v < 0 ? "−$" : v > 0 ? "+$" : "$") + amount(v),
  cents: (v) => signed(number(v, 2), v).replace("-", "−") + " ¢",
  percent: (v) => number(100 * v, 1).replace("-", "−") + " %",
  ratio: (v) => number(v, 2).replace("-", "−"),
  count: (v) => number(v, 0).replace("-", "−"),
  decimal: (v) => number(v, 1),
};
const format = (kind, value) => (value === null || value === undefined ? none : formats[kind](value));

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// The address of an episode in the replay, or of a row of it, counted from 1 as it is shown.
const replayHash = (policy, view, row) =>
  `#replay=${policy},${view}${row === undefined ? "" : `,${row + 1}`}`;

function options(select, values, chosen) {
  select.replaceChildren(...values.map(([value, text]) => element("option", { value }, text)));
  if (chosen !== undefined) select.value = chosen;
}

function setUpTheme(changed) {
  document.getElementById("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
