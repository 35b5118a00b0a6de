// The table of markets: searched, sorted, linked with the replay, and as CSV.
"use strict";

const sortedBy = { path: null, sign: 1 };
const sheets = read("charts-data").markets;
const wordColumns = [["event", "event"], ["session_id", "session"], ["result", "result"]];

function chosenMarkets() {
  const name = document.getElementById("market-policy").value;
  const model = document.getElementById("market-fills").value;
  const wanted = document.getElementById("market-search").value.trim().toLowerCase();
  const policy = evaluation.policies.find((p) => p.name === name);
  let markets = policy.fill_models[model].markets.map((m, view) => ({ ...m, view, ...sheets[view] }));
  markets = markets.filter((m) => [m.market_ticker, m.event, `session ${m.session_id}`, m.result]
    .some((text) => text.toLowerCase().includes(wanted)));
  if (sortedBy.path) {
    const value = (m) => pick(m, sortedBy.path) ?? -Infinity;
    const order = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    markets.sort((a, b) => sortedBy.sign * order(a, b));
  }
  return { name, model, markets };
}

function fillMarkets() {
  const { name, markets } = chosenMarkets();
  const replays = read("replay-data");
  const agent = replays.agents.indexOf(name);
  const body = element("tbody");
  for (const market of markets) {
    const data = { market: market.market_ticker, policy: name };
    const label = element("span", {}, market.market_ticker);
    const linked = agent >= 0 && replays.views.includes(market.view);
    const title = linked ? `${market.market_ticker}: replay` : market.market_ticker;
    const first = element("th", { scope: "row", title },
      linked ? element("a", { href: replayHash(agent, market.view) }, label) : label);
    body.append(element("tr", {}, first,
      ...wordColumns.map(([path]) => element("td", { class: "word" }, String(market[path]))),
      ...marketColumns.map((c) => cell(market, c, data))));
  }
  const top = head("market", marketColumns, wordColumns.map((c) => c[1]));
  const paths = ["market_ticker", ...wordColumns.map((c) => c[0]), ...marketColumns.map((c) => c[0])];
  top.querySelectorAll("th").forEach((th, i) => {
    const again = sortedBy.path === paths[i];
    th.setAttribute("aria-sort", !again ? "none" : sortedBy.sign > 0 ? "ascending" : "descending");
    const button = element("button", { type: "button" }, th.textContent);
    button.addEventListener("click", () => {
      const text = i <= wordColumns.length;
      Object.assign(sortedBy, { path: paths[i], sign: again ? -sortedBy.sign : text ? 1 : -1 });
      fillMarkets();
    });
    th.replaceChildren(button);
  });
  document.getElementById("markets").replaceChildren(top, body);
  const all = evaluation.policies[0].fill_models[chosenModel].markets.length;
  document.getElementById("market-count").textContent = markets.length === all
    ? `${all} markets` : `${markets.length} of ${all} markets`;
}

// Text that a spreadsheet would take for a formula gets an apostrophe before it.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function marketsCsv() {
  const { name, model, markets } = chosenMarkets();
  const paths = ["session_id", "event", "market_ticker", "result", ...marketColumns.map((c) => c[0])];
  const lines = [["policy", "fill_model", ...paths].map(csvCell).join(",")];
  for (const market of markets) {
    lines.push([name, model, ...paths.map((p) => pick(market, p))].map(csvCell).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}

function setUpMarkets() {
  options(document.getElementById("market-policy"), evaluation.policies.map((p) => [p.name, p.name]));
  const models = evaluation.fill_models.map((m) => [m, m]);
  options(document.getElementById("market-fills"), models, chosenModel);
  for (const id of ["market-policy", "market-fills"]) {
    document.getElementById(id).addEventListener("change", fillMarkets);
  }
  document.getElementById("market-search").addEventListener("input", fillMarkets);
  document.getElementById("market-csv").addEventListener("click", () => {
    const link = element("a", { download: "markets.csv",
      href: URL.createObjectURL(new Blob(["\ufeff", marketsCsv()], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
  fillMarkets();
}
