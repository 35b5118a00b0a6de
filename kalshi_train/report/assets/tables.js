// Tables and charts. All figures come from the JSON in the page, which is that of --json.
"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const evaluation = read("evaluation");
const chosenModel = evaluation.config.fill_model;

const number = (value, digits) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const none = "–";
const signed = (text, value) => (value > 0 ? "+" : "") + text;
const formats = {
  dollars: (v) => (v < 0 ? "−$" : "$") + number(Math.abs(v) / 100, 2),
  profit: (v) => (v < 0 ? "−$" : v > 0 ? "+$" : "$") + number(Math.abs(v) / 100, 2),
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

const pick = (object, path) => path.split(".").reduce((o, name) => o[name], object);
const firstRun = evaluation.policies[0].fill_models[chosenModel];
const actionColumns = Object.keys(firstRun.total.actions).map((name) => [
  `actions.${name}`, name.replace("_", " "), "percent",
]);
const tradeColumns = [
  ["maker_share", "maker", "percent"],
  ["spread_capture_cents", "spread", "cents"],
  ["markout_1s_cents", "1 s", "cents"],
  ["markout_10s_cents", "10 s", "cents"],
  ["markout_60s_cents", "60 s", "cents"],
  ["inventory_mean", "held", "decimal"],
  ["inventory_max", "at most", "count"],
  ...actionColumns,
];
const totalColumns = [
  ["profit_per_market_cents", "profit a market", "profit"],
  ["profit_per_market_low_cents", "from", "profit"],
  ["profit_per_market_high_cents", "to", "profit"],
  ["profit_cents", "in total", "profit"],
  ["return_on_capital", "return", "percent"],
  ["sharpe", "Sharpe", "ratio"],
  ["win_rate", "won", "percent"],
  ["max_drawdown_cents", "drawdown", "dollars"],
  ["fees_cents", "fees", "dollars"],
  ["turnover_cents", "turnover", "dollars"],
  ["fills", "fills", "count"],
  ["contracts", "contracts", "count"],
];
const marketColumns = [
  ["rows", "rows", "count"],
  ["profit_cents", "profit", "profit"],
  ["return_on_capital", "return", "percent"],
  ["sharpe", "Sharpe", "ratio"],
  ["max_drawdown_cents", "drawdown", "dollars"],
  ["fees_cents", "fees", "dollars"],
  ["turnover_cents", "turnover", "dollars"],
  ["fills", "fills", "count"],
  ["contracts", "contracts", "count"],
  ...tradeColumns,
];

function cell(figures, [path, , kind], data = {}) {
  const value = pick(figures, path);
  const tone = kind === "profit" && value ? (value > 0 ? "good" : "bad") : "";
  return element("td", { class: tone, data: { figure: path, value: String(value), ...data } },
    format(kind, value));
}

function head(first, columns, extra = []) {
  const names = [first, ...extra, ...columns.map((c) => c[1])];
  return element("thead", {}, element("tr", {}, ...names.map((n, i) =>
    element("th", { class: i <= extra.length ? "word" : "" }, n))));
}

function fillTotals(id, columns) {
  const body = element("tbody");
  for (const policy of evaluation.policies) {
    evaluation.fill_models.forEach((model, i) => {
      const data = { policy: policy.name, fills: model };
      const kind = (i === 0 ? "first " : "") + (model === chosenModel ? "chosen" : "bound");
      const name = element("th", { scope: "row", title: policy.description });
      if (i === 0) name.textContent = policy.name;
      const figures = policy.fill_models[model].total;
      body.append(element("tr", { class: kind }, name, element("td", { class: "word" }, model),
        ...columns.map((c) => cell(figures, c, data))));
    });
  }
  document.getElementById(id).replaceChildren(head("policy", columns, ["fill model"]), body);
}

const sortedBy = { path: null, sign: 1 };

function fillMarkets() {
  const name = document.getElementById("market-policy").value;
  const model = document.getElementById("market-fills").value;
  const policy = evaluation.policies.find((p) => p.name === name);
  const body = element("tbody");
  const markets = [...policy.fill_models[model].markets];
  if (sortedBy.path) {
    const value = (m) => pick(m, sortedBy.path) ?? -Infinity;
    const order = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    markets.sort((a, b) => sortedBy.sign * order(a, b));
  }
  for (const market of markets) {
    const data = { market: market.market_ticker };
    body.append(element("tr", {}, element("th", { scope: "row" }, market.market_ticker),
      ...marketColumns.map((c) => cell(market, c, data))));
  }
  const top = head("market", marketColumns);
  const paths = ["market_ticker", ...marketColumns.map((c) => c[0])];
  top.querySelectorAll("th").forEach((th, i) => th.addEventListener("click", () => {
    const again = sortedBy.path === paths[i];
    Object.assign(sortedBy, { path: paths[i], sign: again ? -sortedBy.sign : i ? -1 : 1 });
    fillMarkets();
  }));
  document.getElementById("markets").replaceChildren(top, body);
}

function fillStress() {
  if (!evaluation.stress.length) return;
  document.getElementById("stress").hidden = false;
  document.getElementById("stress-link").hidden = false;
  const columns = evaluation.fill_models.map((m) => [m, m, "profit"]);
  const more = [["return_on_capital", "return", "percent"], ["fees_cents", "fees", "dollars"],
    ["fills", "fills", "count"], ["contracts", "contracts", "count"]];
  const body = element("tbody");
  let before = "";
  const keys = new Set(evaluation.stress.map((s) => JSON.stringify([s.policy, s.condition])));
  for (const key of keys) {
    const [policy, condition] = JSON.parse(key);
    const found = evaluation.stress.filter((s) => s.policy === policy && s.condition === condition);
    const of = (model) => found.find((s) => s.fill_model === model);
    const name = element("th", { scope: "row" }, policy === before ? "" : policy);
    const profits = columns.map(([m]) =>
      cell(of(m), ["profit_per_market_cents", m, "profit"], { fills: m, condition, policy }));
    body.append(element("tr", { class: policy === before ? "" : "first" }, name,
      element("td", { class: "word" }, condition), ...profits,
      ...more.map((c) => cell(of(chosenModel), c))));
    before = policy;
  }
  document.getElementById("stress-table").replaceChildren(
    head("policy", [...columns, ...more], ["condition"]), body);
}

function fillWords() {
  const words = read("charts-data").words;
  document.getElementById("subject").textContent = words.subject;
  const list = document.getElementById("verdicts");
  for (const verdict of words.verdicts) {
    list.append(element("li", { class: verdict.tone }, verdict.text));
  }
  const compared = document.getElementById("compared");
  const sentences = evaluation.comparisons.filter((c) => c.fill_model === chosenModel);
  compared.hidden = !sentences.length;
  compared.open = sentences.length > 0 && sentences.length < 8;
  compared.querySelector("ul").append(...sentences.map((c) => element("li", {}, c.sentence)));
}

function options(select, values, chosen) {
  select.replaceChildren(...values.map(([value, text]) => element("option", { value }, text)));
  if (chosen !== undefined) select.value = chosen;
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function themedLayout(given) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--muted"), linecolor: css("--line"),
    tickfont: { size: 11 }, automargin: true };
  const layout = { ...given, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: css("--fg") },
    title: { ...given.title, font: { size: 14 }, x: 0.02, xanchor: "left" } };
  layout.xaxis = { ...given.xaxis, ...axis };
  layout.yaxis = { ...given.yaxis, ...axis };
  return layout;
}

function drawCharts() {
  const charts = read("charts-data").charts;
  const grid = document.getElementById("chart-grid");
  const settings = { displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
  for (const [name, figure] of Object.entries(charts)) {
    let box = document.getElementById(`chart-${name}`);
    if (!box) {
      const wide = name === "equity" || name === "markets" ? "chart wide" : "chart";
      box = element("div", { id: `chart-${name}`, class: wide });
      grid.append(box);
    }
    const height = figure.layout.height || (name === "equity" ? 420 : 340);
    box.style.height = `${height}px`;
    Plotly.react(box, figure.data, themedLayout(figure.layout), settings);
  }
}

function setUpTables() {
  fillWords();
  const interval = `${number(100 * evaluation.confidence, 0)} % from`;
  fillTotals("totals", totalColumns.map((c) => (c[1] === "from" ? [c[0], interval, c[2]] : c)));
  fillTotals("trading", tradeColumns);
  const names = evaluation.policies.map((p) => [p.name, p.name]);
  options(document.getElementById("market-policy"), names, names[0][0]);
  const models = evaluation.fill_models.map((m) => [m, m]);
  options(document.getElementById("market-fills"), models, chosenModel);
  for (const id of ["market-policy", "market-fills"]) {
    document.getElementById(id).addEventListener("change", fillMarkets);
  }
  fillMarkets();
  fillStress();
  drawCharts();
}
