// The one time zone of the page: chosen in the header, kept for the next page, used everywhere.
"use strict";

const localZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const zones = new Map([["UTC", "UTC"], ["America/New_York", "US Eastern"]]);
if (!zones.has(localZone)) zones.set(localZone, localZone.replace("_", " "));
let zone = "UTC";
try {
  const kept = localStorage.getItem("kalshi-zone");
  if (zones.has(kept)) zone = kept;
} catch { /* a file of its own may keep nothing */ }

const zoneName = () => zones.get(zone);
const offsets = new Map();
const quarterHour = 900_000;

// Local time minus UTC in ms; offsets change at whole quarters of an hour.
function zoneOffset(ms) {
  if (zone === "UTC") return 0;
  const quarter = Math.floor(ms / quarterHour);
  const key = `${zone} ${quarter}`;
  if (!offsets.has(key)) {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23",
      year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric" });
    const p = Object.fromEntries(format.formatToParts(quarter * quarterHour)
      .map(({ type, value }) => [type, Number(value)]));
    const local = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute);
    offsets.set(key, local - quarter * quarterHour);
  }
  return offsets.get(key);
}

// 2026-03-18T23:10:00.123 in the chosen zone.
const zoned = (ms) => new Date(ms + zoneOffset(ms)).toISOString().slice(0, -1);
const zonedDay = (ms) => zoned(ms).slice(0, 10);
const zonedTime = (ms) => zoned(ms).slice(11, 19);
const zonedClock = (ms) => zoned(ms).slice(11);
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const zonedHour = (ms) => {
  const text = zoned(ms);
  return `${months[Number(text.slice(5, 7)) - 1]} ${text.slice(8, 10)}, ${text.slice(11, 16)}`;
};

function setUpZones(changed) {
  const select = document.getElementById("zone");
  options(select, [...zones], zone);
  select.addEventListener("change", () => {
    zone = select.value;
    try { localStorage.setItem("kalshi-zone", zone); } catch { /* as above */ }
    changed();
  });
}
