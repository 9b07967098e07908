// "Hours": a heat map that is a table: a row a day and a column an hour, or
// the other way round on a narrow screen. Each cell is a button, reached by
// arrow keys; with Shift they extend the choice to a range.
import { readRange } from "./api.js";
import * as f from "./format.js";
import { el, say, byId } from "./dom.js";
import { choiceQuery, readChoice } from "./address.js";
import { copyButton } from "./copy.js";

const levels = 6;
const narrow = matchMedia("(max-width: 640px)");
const dayOf = (h) => Math.floor(h / 24);

/**
 * The least and the most records that each colour stands for, the lightest first.
 * Each colour is that of about as many hours as every other one, so that hours
 * that differ look different, whether by a few records or a thousandfold.
 */
export function scale(counts) {
  const rising = counts.filter((n) => n > 0).sort((a, b) => a - b);
  const steps = [];
  for (let i = 1; i <= levels && rising.length > 0; i++) {
    const most = rising[Math.ceil((i * rising.length) / levels) - 1];
    if (most === steps.at(-1)?.most) continue;
    steps.push({ least: rising.find((n) => n > (steps.at(-1)?.most ?? 0)), most });
  }
  // Few steps are far apart.
  return steps.map((s, i) => ({ ...s, level: steps.length === 1 ? 4 : 1 + Math.round((i * (levels - 1)) / (steps.length - 1)) }));
}

export class Hours {
  /** choose(from, to) is called with the hours chosen, both included; failed with the error of a request nobody waits for. */
  constructor(config, choose, failed) {
    Object.assign(this, { config, choose, failed });
    this.records = new Map();
    this.setDays(config);
    this.shownTo = this.recentDay;
    const linked = readChoice(location.hash);
    if (linked && linked.to - linked.from < config.maxAnalyticsHours) {
      this.shownTo = dayOf(linked.to);
      this.take(linked.from, linked.to);
    }
    addEventListener("hashchange", () => this.goTo(readChoice(location.hash)));
    byId("earlier").addEventListener("click", () => this.move(-this.days));
    byId("later").addEventListener("click", () => this.move(this.days));
    byId("newest").addEventListener("click", () => this.show(this.recentDay));
    byId("future").addEventListener("click", () => this.show(this.lastDay));
    byId("range").addEventListener("submit", (e) => this.ask(e));
    const clock = (minute) => Array.from({ length: 24 }, (_, c) => el("option", { value: c }, `${String(c).padStart(2, "0")}:${minute}`));
    byId("from-hour").replaceChildren(...clock("00"));
    byId("to-hour").replaceChildren(...clock("59"));
    narrow.addEventListener("change", () => this.show(this.shownTo));
  }

  get days() {
    return Math.max(1, Math.min(narrow.matches ? 7 : 14, Math.floor(this.config.maxAnalyticsHours / 24)));
  }

  get from() {
    return (this.shownTo - this.days + 1) * 24;
  }

  get to() {
    return this.shownTo * 24 + 23;
  }

  /** The configuration read again: there may be newer days. */
  renew(config) {
    const atEnd = this.shownTo === this.recentDay;
    this.setDays(config);
    if (atEnd) this.shownTo = this.recentDay;
    this.config = config;
  }

  // The newest day with records is not the last one where a clock is wrong and
  // records of the year 9999 have come.
  setDays(config) {
    const day = (text) => dayOf(f.hourOf(`${text}T00`));
    this.recentDay = config.recentDay ? day(config.recentDay) : dayOf(Date.now() / 3_600_000);
    this.lastDay = config.lastDay ? day(config.lastDay) : this.recentDay;
    this.firstDay = config.firstDay ? day(config.firstDay) : this.recentDay;
  }

  // To hours that the address names.
  goTo(choice) {
    if (!choice || choice.to - choice.from >= this.config.maxAnalyticsHours) return;
    if (this.chosen?.from === choice.from && this.chosen.to === choice.to) return;
    this.take(choice.from, choice.to);
    if (choice.to < this.from || choice.from > this.to) this.show(dayOf(choice.to));
    else this.mark();
  }

  move(days) {
    // Within what is not in the future, or within what is.
    const last = days > 0 && this.shownTo < this.recentDay ? this.recentDay : this.lastDay;
    this.show(Math.max(this.firstDay, Math.min(last, this.shownTo + days)));
  }

  show(lastDay) {
    this.shownTo = lastDay;
    this.load().catch(this.failed);
  }

  /** Chooses the newest hour with records, and the next one once it has some, until somebody chooses another. */
  follow() {
    if (this.chosen !== undefined && (!this.following || this.shownTo !== this.recentDay)) return;
    const newest = Math.max(...[...this.records].filter(([, n]) => n > 0).map(([h]) => h));
    if (newest === -Infinity || newest === this.chosen?.from) return;
    this.take(newest, newest);
    this.following = true;
  }

  /** Fetches the days shown and draws them. */
  async load() {
    const { from, to } = this;
    byId("heat").setAttribute("aria-busy", "true");
    const records = await this.fetch(from, to);
    if (from !== this.from || to !== this.to) return; // moved on meanwhile
    byId("heat").removeAttribute("aria-busy");
    this.records = records;
    this.drawnFrom = from;
    this.refreshes = 0;
    this.follow();
    this.draw();
  }

  /** The same days again. Late records can change any hour, but mostly they are of the last two days: only now and then everything. */
  async refresh() {
    const { from, to } = this;
    if (this.chosen === undefined || from !== this.drawnFrom || ++this.refreshes % 10 === 0) {
      await this.load();
      return;
    }
    const recent = await this.fetch(Math.max(from, to - 47), to);
    if (from !== this.from) return;
    const changed = [...recent].some(([h, n]) => this.records.get(h) !== n);
    for (const [h, n] of recent) this.records.set(h, n);
    if (!changed) return;
    this.follow();
    this.draw();
  }

  async fetch(from, to) {
    const merged = await readRange(f.hourText(from), f.hourText(to), 1);
    this.say(merged);
    return new Map((merged.hours ?? []).map((h) => [f.hourOf(h.hour.slice(0, 13)), h.records]));
  }

  // What the counts shown lack: instances that did not answer, hours whose summary
  // was damaged.
  say({ peers = [], missing = [] }) {
    const silent = peers.filter((p) => !p.answered);
    const lines = silent.map((p) => `Not in these counts: ${p.url}, which did not answer (${p.error}).`);
    if (missing.length > 0) {
      lines.push(`Counts of ${f.plural(missing.length, "hour")} are missing, because a summary was damaged: ${missing.slice(0, 3).map((h) => h.slice(0, 13)).join(", ")}${missing.length > 3 ? ", …" : ""}.`);
    }
    byId("lacking").hidden = lines.length === 0;
    if (byId("lacking").textContent !== lines.join("")) byId("lacking").replaceChildren(...lines.map((line) => el("p", {}, line)));
  }

  /** How many records the chosen hours hold, as far as they are shown. */
  get chosenRecords() {
    if (!this.chosen) return 0;
    return [...this.records].reduce((n, [h, r]) => (h >= this.chosen.from && h <= this.chosen.to ? n + r : n), 0);
  }

  take(from, to) {
    this.following = false;
    this.chosen = { from: Math.min(from, to), to: Math.max(from, to) };
    this.cursor = to;
    for (const edge of ["from", "to"]) {
      byId(`${edge}-day`).value = f.hourText(this.chosen[edge]).slice(0, 10);
      byId(`${edge}-hour`).value = String(this.chosen[edge] % 24);
    }
    this.choose(this.chosen.from, this.chosen.to);
  }

  pick(h, extend) {
    const anchor = extend && this.anchor !== undefined ? this.anchor : h;
    if (!extend) this.anchor = h;
    this.take(anchor, h);
    this.link();
    this.mark();
  }

  // Somebody has chosen: the address names it, so that it can be linked to.
  link() {
    location.hash = choiceQuery(this.chosen.from, this.chosen.to);
  }

  ask(event) {
    event.preventDefault();
    const read = (edge) => f.hourOf(byId(`${edge}-day`).value) + Number(byId(`${edge}-hour`).value);
    const from = read("from"), to = read("to");
    const most = this.config.maxAnalyticsHours;
    const wrong = to < from ? "The range ends before it begins." : to - from + 1 > most ? `At most ${f.count(most)} hours.` : "";
    const field = byId("to-day");
    if (wrong) {
      field.setCustomValidity(wrong);
      field.reportValidity();
      byId("range").addEventListener("input", () => field.setCustomValidity(""), { once: true });
      return;
    }
    this.anchor = from;
    this.take(from, to);
    this.link();
    if (to < this.from || from > this.to) this.show(dayOf(to));
    else this.mark();
  }

  draw() {
    const days = Array.from({ length: this.days }, (_, i) => this.shownTo - this.days + 1 + i);
    const clock = Array.from({ length: 24 }, (_, i) => i);
    this.steps = scale([...this.records.values()]);
    byId("scale").replaceChildren(...this.steps.map(({ least, most, level }) => el("li", {}, el("i", { "data-level": level, "aria-hidden": "true" }),
      least === most ? f.compact(most) : `${f.compact(least)}–${f.compact(most)}`)));
    byId("scale").hidden = this.steps.length === 0;
    this.cells = new Map();
    const total = days.map((d) => clock.reduce((n, c) => n + (this.records.get(d * 24 + c) ?? 0), 0));
    const dayHead = (d, scope) => el("th", { scope, class: "day" },
      el("span", { class: "weekday" }, f.weekday(d * 24)), ` ${f.dayMonth(d * 24)}`);
    const hourHead = (c, scope) => el("th", { scope, class: "clock" }, String(c).padStart(2, "0"));
    const caption = el("caption", { class: "sr" }, `Records by UTC hour, ${this.spanText()}. Arrow keys move, Enter chooses, Shift extends.`);
    const table = el("table", { class: "heat", role: "grid", "aria-multiselectable": "true" }, caption);
    if (narrow.matches) {
      table.append(el("thead", {}, el("tr", {}, el("td"), ...days.map((d) => dayHead(d, "col")))),
        el("tbody", {}, ...clock.map((c) => el("tr", {}, hourHead(c, "row"), ...days.map((d) => this.cell(d * 24 + c))))),
        el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "All"), ...total.map((n) => el("td", { class: "total" }, n ? f.compact(n) : "")))));
    } else {
      table.append(el("thead", {}, el("tr", {}, el("td"), ...clock.map((c) => hourHead(c, "col")), el("th", { scope: "col", class: "total" }, "Day"))),
        el("tbody", {}, ...days.map((d, i) => el("tr", {}, dayHead(d, "row"), ...clock.map((c) => this.cell(d * 24 + c)),
          el("td", { class: "total" }, total[i] ? f.count(total[i]) : "")))));
    }
    const held = document.activeElement?.closest?.("#heat") ? this.cursor : undefined;
    table.addEventListener("keydown", (e) => this.key(e));
    byId("heat").replaceChildren(table);
    if (this.records.size === 0) byId("heat").append(this.empty());
    say(byId("span"), this.spanText());
    byId("later").disabled = this.shownTo >= this.lastDay || (this.shownTo === this.recentDay && this.lastDay > this.recentDay);
    byId("newest").disabled = this.shownTo === this.recentDay;
    byId("future").hidden = this.lastDay <= this.recentDay;
    say(byId("future"), `In the future: ${f.plainDay(this.lastDay * 24)}`);
    byId("earlier").disabled = this.shownTo - this.days < this.firstDay;
    say(byId("hours-note"), `${f.records(total.reduce((a, b) => a + b, 0))} in ${this.days === 1 ? "this day" : `these ${this.days} days`}, summarised every ${f.span(this.config.aggregationIntervalSeconds)}`);
    this.mark();
    if (held !== undefined) this.cells.get(held)?.focus();
  }

  spanText() {
    return `${f.dayMonth(this.from)} – ${f.plainDay(this.to)}`;
  }

  empty() {
    if (this.config.lastDay) return el("p", { class: "empty" }, "No records in these days.");
    const key = document.documentElement.dataset.keyHeader;
    const line = `curl --data-binary @access.log ${key ? `-H '${key}: KEY' ` : ""}${new URL("ingest", location.href.split("#")[0])}`;
    return el("div", { class: "empty" },
      el("p", {}, "No hour has been summarised yet. Records show up here within ", `${f.span(this.config.aggregationIntervalSeconds)}. An access log, as nginx or Apache writes it, can be sent with`),
      el("p", { class: "line" }, el("code", {}, line), copyButton("Copy", () => line)));
  }

  cell(h) {
    const n = this.records.get(h) ?? 0;
    const level = n > 0 ? this.steps.find((s) => n <= s.most)?.level ?? levels : 0;
    const words = `${f.fullDay(h)}, ${f.clock(h)} UTC: ${n > 0 ? f.records(n) : "no records"}`;
    const button = el("button", { type: "button", tabindex: -1, "data-level": level, "data-hour": f.hourText(h), "aria-label": words, title: words,
      onclick: (e) => { this.focusOn(h); this.pick(h, e.shiftKey); } });
    this.cells.set(h, button);
    return el("td", { role: "gridcell" }, button);
  }

  mark() {
    const inside = (h) => this.chosen && h >= this.chosen.from && h <= this.chosen.to;
    for (const [h, button] of this.cells) button.parentNode.setAttribute("aria-selected", String(Boolean(inside(h))));
    const at = this.cells.has(this.cursor) ? this.cursor : [...this.cells.keys()].at(-1);
    for (const [h, button] of this.cells) button.tabIndex = h === at ? 0 : -1;
  }

  focusOn(h) {
    const button = this.cells.get(h);
    if (!button) return false;
    this.cursor = h;
    for (const b of this.cells.values()) b.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
    return true;
  }

  key(event) {
    const [across, down] = narrow.matches ? [24, 1] : [1, 24];
    const hour = this.cursor ?? this.to;
    const start = hour - (((hour % 24) + 24) % 24);
    const to = { ArrowLeft: hour - across, ArrowRight: hour + across, ArrowUp: hour - down, ArrowDown: hour + down,
      Home: start, End: start + 23 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (this.focusOn(to) && event.shiftKey) this.pick(to, true);
  }
}
