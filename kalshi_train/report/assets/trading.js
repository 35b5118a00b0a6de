// The page of a run of trading: figures and replay, asked for again while the run goes on.
"use strict";

const POLL_MS = 1000;
let run = read("run-data");
const answers = new Map(); // by market: the book came with the agent's part
let polls = 0;

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

const source = {
  grows: run.served,
  get cashStart() { return run.config.cash_start; },

  async block(name) {
    if (!run.served) return read(name);
    const [part, view] = [name.split("-")[0], name.split("-").pop()];
    if (part === "book") {
      if (answers.size > 2) answers.clear();
      answers.set(view, await ask(`rows?market=${view}&from=0`));
    }
    return answers.get(view)[part];
  },

  label: (view) => run.markets[view].market,

  summary(policy, view) {
    const market = run.markets[view];
    const seen = market.models[run.chosen];
    return [format("profit", seen.profit_cents), `${format("count", seen.fills)} fills`,
      `${format("count", market.rows)} rows`, `by ${run.chosen}`];
  },
};

function show() {
  $("replay-empty").textContent = "No row was kept that could be replayed.";
  showState(run);
  if (run.state === "starting") return;
  showHealth(run);
  drawEquity(run);
  showMarkets(run);
  showGap(run);
  showRecent(run);
  showSettings(run);
}

async function growReplay() {
  Object.assign(replay, run.replay);
  const known = $("replay-market").options.length;
  if (!episode || replay.views.length !== known) await offerEpisodes();
  if (!episode) return;
  const [, view] = shown.split("-");
  const from = episode.rows;
  if (run.markets[view].replayed <= from) return;
  const more = await ask(`rows?market=${view}&from=${from}`);
  if (!more || shown !== `0-${view}` || episode.rows !== from) return;
  grow(await unpack(more.book), await unpack(more.agent));
}

async function poll() {
  try {
    run = await ask("figures");
    polls += 1;
    show();
    await growReplay();
  } catch (error) {
    $("live").textContent = `No answer since ${zonedTime(Date.now())}: the run may be over. Its page is ` +
      "page.html in its folder.";
    $("live").className = "state bad";
  }
  if (run.state !== "ended") setTimeout(poll, POLL_MS);
}

function redraw() {
  show();
  redrawReplay();
}

setUpZones(redraw);
setUpTheme(redraw);
show();
new ResizeObserver(() => { if (run.state !== "starting") drawEquity(run); }).observe($("equity").parentElement);
window.kalshiReport = { ready: setUpReplay(), moveTo: (row) => moveTo(row), episode: () => episode,
  shown: () => shown, run: () => run, polls: () => polls };
if (run.served && run.state !== "ended") setTimeout(poll, POLL_MS);
