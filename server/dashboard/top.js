// "Top": the most frequent paths and user agents of the chosen hours, with
// search. The first thousand are fetched; a search fetches the rest once.
import { key, readHour, readJSON, readRange, Refused } from "./api.js";
import * as f from "./format.js";
import { el, say, byId } from "./dom.js";
import { choiceQuery } from "./address.js";
import { copyButton } from "./copy.js";
import { name, visible } from "./text.js";

const first = 1000, everything = 1_000_000_000;
const page = 12;

export class Top {
  /** failed is called with the error of a request that nobody waits for. */
  constructor(failed) {
    const searched = () => this.all().catch(failed);
    this.lists = [
      new List(byId("paths"), "Paths", "path", "requestsPerPath", searched),
      new List(byId("agents"), "User agents", "user agent", "requestsPerUserAgent", searched),
    ];
    const address = () => new URL(`#${choiceQuery(...this.hours)}`, location.href).href;
    byId("chosen-links").append(copyButton("Copy link", address));
    byId("chosen-json").addEventListener("click", (event) => {
      if (!key.header) return; // the link needs no key
      event.preventDefault();
      this.save().catch(failed);
    });
  }

  /** Fetches and shows the hours from..to; the same hours again are a refresh, which leaves the lists as long as they are. */
  async load(from, to) {
    const again = this.hours?.[0] === from && this.hours[1] === to;
    this.hours = [from, to];
    if (!again) {
      this.complete = this.refused = false;
      say(byId("chosen"), f.hours(from, to));
      say(byId("top-note"), "Loading");
      byId("chosen-links").hidden = false;
      byId("chosen-json").href = `analytics?${choiceQuery(from, to)}`;
      for (const list of this.lists) list.shown = page;
    }
    const summary = await this.fetch(this.complete ? everything : first);
    if (summary) this.show(summary);
  }

  // A link cannot carry the key: the answer is fetched and handed to the browser.
  async save() {
    const query = choiceQuery(...this.hours);
    const url = URL.createObjectURL(await readJSON(query));
    el("a", { href: url, download: `logforge-${query.replace(/[^0-9A-Za-z]+/g, "-")}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  // The summary of the chosen hours; null where another choice was made meanwhile.
  async fetch(top) {
    const asked = this.hours;
    const [from, to] = asked.map(f.hourText);
    const summary = await (from === to ? readHour(from, top) : readRange(from, to, top));
    return asked === this.hours ? summary : null;
  }

  show(summary) {
    const low = Math.max(0, ...Object.values(summary.countsLowBy ?? {}));
    say(byId("top-note"), `${f.records(summary.records)}, UTC${low > 0 ? `; a count may be up to ${f.count(low)} too low, as other instances name their largest only` : ""}`);
    for (const list of this.lists) list.take(summary);
  }

  /** Everything, once somebody searches: what is below the first thousand can be found too. */
  async all() {
    if (this.complete || this.refused || !this.lists.some((l) => l.rows.length >= first)) return;
    this.complete = true;
    try {
      const summary = await this.fetch(everything);
      if (summary) this.show(summary);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.complete = false;
      this.refused = true;
      say(byId("top-note"), `Searching the first ${f.count(first)} only: ${error.message}`);
    }
  }
}

class List {
  constructor(node, title, noun, member, searched) {
    Object.assign(this, { noun, member, rows: [], shown: page, records: 0 });
    const id = `search-${member}`;
    this.search = el("input", { id, type: "search", placeholder: "Search", autocomplete: "off", spellcheck: "false",
      oninput: () => { this.shown = page; this.draw(); searched(); } });
    this.found = el("p", { class: "note", role: "status" });
    this.body = el("tbody");
    this.more = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.showMore() }, "Show more");
    this.none = el("p", { class: "empty", hidden: true });
    node.replaceChildren(
      el("div", { class: "head" }, el("h3", {}, title), this.found,
        el("label", { class: "sr", for: id }, `Search ${title.toLowerCase()}`), this.search),
      el("table", { class: "ranks" },
        el("caption", { class: "sr" }, `${title} by number of records, most first`),
        el("colgroup", {}, el("col"), el("col", { class: "n" }), el("col", { class: "p" })),
        el("thead", {}, el("tr", {}, ...[title, "Records", "Share"].map((t) => el("th", { scope: "col" }, el("span", { class: "sr" }, t))))),
        this.body),
      this.none, this.more);
  }

  take(summary) {
    this.records = summary.records;
    this.rows = Object.entries(summary[this.member] ?? {}).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    this.draw();
  }

  showMore() {
    const from = this.shown;
    this.shown += 4 * page;
    this.draw();
    this.body.rows[from]?.querySelector("th")?.focus();
  }

  draw() {
    const wanted = this.search.value.trim().toLowerCase();
    const rows = wanted ? this.rows.filter(([text]) => text.toLowerCase().includes(wanted) || visible(text).toLowerCase().includes(wanted)) : this.rows;
    const most = this.rows[0]?.[1] ?? 1;
    this.body.replaceChildren(...rows.slice(0, this.shown).map(([text, n]) => this.row(text, n, most)));
    this.more.hidden = rows.length <= this.shown;
    this.none.hidden = rows.length > 0;
    say(this.none, wanted ? `No ${this.noun} contains “${this.search.value.trim()}”.` : "No records in these hours.");
    const sum = rows.reduce((total, [, n]) => total + n, 0);
    say(this.found, rows.length === 0 ? "" : wanted ? `${f.count(rows.length)} found, ${f.share(sum, this.records)} of records` : "");
  }

  row(text, n, most) {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--part", String(n / most));
    return el("tr", {}, el("th", { scope: "row", tabindex: -1 }, bar, name(text)),
      el("td", {}, f.count(n)), el("td", { class: "share" }, f.share(n, this.records)));
  }
}
