// "Now": tiles and two charts from readings of this process's metrics, kept in
// the page for ten minutes and nowhere else.
import { rate, sum, quantile, select } from "./exposition.js";
import * as f from "./format.js";
import { el, svg, say, byId } from "./dom.js";
import { Chart } from "./chart.js";
import { names } from "./names.js";

const keep = 300; // readings, at one every two seconds
const lookBack = 15; // readings a latency percentile looks back over: 30 s

/** What one tile shows: value, note and spark are functions of a Live. */
const tiles = [
  { id: "written", label: "Records a second", value: (l) => f.compact(l.last.written), spark: "written",
    note: (l) => `${f.count(sum(l.now, names.written) ?? 0)} since the start` },
  { id: "rejected", label: "Rejected a second", value: (l) => f.compact(l.last.rejected), spark: "rejected", note: rejects,
    alert: (l) => l.last.rejected > 0 },
  { id: "latency", label: "Latency, p99", value: (l) => f.seconds(l.last.p99), spark: "p99",
    note: (l) => `p50 ${f.seconds(l.last.p50)}, p95 ${f.seconds(l.last.p95)}` },
  { id: "inflight", label: "In flight", value: (l) => f.bytes(l.last.inFlight), spark: "inFlight",
    note: (l) => `of ${f.bytes(l.config.maxInFlightBytes)} allowed` },
  { id: "lag", label: "Consumer lag", value: (l) => f.compact(l.last.lag), spark: "lag", note: lagNote, only: 2 },
  { id: "sync", label: "Sync to disk, p99", value: (l) => f.seconds(l.last.sync), spark: "sync", only: 1,
    note: (l) => (l.last.sync === null ? "no sync in the last 30 s" : "fdatasync, last 30 s") },
];

function rejects(live) {
  const by = select(live.now, names.rejected).filter((s) => s.value > 0).sort((a, b) => b.value - a.value);
  if (by.length === 0) return "none since the start";
  return by.slice(0, 2).map((s) => `${s.labels.reason} ${f.count(s.value)}`).join(", ") + (by.length > 2 ? ", …" : "");
}

function lagNote(live) {
  const by = select(live.now, names.lag);
  if (by.length === 0) return "no partition assigned";
  const worst = by.reduce((a, b) => (b.value > a.value ? b : a));
  const parts = by.length === 1 ? "1 partition" : `${by.length} partitions`;
  return worst.value > 0 ? `records; most in partition ${worst.labels.partition} of ${by.length}` : `records, ${parts}`;
}

export class Live {
  constructor(config) {
    this.config = config;
    this.readings = [];
    this.points = [];
    const lag = Boolean(config.kafka);
    this.tiles = tiles.filter((t) => !t.only || t.only === (lag ? 2 : 1)).map((t) => new Tile(t));
    byId("tiles").replaceChildren(...this.tiles.map((t) => t.node));
    this.rates = new Chart(byId("rate-chart"), {
      title: "Records a second", format: f.compact, least: 5, series: [
        { label: "Written", colour: "ember", fill: "ember-wash" },
        { label: "Rejected", colour: "plum", dash: [5, 4] },
      ] });
    this.latency = new Chart(byId("latency-chart"), {
      title: "Latency of POST /logs", format: f.seconds, least: 0.001, series: [
        { label: "p50", colour: "slate-1", width: 1.5 },
        { label: "p95", colour: "slate-2", width: 1.75, dash: [7, 3] },
        { label: "p99", colour: "slate-3", width: 2.25 },
      ] });
    this.latency.note("over 30 s, from histogram buckets");
  }

  /** Takes one more reading; true when the summaries have been made anew since the last. */
  add(reading) {
    const before = this.readings.at(-1);
    this.readings.push(reading);
    if (this.readings.length > lookBack + 1) this.readings.shift();
    this.now = reading;
    if (!before) return false;
    this.points.push(this.measure(before, this.readings[0], reading));
    if (this.points.length > keep) this.points.shift();
    this.last = this.points.at(-1);
    this.show();
    return sum(before, names.aggregations) !== sum(reading, names.aggregations);
  }

  measure(before, long, now) {
    const q = (p, name, want) => quantile(p, long, now, name, want);
    return {
      at: now.at,
      written: rate(before, now, names.written) ?? 0,
      rejected: rate(before, now, names.rejected) ?? 0,
      p50: q(0.5, names.duration), p95: q(0.95, names.duration), p99: q(0.99, names.duration),
      inFlight: sum(now, names.inFlight),
      lag: sum(now, names.lag),
      sync: q(0.99, names.sync),
    };
  }

  show() {
    const column = (name) => this.points.map((p) => p[name]);
    for (const tile of this.tiles) tile.show(this, column(tile.spark));
    const at = column("at");
    this.rates.update([at, column("written"), column("rejected")]);
    this.latency.update([at, column("p50"), column("p95"), column("p99")]);
    const covered = at.at(-1) - at[0];
    say(byId("now-note"), `Every 2 s, ${covered < 60 ? "since this page was opened" : `the last ${f.span(Math.min(covered, 600))}`}`);
  }
}

class Tile {
  constructor({ id, label, value, note, spark, alert }) {
    Object.assign(this, { value, note, spark, alert });
    this.big = el("span", { class: "value" }, f.none);
    this.small = el("span", { class: "small" });
    this.line = svg("polyline", { points: "" });
    this.node = el("div", { class: "card tile", id: `tile-${id}` },
      el("dt", {}, label),
      el("dd", {}, this.big, this.small, svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, this.line)));
  }

  show(live, column) {
    say(this.big, this.value(live));
    say(this.small, this.note(live));
    this.node.classList.toggle("alert", Boolean(this.alert?.(live)));
    const recent = column.slice(-60);
    const top = Math.max(...recent.map((v) => v ?? 0), 1e-9);
    const step = 100 / 59, from = 60 - recent.length;
    this.line.setAttribute("points", recent
      .map((v, i) => `${((from + i) * step).toFixed(1)},${(23 - (22 * (v ?? 0)) / top).toFixed(1)}`).join(" "));
  }
}
