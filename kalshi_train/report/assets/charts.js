// Charts: titles and legends are text of the page, so that nothing collides on a narrow one.
"use strict";

const hidden = new Map(); // by name of a policy or action: whether its curves are hidden

// Times of a chart come as ms UTC in `meta` and are shown in the chosen zone.
function inZone(figure, narrow) {
  const data = figure.data.map((trace) => {
    const { ms, hours } = trace.meta ?? {};
    if (!ms) return trace;
    return hours ? { ...trace, x: ms.map(zonedHour) } : { ...trace, text: ms.map(zonedTime) };
  });
  const layout = { ...figure.layout, xaxis: { ...figure.layout.xaxis } };
  const { ticks, hours } = layout.meta ?? {};
  if (ticks) {
    const sessions = ticks.filter(([, , first]) => first).length;
    const kept = ticks.filter(([, , first], i) => !narrow || first || (sessions === 1 && i % 2 === 0));
    layout.xaxis.tickvals = kept.map(([x]) => x);
    layout.xaxis.ticktext = kept.map(([, ms, first]) => (first
      ? `${zonedTime(ms).slice(0, 5)}<br>${zonedDay(ms).slice(5)}` : zonedTime(ms).slice(0, 5)));
  }
  if (hours) layout.xaxis.categoryarray = hours.map(zonedHour);
  return { data, layout };
}

function themedLayout(given, narrow) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--muted"), linecolor: css("--line"),
    tickfont: { size: 11 }, automargin: true };
  const margin = { l: narrow ? 40 : 56, r: narrow ? 8 : 16, t: 8, b: 44 };
  const layout = { ...given, margin, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)", dragmode: narrow ? false : "zoom",
    font: { family: "system-ui, sans-serif", size: 12, color: css("--fg") } };
  delete layout.title;
  layout.xaxis = { ...given.xaxis, ...axis, tickangle: 0 };
  if (narrow) layout.xaxis.nticks = Math.min(4, given.xaxis.nticks || 4);
  layout.yaxis = { ...given.yaxis, ...axis };
  return layout;
}

// Policies have one name in all charts, actions one of their own.
const groupOf = (trace) => trace.legendgroup || `action ${trace.name}`;

// Names are escaped for Plotly, which takes tags in them for what they are; here they are text.
const entities = { "&lt;": "<", "&gt;": ">", "&quot;": "\"", "&#x27;": "'", "&amp;": "&" };
const plain = (text) => text.replace(/&(?:lt|gt|quot|#x27|amp);/g, (found) => entities[found]);

function visibility(trace) {
  const name = groupOf(trace);
  if (!hidden.has(name)) hidden.set(name, trace.visible === "legendonly");
  return !hidden.get(name);
}

function legendOf(data) {
  const shown = data.filter((t) => t.showlegend !== false && t.name);
  return shown.map((trace) => {
    const name = groupOf(trace);
    const button = element("button", { type: "button", class: "entry",
      "aria-pressed": String(!hidden.get(name)) }, element("i"), plain(trace.name));
    button.firstChild.style.background = trace.line?.color ?? trace.marker?.color ?? css("--muted");
    button.addEventListener("click", () => {
      hidden.set(name, !hidden.get(name));
      drawCharts();
    });
    return button;
  });
}

function drawCharts() {
  const { charts } = read("charts-data");
  const grid = document.getElementById("chart-grid");
  const narrow = grid.clientWidth < 560;
  const settings = { displaylogo: false, responsive: true, displayModeBar: narrow ? false : "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
  for (const [name, figure] of Object.entries(charts)) {
    let box = document.getElementById(`chart-${name}`);
    if (!box) {
      const wide = name === "equity" || name === "markets" ? "chart wide" : "chart";
      box = element("figure", { id: `chart-${name}`, class: wide }, element("figcaption"),
        element("div", { class: "plot" }), element("div", { class: "names" }));
      grid.append(box);
    }
    const [caption, plot, legend] = box.children;
    const zonedFigure = inZone(figure, narrow);
    caption.textContent = plain(figure.layout.title.text).replace("(UTC)", `(${zoneName()})`);
    plot.style.height = `${figure.layout.height || (name === "equity" ? 380 : 300)}px`;
    const data = zonedFigure.data.map((trace) => ({ ...trace, visible: visibility(trace) }));
    legend.replaceChildren(...(figure.layout.showlegend === false ? [] : legendOf(data)));
    Plotly.react(plot, data, themedLayout(zonedFigure.layout, narrow), settings);
  }
}
