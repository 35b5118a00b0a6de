// The page of an evaluation: what the replay asks of its figures, and the beginning.
"use strict";

const marketFigures = (view) => evaluation.policies[0].fill_models[chosenModel].markets[view];

const source = {
  cashStart: evaluation.config.cash_start,

  block: (name) => read(name),

  // The market's name, with its session where another has the same.
  label(view) {
    const { market_ticker: name, session_id: id } = marketFigures(view);
    const same = replay.views.filter((v) => marketFigures(v).market_ticker === name);
    return same.length > 1 ? `${name} (session ${id})` : name;
  },

  summary(policy, view) {
    const figures = evaluation.policies.find((p) => p.name === replay.agents[policy])
      .fill_models[chosenModel].markets[view];
    return [format("profit", figures.profit_cents), `${format("count", figures.fills)} fills`,
      `${format("count", figures.rows)} rows`, `fill model ${chosenModel}`];
  },
};

function redraw() {
  drawCharts();
  redrawReplay();
}

setUpZones(redraw);
setUpTables();
setUpTheme(redraw);
window.kalshiReport = { ready: setUpReplay(), moveTo: (row) => moveTo(row), episode: () => episode,
  shown: () => shown };
