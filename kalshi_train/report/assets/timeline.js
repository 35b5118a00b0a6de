// The episode over time on a canvas: depth, prices, orders and fills; equity and position;
// action probabilities. Each pixel column shows its last row: zooming in shows every row.
"use strict";

const actionColours = () => ["#8b95a3", css("--bid"), "#8fb4f2", css("--ask"), "#f0bf8c"];

class Timeline {
  constructor(base, cursor) {
    this.base = base;
    this.cursor = cursor;
    this.margin = { left: 54, right: 50 };
    this.from = 0;
    this.to = 1;
  }

  show(episode) {
    this.episode = episode;
    this.zoomAll();
  }

  // The episode with later rows: what was in sight stays, and all of it stays all of it.
  grow(episode) {
    const whole = this.from === 0 && this.to >= this.last;
    this.episode = episode;
    if (whole) this.zoomAll();
    else this.draw();
  }

  get last() {
    return Math.max(1, this.episode.ts[this.episode.rows - 1]);
  }

  zoomAll() {
    this.from = 0;
    this.to = this.last;
    this.draw();
  }

  zoom(factor, around) {
    const centre = around ?? this.episode.ts[this.episode.row];
    const span = Math.min(this.last, Math.max(200, (this.to - this.from) * factor));
    const share = (centre - this.from) / (this.to - this.from);
    this.move(centre - share * span, span);
  }

  move(from, span) {
    this.from = Math.max(0, Math.min(from, this.last - span));
    this.to = this.from + span;
    this.draw();
  }

  // Keep the time of the episode's row in sight.
  follow() {
    const t = this.episode.ts[this.episode.row];
    const span = this.to - this.from;
    if (t < this.from || t > this.to) this.move(t - span / 2, span);
    else this.drawCursor();
  }

  x(t) {
    return this.margin.left + ((t - this.from) / (this.to - this.from)) * this.width;
  }

  t(x) {
    return this.from + ((x - this.margin.left) / this.width) * (this.to - this.from);
  }

  size() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.base.getBoundingClientRect();
    for (const canvas of [this.base, this.cursor]) {
      const [w, h] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
      if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.box = box;
    this.width = Math.max(1, box.width - this.margin.left - this.margin.right);
    const gap = 22;
    const plot = box.height - gap - 8;
    const net = this.episode.hasNetwork;
    const map = { top: 8, height: plot * (net ? 0.58 : 0.7) };
    const money = { top: map.top + map.height + 14, height: plot * (net ? 0.22 : 0.3) - 14 };
    const says = { top: money.top + money.height + 14, height: plot * 0.2 - 14 };
    this.bands = { map, money, says };
  }

  draw() {
    if (!this.episode) return;
    this.size();
    const g = this.base.getContext("2d");
    g.clearRect(0, 0, this.box.width, this.box.height);
    g.font = "11px system-ui, sans-serif";
    this.findColumns();
    this.drawAxis(g);
    this.drawDepth(g);
    this.drawOrders(g);
    this.drawFills(g);
    this.drawMoney(g);
    if (this.episode.hasNetwork) this.drawShares(g);
    this.drawCursor();
  }

  // The last row of each pixel column, and whether it is another than the column before.
  findColumns() {
    const { ts } = this.episode;
    const count = Math.floor(this.width);
    this.columns = new Int32Array(count + 1);
    for (let i = 0; i <= count; i++) {
      this.columns[i] = lastAtMost(ts, this.t(this.margin.left + i + 0.999));
    }
  }

  drawAxis(g) {
    const steps = [0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800];
    const wanted = (this.to - this.from) / 1000 / Math.max(2, this.width / 95);
    const step = 1000 * (steps.find((s) => s >= wanted) ?? 86400);
    const start = this.episode.startMs;
    const bottom = this.box.height - 16;
    g.fillStyle = css("--muted");
    g.strokeStyle = css("--line");
    g.textAlign = "center";
    g.beginPath();
    // Ticks at whole hours of the chosen zone, whose offset holds for the whole episode.
    const offset = zoneOffset(start);
    const first = Math.ceil((start + offset + this.from) / step) * step;
    for (let t = first; t <= start + offset + this.to; t += step) {
      const x = this.x(t - start - offset);
      g.moveTo(x, this.bands.map.top);
      g.lineTo(x, bottom);
      const text = new Date(t).toISOString();
      g.fillText(step < 1000 ? text.slice(14, 22) : step < 60000 ? text.slice(11, 19)
        : text.slice(11, 16), x, this.box.height - 4);
    }
    g.stroke();
  }

  // Prices in sight: what the best prices did, and a little of the depth around them.
  priceRange() {
    const e = this.episode;
    let low = e.payout;
    let high = 0;
    for (const row of this.columns) {
      const bid = e.px[0][0][row];
      const ask = e.px[1][0][row] ? e.payout - e.px[1][0][row] : 0;
      if (bid) { low = Math.min(low, bid); high = Math.max(high, bid); }
      if (ask) { low = Math.min(low, ask); high = Math.max(high, ask); }
    }
    if (low > high) [low, high] = [0, e.payout];
    const room = Math.max(4 * e.cent, (high - low) * 0.12);
    return [Math.max(0, low - room), Math.min(e.payout, high + room)];
  }

  y(price) {
    const { top, height } = this.bands.map;
    return top + height * (1 - (price - this.low) / (this.high - this.low));
  }

  drawDepth(g) {
    const e = this.episode;
    [this.low, this.high] = this.priceRange();
    const { top, height } = this.bands.map;
    g.save();
    g.beginPath();
    g.rect(this.margin.left, top, this.width, height);
    g.clip();
    const thick = Math.max(1, (height * e.cent) / (this.high - this.low));
    for (let side = 0; side < 2; side++) {
      g.fillStyle = css(side === 0 ? "--bid" : "--ask");
      for (let level = 0; level < e.depth; level++) {
        const px = e.px[side][level];
        const qty = e.qty[side][level];
        let begin = 0;
        for (let i = 1; i <= this.columns.length; i++) {
          const row = this.columns[begin];
          const next = this.columns[i];
          if (i < this.columns.length && px[row] === px[next] && qty[row] === qty[next]) continue;
          if (qty[row] > 0) {
            const price = side === 0 ? px[row] : e.payout - px[row];
            g.globalAlpha = 0.05 + 0.75 * Math.min(1, Math.log1p(qty[row]) / e.logLargest) ** 2;
            g.fillRect(this.margin.left + begin, this.y(price) - thick / 2, i - begin, thick);
          }
          begin = i;
        }
      }
    }
    g.globalAlpha = 1;
    this.steps(g, css("--bid"), (row) => e.px[0][0][row] || null);
    this.steps(g, css("--ask"), (row) => (e.px[1][0][row] ? e.payout - e.px[1][0][row] : null));
    g.restore();
    g.fillStyle = css("--muted");
    g.textAlign = "right";
    const span = (this.high - this.low) / e.cent;
    const step = [1, 2, 5, 10, 20, 25].find((s) => span / s <= height / 26) ?? 50;
    for (let c = Math.ceil(this.low / e.cent / step) * step; c * e.cent <= this.high; c += step) {
      g.fillText(`${c} ¢`, this.margin.left - 6, this.y(c * e.cent) + 4);
    }
  }

  // A step line through a value of each column's row; null leaves a hole.
  steps(g, colour, value, y = (v) => this.y(v), width = 1) {
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.beginPath();
    let before = null;
    for (let i = 0; i < this.columns.length; i++) {
      const v = value(this.columns[i]);
      const x = this.margin.left + i;
      if (v === null) { before = null; continue; }
      if (before === null) g.moveTo(x, y(v));
      else {
        if (v !== before) g.lineTo(x, y(before));
        g.lineTo(x, y(v));
      }
      before = v;
    }
    g.stroke();
    g.lineWidth = 1;
  }

  drawOrders(g) {
    const e = this.episode;
    for (let side = 0; side < 2; side++) {
      const price = (row) => (e.sizes[side][row] === 0 ? null
        : side === 0 ? e.prices[side][row] : e.payout - e.prices[side][row]);
      this.steps(g, css("--own"), price, (v) => this.y(v), 1.5);
    }
  }

  drawFills(g) {
    const { fills, ts, payout } = this.episode;
    for (let i = 0; i < fills.row.length; i++) {
      const t = ts[fills.row[i]];
      if (t < this.from || t > this.to) continue;
      const yes = fills.side[i] === 0;
      const y = this.y(yes ? fills.price[i] : payout - fills.price[i]);
      const x = this.x(t);
      const up = yes ? 1 : -1;
      const size = 4 + Math.min(4, Math.log10(fills.qty[i] + 1) * 1.6);
      g.beginPath();
      g.moveTo(x, y);
      g.lineTo(x - size * 0.7, y + up * size * 1.4);
      g.lineTo(x + size * 0.7, y + up * size * 1.4);
      g.closePath();
      g.fillStyle = css(yes ? "--bid" : "--ask");
      g.fill();
      g.strokeStyle = css("--fg");
      g.lineWidth = fills.maker[i] ? 0.6 : 1.2;
      g.stroke();
    }
    g.lineWidth = 1;
  }

  // A line that keeps the highest and lowest value of the rows in each pixel column.
  envelope(g, colour, values, band, low, high) {
    const y = (v) => band.top + band.height * (1 - (v - low) / (high - low || 1));
    g.strokeStyle = colour;
    g.beginPath();
    let row = this.columns[0];
    for (let i = 0; i < this.columns.length; i++) {
      const x = this.margin.left + i;
      let [least, most] = [values[row], values[row]];
      if (i === 0) g.moveTo(x, y(values[row]));
      for (; row < this.columns[i]; ) {
        row++;
        if (values[row] < least) least = values[row];
        if (values[row] > most) most = values[row];
      }
      g.lineTo(x, y(least));
      if (most !== least) g.lineTo(x, y(most));
      g.lineTo(x, y(values[row]));
    }
    g.stroke();
  }

  extent(values) {
    const first = this.columns[0];
    const last = this.columns[this.columns.length - 1];
    let [low, high] = [Infinity, -Infinity];
    for (let row = first; row <= last; row++) {
      if (values[row] < low) low = values[row];
      if (values[row] > high) high = values[row];
    }
    return [low, high];
  }

  label(g, band, left, right, name) {
    g.fillStyle = css("--muted");
    g.textAlign = "right";
    g.fillText(left[1], this.margin.left - 6, band.top + 9);
    g.fillText(left[0], this.margin.left - 6, band.top + band.height);
    g.textAlign = "left";
    g.fillText(right[1], this.margin.left + this.width + 6, band.top + 9);
    g.fillText(right[0], this.margin.left + this.width + 6, band.top + band.height);
    g.fillText(name, this.margin.left + 4, band.top - 3);
  }

  drawMoney(g) {
    const e = this.episode;
    const band = this.bands.money;
    const [lowPosition, highPosition] = this.extent(e.position);
    const [low, high] = this.extent(e.equity2);
    g.globalAlpha = 0.75;
    this.envelope(g, css("--muted"), e.position, band, lowPosition, highPosition);
    g.globalAlpha = 1;
    g.lineWidth = 1.5;
    this.envelope(g, css("--good"), e.equity2, band, low, high);
    g.lineWidth = 1;
    const dollars = (v) => `$${(v / 2 / e.cent / 100).toFixed(2)}`;
    this.label(g, band, [dollars(low), dollars(high)], [`${lowPosition}`, `${highPosition}`],
      "equity (green, left), position (grey, right)");
  }

  drawShares(g) {
    const e = this.episode;
    const band = this.bands.says;
    const colours = actionColours();
    for (let i = 0; i < this.columns.length; i++) {
      const row = this.columns[i];
      let y = band.top + band.height;
      for (let action = 0; action < e.shares.length; action++) {
        const h = (e.shares[action][row] / e.shareScale) * band.height;
        g.fillStyle = colours[action % colours.length];
        g.fillRect(this.margin.left + i, y - h, 1, h + 0.5);
        y -= h;
      }
    }
    const [low, high] = this.extent(e.value);
    g.globalAlpha = 0.6;
    this.envelope(g, css("--fg"), e.value, band, low, high);
    g.globalAlpha = 1;
    const shown = (v) => (v * e.valueScale).toFixed(1);
    this.label(g, band, ["0 %", "100 %"], [shown(low), shown(high)],
      "action probabilities; value (line, right)");
  }

  drawCursor() {
    const g = this.cursor.getContext("2d");
    g.clearRect(0, 0, this.box.width, this.box.height);
    const t = this.episode.ts[this.episode.row];
    if (t < this.from || t > this.to) return;
    const x = Math.round(this.x(t)) + 0.5;
    g.strokeStyle = css("--fg");
    g.beginPath();
    g.moveTo(x, 4);
    g.lineTo(x, this.box.height - 16);
    g.stroke();
  }
}
