// Episode replay: the controls, the ladder and what the agent held, did and said at a row.
"use strict";

const replay = read("replay-data");
const $ = (id) => document.getElementById(id);
const books = new Map();
let timeline = null;
let episode = null;
let playing = 0;
let asked = 0;
let shown = "";

// #replay=policy,view,row names a row of an episode, rows from 1 as they are shown.
function placeInHash() {
  const found = /^#replay=(\d+),(\d+)(?:,(\d+))?$/.exec(location.hash);
  if (!found) return null;
  const [policy, view, row] = found.slice(1).map((n) => (n === undefined ? null : Number(n)));
  return policy < replay.agents.length && replay.views.includes(view) ? { policy, view, row } : null;
}

async function followHash() {
  const place = placeInHash();
  if (!place) return;
  $("replay-policy").value = String(place.policy);
  $("replay-market").value = String(place.view);
  if (shown !== `${place.policy}-${place.view}`) await load();
  if (place.row !== null) moveTo(place.row - 1);
  $("replay").scrollIntoView();
}

let linkTimer = 0;

// The address names the row that is shown; not at once, for playing moves on many times a second.
function linkToRow() {
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => {
    const [policy, view] = shown.split("-");
    try { history.replaceState(null, "", replayHash(policy, view, episode.row)); }
    catch { /* a page inside another may not change its address */ }
  }, 250);
}

async function load() {
  const ask = ++asked;
  const view = Number($("replay-market").value);
  const policy = Number($("replay-policy").value);
  if (source.grows || !books.has(view)) {
    books.clear();
    books.set(view, await unpack(await source.block(`book-${view}`)));
  }
  const agent = await unpack(await source.block(`agent-${policy}-${view}`));
  if (ask !== asked) return; // another one was chosen meanwhile
  episode = episodeOf(books.get(view), agent);
  episode.row = episode.fills.row[0] ?? 0;
  shown = `${policy}-${view}`;
  $("slider").max = episode.rows - 1;
  summarise();
  timeline.show(episode);
  moveTo(episode.row, false);
}

function episodeOf(book, agent) {
  const b = book.columns;
  const c = agent.columns;
  const sides = (make) => [0, 1].map(make);
  const levels = (name) => sides((s) => Array.from({ length: replay.depth }, (_, k) => b[`${name}${s}.${k}`]));
  const qty = levels("qty");
  let largest = 1;
  for (const side of qty) for (const level of side) for (const q of level) if (q > largest) largest = q;
  const numbered = (name, count) => Array.from({ length: count }, (_, k) => c[`${name}${k}`]);
  return {
    row: 0, rows: agent.rows, startMs: book.start_ms, ts: b.ts.subarray(0, agent.rows),
    payout: replay.payout, cent: replay.cent, depth: replay.depth, px: levels("px"), qty,
    mark2: b.mark2, logLargest: Math.log1p(largest),
    position: c.position, equity2: c.equity2, cash: c.cash, action: c.action,
    prices: sides((s) => c[`price${s}`]), sizes: sides((s) => c[`size${s}`]),
    ahead: sides((s) => c[`ahead${s}`]), fills: agent.fills,
    features: numbered("feature", agent.standing_out), z: numbered("z", agent.standing_out),
    actions: agent.actions, hasNetwork: agent.has_network, shares: numbered("p", agent.actions.length), shareScale: replay.share_scale,
    value: c.value, valueScale: agent.value_scale, agent,
  };
}

// Rows that have come since: whoever looks at the last row goes on with it.
function grow(book, agent) {
  const [policy, view] = shown.split("-");
  const before = books.get(Number(view));
  const { row, rows, agent: old } = episode;
  const later = { ts: book.start_ms - before.start_ms };
  books.set(Number(view), { ...before, columns: joined(before.columns, book.columns, later) });
  const fills = Object.fromEntries(Object.entries(old.fills).map(([name, values]) =>
    [name, [...values, ...agent.fills[name]]]));
  episode = episodeOf(books.get(Number(view)),
    { ...agent, rows: rows + agent.rows, fills, columns: joined(old.columns, agent.columns) });
  episode.row = row === rows - 1 && !playing ? episode.rows - 1 : row;
  $("slider").max = episode.rows - 1;
  $("slider").value = episode.row;
  timeline.grow(episode);
  summarise();
  showRow();
  timeline.follow();
}

function summarise() {
  const [policy, view] = shown.split("-").map(Number);
  $("replay-summary").textContent =
    [...source.summary(policy, view), zonedDay(episode.startMs)].join(" · ");
}

function moveTo(row, linked = true) {
  episode.row = Math.max(0, Math.min(episode.rows - 1, row));
  $("slider").value = episode.row;
  showRow();
  timeline.follow();
  if (linked) linkToRow();
}

const levelText = (price) => `${price / episode.cent} ¢`;

function ladderRow(kind, price, size, side) {
  const e = episode;
  const row = e.row;
  const ours = e.sizes[side][row] > 0 && e.prices[side][row] === (side === 0 ? price : e.payout - price);
  const width = size ? (100 * Math.log1p(size)) / e.logLargest : 0;
  const bar = element("i");
  bar.style.width = `${width.toFixed(0)}%`;
  const ahead = e.ahead[side][row];
  const own = ours ? `${e.sizes[side][row]} own${ahead ? `, ${format("count", ahead)} ahead` : ""}` : "";
  return element("tr", { class: kind, data: { price: String(price), size: String(size) } },
    element("td", { class: "price" }, levelText(price)),
    element("td", { class: "size" }, bar, element("span", {}, format("count", size))),
    element("td", { class: "own" }, own));
}

function showLadder() {
  const e = episode;
  const row = e.row;
  const sides = [[], []];
  for (let side = 0; side < 2; side++) {
    for (let level = 0; level < e.depth; level++) {
      const size = e.qty[side][level][row];
      if (size > 0) {
        const p = e.px[side][level][row];
        sides[side].push([side === 0 ? p : e.payout - p, size]);
      }
    }
    // An own order where nothing else rests shows as a level of size 0.
    const own = side === 0 ? e.prices[0][row] : e.payout - e.prices[1][row];
    if (e.sizes[side][row] > 0 && !sides[side].some(([p]) => p === own)) sides[side].push([own, 0]);
    sides[side].sort((a, b) => b[0] - a[0]);
  }
  const [bids, asks] = sides;
  const spread = bids.length && asks.length
    ? `spread ${levelText(asks[asks.length - 1][0] - bids[0][0])}` : "one-sided";
  const columns = ["price", "size", "own"].map((name) => element("col", { class: name }));
  $("ladder").replaceChildren(element("colgroup", {}, ...columns), element("tbody", {},
    ...asks.map(([p, q]) => ladderRow("ask", p, q, 1)),
    element("tr", { class: "spread" }, element("td", { colspan: "3" },
      `${spread} · mid ${levelText(e.mark2[row] / 2)}`)),
    ...bids.map(([p, q]) => ladderRow("bid", p, q, 0))));
}

function bars(title, rows) {
  return [element("h3", {}, title), ...rows.map(({ name, left, width, text, chosen, hint, colour }) => {
    const bar = element("i");
    Object.assign(bar.style, { left: `${left}%`, width: `${width}%`, background: colour ?? "" });
    return element("div", { class: chosen ? "chosen" : "", title: hint ?? "" },
      element("span", {}, name), element("span", { class: "track" }, bar), element("span", {}, text));
  })];
}

function showRow() {
  const e = episode;
  const row = e.row;
  const ms = e.startMs + e.ts[row];
  $("clock").textContent = `${zonedClock(ms)} ${zoneName()}`;
  $("clock").title = `${zoned(ms)} ${zoneName()}`;
  $("row-number").textContent = `row ${format("count", row + 1)} of ${format("count", e.rows)}`;
  $("slider").setAttribute("aria-valuetext", zonedClock(ms));
  const { row: fillRows } = e.fills;
  $("previous-fill").disabled = !(fillRows[0] < row);
  $("next-fill").disabled = !(fillRows[fillRows.length - 1] > row);
  $("said").textContent = "";
  showLadder();
  const cents = (v) => v / e.cent;
  const state = [
    ["action", e.action[row] < 0 ? "end" : e.actions[e.action[row]]],
    ["position", `${format("count", Math.abs(e.position[row]))}${e.position[row] > 0 ? " YES"
      : e.position[row] < 0 ? " NO" : ""}`],
    ["cash", format("dollars", cents(e.cash[row]))],
    ["equity", format("dollars", cents(e.equity2[row]) / 2)],
    ["profit", format("profit", cents(e.equity2[row]) / 2 - source.cashStart)],
  ];
  if (e.hasNetwork) state.push(["value", (e.value[row] * e.valueScale).toFixed(2)]);
  $("state").replaceChildren(...state.flatMap(([name, text]) =>
    [element("dt", {}, name), element("dd", { data: { name } }, text)]));
  if (e.hasNetwork) {
    const colours = actionColours();
    $("policy-says").className = "bars";
    $("policy-says").replaceChildren(...bars("action probabilities", e.actions.map((name, i) => {
      const share = e.shares[i][row] / e.shareScale;
      return { name, left: 0, width: 100 * share, text: `${(100 * share).toFixed(0)} %`,
        chosen: e.action[row] === i, colour: colours[i % colours.length] };
    })));
  } else {
    $("policy-says").replaceChildren();
  }
  $("standing-out").className = "bars";
  $("standing-out").replaceChildren(...bars("features standing out", e.features.map((column, k) => {
    const z = e.z[k][row] / replay.z_scale;
    const half = Math.min(50, Math.abs(z) * 10);
    const feature = replay.features[column[row]];
    return { name: feature.name, hint: feature.definition, left: z < 0 ? 50 - half : 50, width: half,
      text: `${z > 0 ? "+" : "−"}${Math.abs(z).toFixed(1)} σ` };
  })));
}

function toFill(direction) {
  const rows = episode.fills.row;
  const found = direction > 0 ? rows.find((r) => r > episode.row)
    : rows.findLast((r) => r < episode.row);
  if (found !== undefined) moveTo(found);
  else {
    $("said").textContent = !episode.fills.row.length ? "no fill in this episode"
      : direction > 0 ? "no further fill" : "no earlier fill";
  }
}

function play() {
  playing = playing ? 0 : performance.now();
  $("play").textContent = playing ? "❚❚" : "▶";
  let drawn = playing;
  const frame = (now) => {
    if (!playing) return;
    // A minute in sight takes six seconds, a whole evening as well: by rows, evenly.
    const visible = lastAtMost(episode.ts, timeline.to) - lastAtMost(episode.ts, timeline.from);
    const rows = Math.floor(((now - drawn) / 12000) * Math.max(120, visible));
    if (rows > 0) {
      drawn = now;
      moveTo(episode.row + rows);
    }
    if (episode.row >= episode.rows - 1) play();
    else requestAnimationFrame(frame);
  };
  if (playing) requestAnimationFrame(frame);
}

function onKey(event) {
  if (!episode || event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  if (tag === "SELECT" || (tag === "BUTTON" && event.key === " ")) return;
  const step = event.shiftKey ? 100 : 1;
  const moves = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step };
  const onSlider = event.target.id === "slider";
  const inSight = onSlider || timeline.cursor.getBoundingClientRect().bottom > 0;
  if (event.key in moves && (onSlider || (inSight && event.key.length > 7 && event.key !== "ArrowDown"))) {
    moveTo(episode.row + moves[event.key]);
  } else if (event.key === "n") toFill(1);
  else if (event.key === "p") toFill(-1);
  else if (event.key === " " && (onSlider || tag === "BODY")) play();
  else return;
  event.preventDefault();
}

function setUpPointer(canvas) {
  const pointers = new Map();
  let moved = 0;
  const at = (event) => event.clientX - timeline.box.left;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    timeline.box = timeline.base.getBoundingClientRect();
    timeline.zoom(Math.exp(event.deltaY * 0.0015), timeline.t(at(event)));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    timeline.box = timeline.base.getBoundingClientRect();
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()];
    const old = pointers.get(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved += Math.abs(at(event) - old);
    const span = timeline.to - timeline.from;
    if (pointers.size === 1) {
      if (moved > 4) timeline.move(timeline.from - ((at(event) - old) / timeline.width) * span, span);
    } else {
      const after = [...pointers.values()];
      const apart = (p) => Math.max(20, Math.abs(p[0] - p[1]));
      timeline.zoom(apart(before) / apart(after), timeline.t((after[0] + after[1]) / 2));
    }
  });
  const end = (event) => {
    const single = pointers.size === 1;
    if (pointers.delete(event.pointerId) && single && moved <= 4 && event.type === "pointerup") {
      moveTo(lastAtMost(episode.ts, timeline.t(at(event))));
    }
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

function redrawReplay() {
  if (!episode) return;
  timeline.draw();
  showRow();
  summarise();
}

// The episodes there are; the first that is there is shown.
async function offerEpisodes() {
  $("replay-empty").hidden = replay.views.length > 0;
  $("replay-body").hidden = !replay.views.length;
  if (!replay.views.length) return;
  const chosen = episode ? $("replay-market").value : undefined;
  options($("replay-policy"), replay.agents.map((name, i) => [String(i), name]),
    episode ? $("replay-policy").value : undefined);
  options($("replay-market"), replay.views.map((view) => [String(view), source.label(view)]), chosen);
  if (episode) return;
  const place = placeInHash();
  if (place) {
    $("replay-policy").value = String(place.policy);
    $("replay-market").value = String(place.view);
  }
  await load();
  if (place) await followHash();
}

async function setUpReplay() {
  timeline = new Timeline($("timeline"), $("cursor"));
  setUpPointer($("cursor"));
  for (const id of ["replay-policy", "replay-market"]) {
    $(id).addEventListener("change", async () => { await load(); linkToRow(); });
  }
  $("replay-link").addEventListener("click", async () => {
    const address = new URL(replayHash(...shown.split("-"), episode.row), location.href).href;
    try {
      await navigator.clipboard.writeText(address);
      $("said").textContent = "link copied";
    } catch { $("said").textContent = address; }
  });
  window.addEventListener("hashchange", followHash);
  $("slider").addEventListener("input", () => moveTo(Number($("slider").value)));
  $("play").addEventListener("click", play);
  $("next-fill").addEventListener("click", () => toFill(1));
  $("previous-fill").addEventListener("click", () => toFill(-1));
  $("zoom-in").addEventListener("click", () => timeline.zoom(0.4));
  $("zoom-out").addEventListener("click", () => timeline.zoom(2.5));
  $("zoom-all").addEventListener("click", () => timeline.zoomAll());
  document.addEventListener("keydown", onKey);
  new ResizeObserver(() => timeline.draw()).observe($("timeline"));
  await offerEpisodes();
}
