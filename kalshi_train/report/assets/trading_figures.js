// What a run of trading came to so far: state, profit over time, markets, actions, health.
"use strict";

const modelColours = { through: "--ask", touch: "--good", exchange: "--own" };
const colourOf = (model) => css(modelColours[model] ?? "--bid");
const milliseconds = (v) => (v === null || v === undefined ? none : `${number(v, 2)} ms`);
const seconds = (v) => (v === null || v === undefined ? none : `${number(v, 1)} s`);

function pairs(id, values) {
  $(id).replaceChildren(...values.flatMap(([name, text, tone = ""]) =>
    [element("dt", {}, name), element("dd", { class: tone, data: { name } }, text)]));
}

function showState(run) {
  const { state } = run;
  $("title").textContent = run.policy ? `${run.policy} trading` : "A run of trading";
  $("subject").textContent = state === "starting" ? ""
    : [run.mode === "paper" ? "on paper: no orders are sent" : `orders go to ${run.place ?? run.mode}`,
      `fill model ${run.config.fill_model}`, `latency ${run.config.latency_ms} ms`,
      `orders of ${number(run.config.order_size, 0)}`].join(" · ");
  const profit = run.profit_cents ? run.profit_cents[run.chosen] : 0;
  const words = { starting: "It has not begun to trade.", ended: `It has ended: ${run.why}.`,
    running: run.served ? "It is running." : "It was running when this page was written." };
  $("live").textContent = state === "starting" ? words.starting
    : `${format("profit", profit)} by ${run.chosen}. ${words[state]}`;
  $("live").className = `state ${profit > 0 ? "good" : profit < 0 ? "bad" : ""}`;
}

function showHealth(run) {
  const { all, latest } = run.latency_ms;
  pairs("latency", [
    ["decisions", format("count", run.decisions)],
    ...["p50", "p99", "max"].map((q) => [q, milliseconds(all?.[q])]),
    ["p99, latest 1,000", milliseconds(latest?.p99)],
  ]);
  const f = run.feed;
  if (!f) { pairs("feed", [["feed", "not known yet"]]); return; }
  const bad = (wrong) => (wrong ? "bad" : "");
  pairs("feed", [
    ["connected", `${f.connections} of ${f.connections_wanted}`, bad(f.connections < f.connections_wanted)],
    ["markets acknowledged", `${f.markets_acknowledged} of ${f.markets_wanted}`],
    ["books unknown", format("count", f.books_unknown), bad(f.books_unknown)],
    ["frames", `${format("count", f.frames)} (${number(f.frames_per_second, 1)} a second)`],
    ["last frame", f.last_frame_age_s === null ? none : `${seconds(f.last_frame_age_s)} ago`],
    ["gaps", `${format("count", f.gaps)} (${number(f.gap_market_seconds, 1)} market-seconds)`],
    ["connections lost", `${f.connections_lost} (${f.reconnects} made anew)`],
    ["refused, dropped frames", `${f.refused_frames}, ${f.dropped_frames}`, bad(f.dropped_frames)],
    ["problem", f.problem ?? "none", bad(f.problem)],
    ["as of", zonedTime(f.at)],
  ]);
}

// A step line a fill model; the chosen one is thicker.
function drawEquity(run) {
  const svg = $("equity");
  const { ts, profit_cents: lines } = run.equity;
  const { width, height } = svg.parentElement.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const make = (tag, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };
  $("equity-names").replaceChildren(...run.models.map((model) => {
    const key = element("i");
    key.style.background = colourOf(model);
    return element("span", { data: { model } }, key,
      `${model}${model === run.chosen ? " (seen by the policy)" : ""}: ${format("profit", run.profit_cents[model])}`);
  }));
  if (!ts.length) { svg.replaceChildren(); return; }
  const values = Object.values(lines).flat();
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const [left, right, top, bottom] = [64, width - 10, 10, height - 22];
  const x = (t) => left + ((right - left) * (t - ts[0])) / (ts[ts.length - 1] - ts[0] || 1);
  const y = (v) => bottom - ((bottom - top) * (v - low)) / (high - low || 1);
  const parts = [make("line", { x1: left, x2: right, y1: y(0), y2: y(0), stroke: css("--muted"),
    "stroke-dasharray": "2 3" })];
  for (const model of run.models) {
    let path = "";
    lines[model].forEach((v, i) => {
      path += i ? `H${x(ts[i]).toFixed(1)}V${y(v).toFixed(1)}` : `M${x(ts[i]).toFixed(1)} ${y(v).toFixed(1)}`;
    });
    parts.push(make("path", { d: path, fill: "none", stroke: colourOf(model), "data-model": model,
      "stroke-width": model === run.chosen ? 2 : 1.2 }));
  }
  const label = (text, at, px, anchor) => parts.push(make("text",
    { x: px, y: at, "text-anchor": anchor, fill: css("--muted") }, text));
  for (const v of new Set([low, 0, high])) label(format("dollars", v), y(v) + 4, left - 6, "end");
  label(zonedTime(ts[0]), height - 5, left, "start");
  label(zonedTime(ts[ts.length - 1]), height - 5, right, "end");
  svg.replaceChildren(...parts);
}

function orderText(order) {
  if (!order) return none;
  const ahead = order.ahead > 0 && order.ahead < 2 ** 39 ? `, ${format("count", order.ahead)} ahead` : "";
  return `${format("count", order.contracts)} at ${order.cents} ¢${ahead}`;
}

function header(words, numbers) {
  return element("thead", {}, element("tr", {}, ...words.map((n) => element("th", { class: "word" }, n)),
    ...numbers.map((n) => element("th", {}, n))));
}

function showMarkets(run) {
  const traded = run.markets.filter((m) => Object.keys(m.models).length);
  const names = ["YES order", "NO order", "position", "orders", "rows",
    ...run.models.map((m) => `fills ${m}`), ...run.models.map((m) => `profit ${m}`), "actions", "limits"];
  const rows = traded.map((market) => {
    const seen = market.models[run.chosen];
    const cell = (figure, text, value, tone = "") =>
      element("td", { class: tone, data: { figure, market: market.market, value: String(value) } }, text);
    const acted = Object.entries(market.actions).map(([name, n]) => `${name} ${format("count", n)}`);
    const stopped = [...Object.entries(market.blocked).map(([why, n]) => `${n} × ${why}`),
      ...(market.cancelled ? [`cancelled: ${market.cancelled}`] : [])];
    return element("tr", {}, element("th", { scope: "row", title: market.market }, market.market),
      cell("yes", orderText(seen.open[0]), seen.open[0]?.contracts ?? 0),
      cell("no", orderText(seen.open[1]), seen.open[1]?.contracts ?? 0),
      cell("position", format("count", seen.position), seen.position),
      cell("orders", format("count", market.orders), market.orders),
      cell("rows", format("count", market.rows), market.rows),
      ...run.models.map((m) => cell(`fills ${m}`, format("count", market.models[m].fills), market.models[m].fills)),
      ...run.models.map((m) => {
        const cents = market.models[m].profit_cents;
        return cell(`profit ${m}`, format("profit", cents), cents, cents > 0 ? "good" : cents < 0 ? "bad" : "");
      }),
      element("td", { class: "word" }, acted.join(", ")), element("td", { class: "word" }, stopped.join(", ")));
  });
  $("markets").replaceChildren(header(["market"], names), element("tbody", {}, ...rows));
}

// Each order at the exchange and by every fill model: known once the run is over.
function showGap(run) {
  $("exchange-gap").hidden = !run.gap;
  if (!run.gap) return;
  const { columns, rows, notes } = run.gap;
  $("gap").replaceChildren(header(columns.slice(0, 1), columns.slice(1)), element("tbody", {},
    ...rows.map(([name, ...texts]) => element("tr", {}, element("th", { scope: "row" }, name),
      ...texts.map((text, i) => element("td", { data: { figure: columns[i + 1], model: name } }, text))))));
  pairs("gap-notes", notes);
}

function showRecent(run) {
  $("no-actions").hidden = run.recent.length > 0;
  $("recent").hidden = !run.recent.length;
  $("recent").replaceChildren(header(["time", "market", "what", "", "row"], []), element("tbody", {},
    ...run.recent.map((r) => {
      const view = run.markets.findIndex((m) => m.market === r.market);
      const link = element("a", { href: replayHash(0, view, r.row) }, format("count", r.row + 1));
      return element("tr", {}, ...[zonedTime(r.ts), r.market, r.what, r.more].map((text) =>
        element("td", { class: "word" }, text)), element("td", { class: "word" }, link));
    })));
}

function showSettings(run) {
  const text = (v) => (v === null ? none : typeof v === "object" ? JSON.stringify(v) : String(v));
  const all = Object.entries({ ...run.config, ...(run.limits ?? {}), version: run.version ?? none });
  $("rests").replaceChildren(...all.flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, text(value))]));
}
