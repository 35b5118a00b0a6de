// Episodes unpacked: columns of changes from row to row, compressed with zlib.
"use strict";

// Columns whose values may be beyond 32 bits.
const wide = new Set(["ts", "equity2", "cash"]);

async function unpack(block) {
  const { data, ...about } = block;
  const text = atob(data);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  const rows = block.rows;
  const columns = {};
  let at = 0;
  for (const { name, bytes: size } of block.columns) {
    const raw = bytes.slice(at, at + rows * size);
    at += rows * size;
    if (name.endsWith("/low")) {
      columns[name.slice(0, -4)] = new Uint32Array(raw);
    } else if (name.endsWith("/high")) {
      const base = name.slice(0, -5);
      columns[base] = summed(new Int32Array(raw), columns[base], true);
    } else {
      const kinds = { 1: Int8Array, 2: Int16Array, 4: Int32Array };
      columns[name] = summed(new kinds[size](raw), null, wide.has(name));
    }
  }
  return { ...about, columns };
}

// The values that changes add up to; changes of eight bytes come as a low and a high half.
function summed(changes, low, isWide) {
  const values = isWide ? new Float64Array(changes.length) : new Int32Array(changes.length);
  let sum = 0;
  for (let i = 0; i < changes.length; i++) {
    sum += low ? changes[i] * 4294967296 + low[i] : changes[i];
    values[i] = sum;
  }
  return values;
}

// Columns with those of later rows behind them; `offsets` is added to a column's later values.
function joined(columns, more, offsets = {}) {
  return Object.fromEntries(Object.entries(columns).map(([name, values]) => {
    const all = new values.constructor(values.length + more[name].length);
    all.set(values);
    const offset = offsets[name] ?? 0;
    all.set(offset ? more[name].map((v) => v + offset) : more[name], values.length);
    return [name, all];
  }));
}

// The last index whose value is at most x; 0 if there is none.
function lastAtMost(values, x) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= x) low = middle;
    else high = middle - 1;
  }
  return low;
}
