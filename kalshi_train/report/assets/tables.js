// Tables. All figures come from the JSON in the page, which is that of --json.
"use strict";

const evaluation = read("evaluation");
const chosenModel = evaluation.config.fill_model;
// Policies whose result is no evidence: nothing they earned is shown in green.
const doubted = new Set(read("charts-data").words.doubted);

// Actions are shown by what they do: those of a table that prices or sizes alike are added up.
const intentOf = (name) => name.split("_").slice(0, name.startsWith("cancel") ? 1 : 2).join("_").split("#")[0];
const share = (actions, intent) => Object.entries(actions)
  .reduce((sum, [name, value]) => (intentOf(name) === intent ? sum + value : sum), 0);
const pick = (object, path) => (path.startsWith("actions.") ? share(object.actions, path.slice(8))
  : path.split(".").reduce((o, name) => o[name], object));
const intents = new Set(["hold", "buy_yes", "sell_yes", "buy_no", "sell_no",
  ...evaluation.policies.flatMap((p) => Object.keys(p.fill_models[chosenModel].total.actions).map(intentOf))]);
const actionColumns = [...intents].map((name) => [`actions.${name}`, name.replace("_", " "), "percent"]);
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
  const gain = doubted.has(data.policy) ? "" : "good";
  const tone = kind === "profit" && value ? (value > 0 ? gain : "bad") : "";
  return element("td", { class: tone, data: { figure: path, value: String(value), ...data } },
    format(kind, value));
}

function head(first, columns, extra = [], middle = -1) {
  const names = [first, ...extra, ...columns.map((c) => c[1])];
  return element("thead", {}, element("tr", {}, ...names.map((n, i) =>
    element("th", { class: i === middle ? "middle" : i <= extra.length ? "word" : "" }, n))));
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

function setUpTables() {
  fillWords();
  fillSummary();
  fillForest();
  const interval = `${number(100 * evaluation.confidence, 0)} % from`;
  fillTotals("totals", totalColumns.map((c) => (c[1] === "from" ? [c[0], interval, c[2]] : c)));
  fillTotals("trading", tradeColumns);
  setUpMarkets();
  fillStress();
  drawCharts();
}
