// "Set aside": records that shippers sent and that are no web requests, by route
// and reason, and the newest few of them. Shown once there are some.
import { readRejected, Refused } from "./api.js";
import * as f from "./format.js";
import { el, say, byId } from "./dom.js";
import { name } from "./text.js";

const words = { timestamp: "its time cannot be read", path: "no path", userAgent: "no user agent", record: "no web request, or too large" };

export class Aside {
  constructor() {
    this.shown = "";
  }

  async refresh() {
    let report;
    try {
      report = await readRejected();
    } catch (error) {
      if (error instanceof Refused) return; // of a server that sets nothing aside
      throw error;
    }
    const text = JSON.stringify(report);
    if (text === this.shown) return; // what is open stays open
    this.shown = text;
    byId("aside-section").hidden = report.counts.length === 0;
    const total = report.counts.reduce((n, c) => n + c.records, 0);
    say(byId("aside-note"), `${f.records(total)} since this process started`);
    byId("aside-counts").replaceChildren(el("h3", {}, "By route and reason"),
      table(["Route", "Reason", "Records"], report.counts.map((c) => [el("code", {}, c.route), words[c.reason] ?? c.reason, f.count(c.records)])));
    byId("aside-newest").replaceChildren(el("h3", {}, "The newest"),
      ...(report.newest.length === 0 ? [el("p", { class: "empty" }, "None is kept.")] : [el("ul", { class: "newest" }, ...report.newest.map(item))]));
  }
}

function table(heads, rows) {
  return el("table", { class: "facts" }, el("caption", { class: "sr" }, "Records set aside by route and reason"),
    el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell))))));
}

function item(record) {
  const size = record.bytes ? `, the beginning of ${f.bytes(record.bytes)}` : "";
  return el("li", {},
    el("p", { class: "note" }, `${record.at.slice(0, 19).replace("T", " ")} UTC, `, el("code", {}, record.route), ` from ${record.from}: `, name(record.reason), size),
    el("code", { class: "record" }, name(record.record)));
}
