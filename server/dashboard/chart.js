// One line chart: uPlot within a <figure>, drawn in the theme's colours, with
// its caption, its live legend and the same values as a table for those who
// do not see the canvas.
import { el, say } from "./dom.js";

const uPlot = globalThis.uPlot;
const clockText = (t) => new Date(t * 1000).toISOString().slice(11, 19);

// A canvas knows no custom properties: an element of the page resolves them.
const probe = document.documentElement.appendChild(el("i", { hidden: true }));
function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

const leastSeconds = 120;
const all = new Set();

/** Draws every chart again: the theme has changed. */
export const redraw = () => all.forEach((c) => c.build());

export class Chart {
  /**
   * series: [{label, colour (a custom property's name), width, dash, fill}];
   * format writes a value with its unit; least is how far the scale reaches
   * when all values are smaller.
   */
  constructor(figure, { title, series, format, least }) {
    Object.assign(this, { title, series, format, least });
    this.data = [[], ...series.map(() => [])];
    this.summary = el("span", { class: "latest" });
    this.body = el("tbody");
    this.table = el("details", { class: "astable", ontoggle: () => this.fillTable() },
      el("summary", {}, "Values as a table"),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title}, values` },
        el("table", {},
          el("caption", { class: "sr" }, `${title}, UTC, newest first`),
          el("thead", {}, el("tr", {}, ...["Time", ...series.map((s) => s.label)].map((t) => el("th", { scope: "col" }, t)))),
          this.body)));
    this.plot = el("div", { class: "plot" });
    this.words = `${title}: no readings yet`;
    figure.replaceChildren(el("figcaption", {}, el("span", { class: "title" }, title), this.summary), this.plot, this.table);
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(this.plot);
    all.add(this);
    this.build();
  }

  build() {
    this.drawn?.destroy();
    const line = colour("line"), text = colour("muted"), font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const scale = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    this.drawn = new uPlot({
      ...this.room(),
      tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC"),
      cursor: { y: false, points: { size: 7 }, sync: { key: "now" } },
      scales: { x: { range: (_, min, max) => [Math.min(min, max - leastSeconds), max] }, y: { range: (_, min, max) => [0, Math.max(this.least, max * 1.12)] } },
      axes: [
        { ...scale, size: 26, grid: { show: false }, space: 70, values: (_, at) => at.map(clockText) },
        { ...scale, size: 62, space: 34, values: (_, at) => at.map((v) => this.format(v)) },
      ],
      series: [
        { label: "Time", value: (_, t) => (t === null ? "–" : clockText(t)) },
        ...this.series.map((s) => ({
          label: s.label, stroke: colour(s.colour), width: s.width ?? 1.75, dash: s.dash,
          fill: s.fill ? colour(s.fill) : undefined, points: { show: false },
          value: (_, v) => this.format(v),
        })),
      ],
    }, this.data, this.plot);
    this.canvas = this.drawn.root.querySelector(".u-wrap");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", this.words);
    this.nameLegend();
    this.drawn.over.addEventListener("mouseleave", () => this.readLast());
    this.readLast();
  }

  // uPlot's legend toggles a series by mouse only; as buttons its entries work
  // by keyboard too. The canvas has its text in aria-label and the table.
  nameLegend() {
    this.plot.querySelectorAll(".u-series:not(:first-child) > th").forEach((th) => {
      th.setAttribute("tabindex", "0");
      th.setAttribute("role", "button");
      th.setAttribute("aria-pressed", "true");
      th.addEventListener("click", () => th.setAttribute("aria-pressed", String(!th.parentNode.classList.contains("u-off"))));
      th.addEventListener("keydown", (e) => {
        if (e.key !== "Enter" && e.key !== " ") return;
        e.preventDefault();
        th.click();
      });
    });
  }

  // With no pointer over the chart its legend tells the latest values.
  readLast() {
    const last = this.data[0].length - 1;
    if (last >= 0 && !(this.drawn.cursor.left >= 0)) this.drawn.setLegend({ idx: last }, false);
  }

  room() {
    return { width: Math.max(this.plot.clientWidth, 200), height: 190 };
  }

  fit() {
    if (this.drawn && this.plot.clientWidth !== this.drawn.width) this.drawn.setSize(this.room());
  }

  /** data: [times in seconds, values…], each series as long as the times; null is a gap. */
  update(data) {
    this.data = data;
    this.drawn.setData(data);
    this.readLast();
    const latest = this.series.map((s, i) => `${s.label} ${this.format(data[i + 1].at(-1) ?? null)}`).join(", ");
    this.words = `${this.title}, the last ${data[0].length} readings. Latest: ${latest}.`;
    this.canvas.setAttribute("aria-label", this.words);
    this.fillTable();
  }

  note(text) {
    say(this.summary, text);
  }

  fillTable() {
    if (!this.table.open) return;
    const [times, ...values] = this.data;
    const rows = times.map((t, i) => el("tr", {}, el("th", { scope: "row" }, clockText(t)),
      ...values.map((v) => el("td", {}, this.format(v[i])))));
    this.body.replaceChildren(...rows.reverse().slice(0, 60));
  }
}
