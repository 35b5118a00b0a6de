// What was found, first: one row a policy, and policies beside each other as a forest plot.
"use strict";

// Bounds as a band, the interval as a line, the chosen value as a point, over a common range.
function band({ low, high, from, to, value }, [least, most], tone) {
  const place = (v) => (100 * (v - least)) / (most - least || 1);
  const box = element("div", { class: `band ${tone}` });
  const put = (kind, left, right) => {
    const part = element("i", { class: kind });
    part.style.left = `${left.toFixed(2)}%`;
    if (right !== undefined) part.style.width = `${Math.max(0, right - left).toFixed(2)}%`;
    box.append(part);
  };
  put("zero", place(0));
  if (low !== undefined) put("bounds", place(low), place(high));
  if (from !== null && from !== undefined) put("interval", place(from), place(to));
  put("point", place(value));
  return box;
}

function rangeOf(bands) {
  const values = bands.flatMap((b) => Object.values(b)).filter((v) => typeof v === "number");
  const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)];
  const room = (most - least) * 0.03 || 1;
  return [least - room, most + room];
}

const toneOf = (c) => (!c.distinguishable ? "" : c.difference_cents > 0 ? "up" : "down");
const percentText = () => `${number(100 * evaluation.confidence, 0)} %`;

const summaryColumns = [
  ["profit_cents", "in total", "profit"],
  ["win_rate", "won", "percent"],
  ["sharpe", "Sharpe", "ratio"],
  ["max_drawdown_cents", "drawdown", "dollars"],
  ["fees_cents", "fees", "dollars"],
  ["fills", "fills", "count"],
  ["markout_60s_cents", "gain after 60 s", "cents"],
];

function fillSummary() {
  const models = evaluation.fill_models;
  const bands = evaluation.policies.map((policy) => {
    const profit = (m) => policy.fill_models[m].total.profit_per_market_cents;
    const bounds = models.map(profit);
    const total = policy.fill_models[chosenModel].total;
    return { low: Math.min(...bounds), high: Math.max(...bounds), value: profit(chosenModel),
      from: total.profit_per_market_low_cents, to: total.profit_per_market_high_cents };
  });
  const range = rangeOf(bands);
  const body = element("tbody");
  evaluation.policies.forEach((policy, i) => {
    const total = policy.fill_models[chosenModel].total;
    const b = bands[i];
    const hint = `through to touch: ${format("profit", b.low)} to ${format("profit", b.high)}`;
    const interval = b.from === null ? "none"
      : `${format("profit", b.from)} to ${format("profit", b.to)}`;
    const data = { policy: policy.name };
    const note = !policy.baseline && doubted.has(policy.name) ? [element("small", {}, "no evidence")] : [];
    body.append(element("tr", { class: policy.baseline ? "baseline" : "model" },
      element("th", { scope: "row", title: `${policy.name}: ${policy.description}` },
        element("span", {}, policy.name), ...note),
      cell(total, ["profit_per_market_cents", "", "profit"], data),
      element("td", { class: "banded", title: hint }, band(b, range, "")),
      element("td", { data: { ...data, column: "interval" } }, interval),
      ...summaryColumns.map((c) => cell(total, c, data))));
  });
  document.getElementById("summary").replaceChildren(head("policy",
    [["", "profit a market"], ["", "through – touch"], ["", `${percentText()} interval`],
      ...summaryColumns], [], 2), body);
}

function fillForest() {
  const found = evaluation.comparisons.filter((c) => c.fill_model === chosenModel);
  document.getElementById("compared").hidden = !found.length;
  if (!found.length) return;
  const bands = found.map((c) => ({ from: c.low_cents, to: c.high_cents, value: c.difference_cents }));
  const range = rangeOf(bands);
  const body = element("tbody");
  let before = "";
  found.forEach((c, i) => {
    const b = bands[i];
    // What is no evidence is not shown in green.
    const doubt = doubted.has(c.first) || doubted.has(c.second);
    const tone = doubt && toneOf(c) === "up" ? "" : toneOf(c);
    const interval = b.from === null ? "none"
      : `${format("profit", b.from)} to ${format("profit", b.to)}`;
    body.append(element("tr", { class: c.first === before ? "" : "first", title: c.sentence },
      element("th", { scope: "row", title: `${c.first} less ${c.second}` },
        element("span", {}, `${c.first} − ${c.second}`)),
      element("td", { class: tone === "up" ? "good" : tone === "down" ? "bad" : "",
        data: { first: c.first, second: c.second, value: String(c.difference_cents) } },
      format("profit", c.difference_cents)),
      element("td", { class: "banded" }, band(b, range, tone)),
      element("td", {}, interval),
      element("td", {}, `${c.first_better} : ${c.second_better}`)));
    before = c.first;
  });
  document.getElementById("forest").replaceChildren(head("difference", [["", "profit a market"],
    ["", "less | more"], ["", `${percentText()} interval`], ["", "markets better : worse"]], [], 2),
  body);
  document.querySelector("#sentences ul").replaceChildren(
    ...found.map((c) => element("li", {}, c.sentence)));
}

function fillWords() {
  const { words } = read("charts-data");
  document.getElementById("subject").textContent = words.subject;
  document.getElementById("rests").replaceChildren(...words.provenance.flatMap(([label, text]) =>
    [element("dt", {}, label), element("dd", {}, text)]));
  const why = document.getElementById("why");
  why.hidden = words.diagnoses.length === 0;
  why.querySelector("dl").replaceChildren(...words.diagnoses.flatMap(({ policy, lines }) =>
    lines.flatMap(([label, text]) => [
      element("dt", {}, words.diagnoses.length > 1 ? `${policy}: ${label}` : label),
      element("dd", {}, text)])));
  const list = document.getElementById("verdicts");
  for (const verdict of words.verdicts) {
    list.append(element("li", { class: verdict.tone }, verdict.text));
  }
}
