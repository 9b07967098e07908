// The page in a real browser, against a server that has just been sent records
// this test knows one by one.
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { eventually, hostile, launch, open, ranked, Server, source, traffic } from "./harness.js";

const hourMillis = 3_600_000;
const lastDay = Date.UTC(2026, 1, 9);
const whole = new Intl.NumberFormat("en");
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

let browser, server;
const sent = new Map(); // hour in milliseconds to its records
let written = 0, rejected = 0;

async function send(hour, records) {
  const answer = await server.post(records);
  assert.equal(answer.status, 202);
  sent.set(hour, [...(sent.get(hour) ?? []), ...records]);
  written += records.length;
}

before(async () => {
  [browser, server] = await Promise.all([launch(), Server.start()]);
  const records = source();
  for (let hour = lastDay - 13 * 24 * hourMillis; hour < lastDay + 18 * hourMillis; hour += hourMillis) {
    if (new Date(hour).getUTCDate() === 4) continue; // a day on which nothing came
    await send(hour, records(traffic(hour), hour));
  }
  // More different paths in one hour than the page fetches at first.
  const many = lastDay + 2 * hourMillis;
  await send(many, Array.from({ length: 1400 }, (_, i) => ({ timestamp: new Date(many + i).toISOString(), path: `/rare/${i}`, userAgent: "rare" })));
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const text = (page, selector) => page.locator(selector).innerText();
const hourCell = (page, hour) => page.locator(`[data-hour="${new Date(hour).toISOString().slice(0, 13)}"]`);
const label = (hour) => sent.get(hour)?.length ?? 0;

async function ready(page) {
  await page.locator("#status[data-state=ok]").waitFor();
  await page.locator("#heat table").waitFor();
  await page.locator("#paths tbody tr").first().waitFor();
}

async function accessible(page, where) {
  const { violations } = await page.evaluate(`${axe}; axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})`);
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(" ")}`), [], where);
}

const noSidewaysScrolling = (page) => page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth);

describe("a server with an archive", () => {
  test("the page says what a destination waits for, and when it has everything", async () => {
    const archiving = await Server.start({ LOGFORGE_ARCHIVE_POSTGRES_URL: "postgres://x@127.0.0.1:1/x", LOGFORGE_ARCHIVE_POSTGRES_INTERVAL: "100ms" });
    try {
      const { page, close } = await open(browser, archiving.url);
      await page.locator("#fact-archive-postgres", { hasText: "has everything" }).waitFor();
      assert.equal((await archiving.post([{ timestamp: "2026-02-09T15:00:00Z", path: "/", userAgent: "x" }])).status, 202);
      await page.locator("#fact-archive-postgres", { hasText: /^\d+ B not stored yet, the oldest for .+\. Waits: nobody answers there$/ }).waitFor();
      await close();
    } finally {
      await archiving.stop();
    }
  });
});

describe("a server with records", () => {
  test("the figures are those of what was sent, live", async () => {
    const { page, complaints, requests, close } = await open(browser, server.url);
    await ready(page);

    // More of the last hour while the page looks on, and some that is refused.
    const hour = lastDay + 17 * hourMillis, records = source(11);
    const until = Date.now() + 7_000;
    for (let i = 0; Date.now() < until; i++) {
      await send(hour, records(40 + Math.round(30 * Math.sin(i / 60)), hour));
      if (i % 40 === 0) {
        const bad = [...records(2, hour), { timestamp: "yesterday", path: "/x", userAgent: "y" }];
        assert.equal((await server.post(bad)).status, 400);
        rejected += bad.length;
      }
      await new Promise((r) => setTimeout(r, 15));
      if (i === 100) assert.match(await text(page, "#tile-written .value"), /^[\d,.]+K?$/, "a rate while records arrive");
    }
    await eventually("the tile counts what was acknowledged", async () =>
      (await text(page, "#tile-written .small")) === `${whole.format(written)} since the start`);
    const reasons = await text(page, "#tile-rejected .small");
    assert.match(reasons, new RegExp(`batch ${whole.format((2 * rejected) / 3)}`));
    assert.match(reasons, new RegExp(`timestamp ${whole.format(rejected / 3)}`));
    assert.equal(await text(page, "#tile-inflight .small"), "of 64 MiB allowed");
    assert.equal(await text(page, "#fact-limits"), "at most 20 MiB and 100,000 records");
    assert.match(await text(page, "#tile-latency .value"), /^[\d.]+ (µs|ms|s)$/);

    await eventually("the hour has been summarised", async () =>
      (await hourCell(page, hour).getAttribute("aria-label")) === `Monday 9 February 2026, 17:00 UTC: ${whole.format(label(hour))} records`, 30);
    for (const at of [lastDay, lastDay + 12 * hourMillis, lastDay - 3 * 24 * hourMillis + 9 * hourMillis]) {
      assert.match(await hourCell(page, at).getAttribute("aria-label"), new RegExp(`: ${whole.format(label(at))} records$`));
    }
    assert.match(await hourCell(page, lastDay - 5 * 24 * hourMillis).getAttribute("aria-label"), /Wednesday 4 February 2026, 00:00 UTC: no records$/);

    await eventually("the newest hour's top lists follow", async () => {
      assert.deepEqual(await ranks(page, "#paths"), ranked(sent.get(hour), "path").slice(0, 12).map(([p, n]) => [p, whole.format(n)]));
      return true;
    });
    assert.deepEqual(await ranks(page, "#agents"), ranked(sent.get(hour), "userAgent").slice(0, 12).map(([p, n]) => [p, whole.format(n)]));

    await page.locator("#rate-chart summary").click();
    assert.ok((await page.locator("#rate-chart tbody tr").count()) > 2, "the chart's values can be read as a table");
    assert.deepEqual(complaints, []);
    assert.deepEqual(requests.filter((r) => !r.startsWith(server.url)), [], "nothing is asked of anybody else");
    await close();
  });

  test("any hour or range can be chosen, by mouse, by keyboard and by date", async () => {
    const { page, complaints, close } = await open(browser, server.url);
    await ready(page);
    const noon = lastDay - 2 * 24 * hourMillis + 12 * hourMillis;
    await hourCell(page, noon).click();
    await eventually("the choice is shown", async () => (await text(page, "#chosen")) === "7 Feb 2026, 12:00–13:00");
    await eventually("its paths are shown", async () => sameRows(page, [noon]));

    await page.keyboard.press("ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.hour), "2026-02-07T13");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Shift+ArrowDown");
    const range = Array.from({ length: 25 }, (_, i) => noon + (1 + i) * hourMillis);
    await eventually("the range is merged", async () => (await text(page, "#chosen")) === "7 Feb 2026, 13:00 – 8 Feb 2026, 14:00" && sameRows(page, range));
    assert.equal(await page.locator("#heat [aria-selected=true]").count(), 25);

    await page.fill("#from-day", "2026-02-08");
    await page.selectOption("#from-hour", "22");
    await page.fill("#to-day", "2026-02-09");
    await page.selectOption("#to-hour", "1");
    await page.locator("#range button").click();
    const night = Array.from({ length: 4 }, (_, i) => lastDay - 2 * hourMillis + i * hourMillis);
    await eventually("the night is merged", async () => (await text(page, "#chosen")) === "8 Feb 2026, 22:00 – 9 Feb 2026, 02:00" && sameRows(page, night));

    await page.fill("#from-day", "2025-12-24");
    await page.locator("#range button").click();
    assert.equal(await page.evaluate(() => document.getElementById("to-day").validationMessage), "At most 744 hours.");
    assert.equal(await text(page, "#chosen"), "8 Feb 2026, 22:00 – 9 Feb 2026, 02:00", "a range too long changes nothing");
    assert.deepEqual(complaints, []);
    await close();
  });

  test("search finds paths and agents of the chosen hour, and says when there is none", async () => {
    const { page, complaints, close } = await open(browser, server.url);
    await ready(page);
    const hour = lastDay + 17 * hourMillis;
    await page.getByRole("searchbox", { name: "Search paths" }).fill("PRODUCT/10");
    const want = ranked(sent.get(hour), "path").filter(([p]) => p.includes("product/10"));
    await eventually("the paths found", async () => (await text(page, "#paths [role=status]")).startsWith(`${want.length} found`));
    assert.deepEqual(await ranks(page, "#paths"), want.slice(0, 12).map(([p, n]) => [p, whole.format(n)]));
    await page.locator("#paths").getByRole("button", { name: "Show more" }).click();
    assert.equal(await page.locator("#paths tbody tr").count(), Math.min(want.length, 60));
    await page.getByRole("searchbox", { name: "Search paths" }).fill("no such thing");
    assert.equal(await text(page, "#paths .empty"), "No path contains “no such thing”.");

    await page.getByRole("searchbox", { name: "Search paths" }).fill("/rare/999");
    await hourCell(page, lastDay + 2 * hourMillis).click();
    await eventually("also what is not among the first thousand", async () => {
      await page.getByRole("searchbox", { name: "Search paths" }).fill("/rare/99");
      await page.getByRole("searchbox", { name: "Search paths" }).fill("/rare/999");
      return (await ranks(page, "#paths")).length === 1;
    });
    assert.deepEqual(await ranks(page, "#paths"), [["/rare/999", "1"]]);
    await hourCell(page, hour).click();
    await eventually("back at the newest hour", async () => (await text(page, "#chosen")) === "9 Feb 2026, 17:00–18:00");

    await page.getByRole("searchbox", { name: "Search user agents" }).fill("onerror");
    assert.deepEqual((await ranks(page, "#agents")).map(([a]) => a), [hostile], "what a client sent is text, never markup");
    assert.equal(await page.title(), "logforge");
    assert.deepEqual(complaints, []);
    await close();
  });

  test("both themes follow the system and the choice, and pass axe", async () => {
    const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const { page, complaints, close } = await open(browser, server.url, { colorScheme: "dark" });
    await ready(page);
    const dark = await ground(page);
    await accessible(page, "dark");
    await page.selectOption("#theme", "light");
    const light = await ground(page);
    assert.notEqual(light, dark);
    await accessible(page, "light");
    await page.reload();
    await ready(page);
    assert.equal(await ground(page), light, "the choice is kept");
    await page.selectOption("#theme", "auto");
    assert.equal(await ground(page), dark);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("it is readable on a phone, with no sideways scrolling", async () => {
    const { page, complaints, close } = await open(browser, server.url, { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true });
    await ready(page);
    assert.equal(await page.locator("#heat tbody tr").count(), 24, "a row an hour");
    assert.ok(await noSidewaysScrolling(page));
    await hourCell(page, lastDay + 9 * hourMillis).tap();
    await eventually("the choice is shown", async () => (await text(page, "#chosen")) === "9 Feb 2026, 09:00–10:00");
    await accessible(page, "phone");
    await page.setViewportSize({ width: 320, height: 640 });
    await eventually("the charts are narrower, and nothing scrolls sideways on the narrowest phone either", () => noSidewaysScrolling(page), 5);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("it says what a 202 means on this server", async () => {
    const { page, close } = await open(browser, server.url);
    await ready(page);
    assert.equal(await text(page, "#ack .word"), "written");
    assert.match(await text(page, "#ack"), /on disk within 1 s/);
    assert.match(await text(page, "#ack"), /\/logs\?ack=synced/);
    await close();
    const synced = await Server.start({ LOGFORGE_INGESTION_ACK: "synced" });
    const other = await open(browser, synced.url);
    await other.page.locator("#ack .word").waitFor();
    assert.equal(await text(other.page, "#ack .word"), "synced");
    await other.close();
    await synced.stop();
  });
});

const ranks = (page, panel) => page.locator(`${panel} tbody tr`).evaluateAll((rows) =>
  rows.map((r) => [r.querySelector(".name").textContent, r.querySelector("td").textContent]));

async function sameRows(page, hours) {
  const all = hours.flatMap((h) => sent.get(h) ?? []);
  assert.deepEqual(await ranks(page, "#paths"), ranked(all, "path").slice(0, 12).map(([p, n]) => [p, whole.format(n)]));
  return true;
}

describe("records of every kind", () => {
  const hour = "2015-05-20T21", start = Date.parse(`${hour}:00:00Z`);
  const long = `/${"segment-".repeat(40)}end`, invisible = "/evil\u202egnp.exe\n\u200b.";
  let odd;

  before(async () => {
    odd = await Server.start();
    const record = (timestamp, path) => ({ timestamp: new Date(timestamp).toISOString(), path, userAgent: "one" });
    const days = [];
    // Between 74 and 136 records an hour, as in a real log, and one hour with a flood.
    for (let h = 1; h <= 48; h++) {
      for (let i = 0; i < (h === 7 ? 5000 : 74 + ((h * 17) % 63)); i++) days.push(record(start - h * hourMillis + i, "/"));
    }
    const records = [record(start, long), record(start + 1, invisible), { ...record(start, "/future"), timestamp: "9999-12-31T23:00:00Z" }];
    assert.equal((await odd.post([...days, ...records])).status, 202);
    const lines = ["no log line", '{"timestamp":"never","path":"/a","userAgent":"b"}', `{"x":"${"y".repeat(500)}\\u202e"}`].join("\n");
    assert.equal((await fetch(`${odd.url}/ingest`, { method: "POST", body: lines })).status, 200);
  });

  after(() => odd?.stop());

  test("names of any length and with any character are shown as they are", async () => {
    const { page, complaints, close } = await open(browser, odd.url);
    await ready(page);
    const names = page.locator("#paths .name");
    await eventually("both are listed", async () => (await names.count()) === 2);
    const texts = await names.allTextContents();
    assert.ok(texts.includes("/evilU+202Egnp.exe␊U+200B."), `invisible characters have signs: ${texts}`);
    const shown = names.filter({ hasText: "segment" });
    assert.ok((await shown.textContent()).length < 200, "shortened");
    assert.match(await shown.textContent(), /end$/, "in the middle");
    await shown.getByRole("button").press("Enter");
    assert.ok((await shown.textContent()).startsWith(long), "opened");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-expanded")), "true");
    await shown.getByRole("button").press("Enter");
    assert.ok((await shown.textContent()).length < 200, "closed again");
    assert.ok(await noSidewaysScrolling(page));
    await page.getByRole("searchbox", { name: "Search paths" }).fill("U+202E");
    await eventually("a sign can be searched for", async () => (await names.count()) === 1);
    await page.setViewportSize({ width: 320, height: 640 });
    await eventually("nor on a phone", () => noSidewaysScrolling(page), 5);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("records of the year 9999 hide nothing, and can be looked at", async () => {
    const { page, close } = await open(browser, odd.url);
    await ready(page);
    assert.equal(await text(page, "#chosen"), "20 May 2015, 21:00–22:00", "the newest hour that is not in the future");
    assert.ok(await page.locator("#later").isDisabled());
    await page.getByRole("button", { name: "In the future: 31 Dec 9999" }).click();
    await eventually("they are shown", async () => (await page.locator('[data-hour="9999-12-31T23"]').getAttribute("aria-label")).endsWith(": 1 record"));
    await page.getByRole("button", { name: "Newest" }).click();
    await eventually("and left again", async () => (await text(page, "#span")) === "7 May – 20 May 2015");
    await close();
  });

  test("hours that differ look different, and the legend says the numbers", async () => {
    const { page, close } = await open(browser, odd.url);
    await ready(page);
    const cells = await page.locator("#heat button").evaluateAll((all) => all.map((b) => [b.dataset.level, Number((b.ariaLabel.match(/: ([\d,]+) record/) ?? [0, "0"])[1].replace(",", ""))]));
    const counted = new Map();
    for (const [level, n] of cells) if (n > 0) counted.set(level, [...(counted.get(level) ?? []), n]);
    assert.equal(counted.size, 6, "every colour is used");
    const legend = await page.locator("#scale li").allInnerTexts();
    assert.equal(legend.length, 6);
    for (const [i, words] of legend.entries()) {
      const values = counted.get(String(i + 1));
      const ends = words.trim().split("–").map((w) => Number(w.replace(",", "")));
      assert.deepEqual([Math.min(...values), Math.max(...values)], [ends[0], ends.at(-1)], words);
    }
    await close();
  });

  test("the chosen hours are in the address, which can be copied, opened and gone back in", async () => {
    const { page, complaints, close } = await open(browser, `${odd.url}/#hour=2015-05-20T03`, { permissions: ["clipboard-read", "clipboard-write"] });
    await page.locator("#paths tbody tr").first().waitFor();
    assert.equal(await text(page, "#chosen"), "20 May 2015, 03:00–04:00");
    await page.locator('[data-hour="2015-05-20T05"]').click();
    await page.locator('[data-hour="2015-05-20T08"]').click({ modifiers: ["Shift"] });
    await eventually("the range is named", async () => new URL(page.url()).hash === "#from=2015-05-20T05&to=2015-05-20T08");
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url());
    const json = await (await fetch(new URL(await page.getByRole("link", { name: "JSON" }).getAttribute("href"), odd.url))).json();
    assert.equal(json.hours.length, 4);
    assert.equal(`${whole.format(json.records)} records, UTC`, await text(page, "#top-note"));
    await page.goBack();
    await eventually("back", async () => (await text(page, "#chosen")) === "20 May 2015, 05:00–06:00");
    await page.goto(`${odd.url}/#from=yesterday`);
    assert.deepEqual(complaints, []);
    await close();
  });

  test("what was set aside is shown by route and reason", async () => {
    const { page, complaints, close } = await open(browser, odd.url);
    await page.locator("#aside-section").waitFor();
    assert.equal(await text(page, "#aside-note"), "3 records since this process started");
    const rows = await page.locator("#aside-counts tbody tr").allInnerTexts();
    assert.deepEqual(rows.map((r) => r.split("\t")), [["/ingest", "its time cannot be read", "1"], ["/ingest", "no web request, or too large", "2"]]);
    const newest = page.locator("#aside-newest li");
    assert.equal(await newest.count(), 3);
    assert.match(await newest.last().innerText(), /no log line/);
    await accessible(page, "set aside");
    assert.deepEqual(complaints, []);
    await close();
  });
});

describe("several instances", () => {
  test("what all of them have is shown, and those that do not answer are named", async () => {
    const other = await Server.start();
    const one = await Server.start({ LOGFORGE_ANALYTICS_PEERS: `${other.url},http://127.0.0.1:9` });
    const record = (path) => [{ timestamp: "2026-02-09T15:00:00Z", path, userAgent: "x" }];
    await one.post(record("/one"));
    await other.post(record("/other"));
    const { page, complaints, close } = await open(browser, one.url);
    await ready(page);
    await eventually("both are counted", async () => {
      assert.deepEqual(await ranks(page, "#paths"), [["/one", "1"], ["/other", "1"]]);
      return true;
    });
    assert.match(await text(page, "#lacking"), /^Not in these counts: http:\/\/127\.0\.0\.1:9, which did not answer/);
    await accessible(page, "several instances");
    assert.deepEqual(complaints, []);
    await close();
    await one.stop();
    await other.stop();
  });
});

describe("a server that is otherwise", () => {
  test("with API keys on, figures are shown only to who has one", async () => {
    const keyed = await Server.start({ LOGFORGE_AUTH_KEYS: "sesame,other", LOGFORGE_AUTH_METRICS: "true", LOGFORGE_AUTH_HEADER_NAME: "X-Forge-Key" });
    for (const path of ["dashboard/config", "dashboard/metrics", "analytics?hour=2026-02-09T15"]) {
      assert.equal((await fetch(`${keyed.url}/${path}`)).status, 401, path);
    }
    assert.equal((await fetch(`${keyed.url}/dashboard/metrics`, { headers: { "X-Forge-Key": "sesame" } })).status, 200);

    const { page, requests, close } = await open(browser, keyed.url);
    await page.locator("#gate").waitFor();
    assert.equal(await text(page, "#gate-header"), "X-Forge-Key");
    assert.ok(await page.locator("#figures").isHidden());
    assert.deepEqual(requests.filter((r) => /config|metrics|analytics/.test(r)), [], "nothing is asked for without a key");
    await accessible(page, "the question for a key");
    await page.getByLabel("Key").fill("open");
    await page.keyboard.press("Enter");
    await eventually("the wrong key is refused", async () => (await text(page, "#gate-error")) === "The server did not accept this key.");
    await page.getByLabel("Key").fill("sesame");
    await page.keyboard.press("Enter");
    await page.locator("#figures").waitFor();
    assert.match(await text(page, "#heat .line code"), / -H 'X-Forge-Key: KEY' /, "the line to copy has a place for the key");
    const one = [{ timestamp: "2026-02-09T15:00:00Z", path: "/a", userAgent: "x" }];
    assert.equal((await keyed.post(one, { "X-Forge-Key": "sesame" })).status, 202);
    await page.locator("#chosen-json").waitFor();
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator("#chosen-json").click()]);
    assert.equal(file.suggestedFilename(), "logforge-hour-2026-02-09T15.json", "a link cannot carry the key, the page can");
    await page.reload();
    await page.locator("#figures").waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage)).then((s) => s.includes("sesame")), false, "not kept past the tab");
    await page.getByRole("button", { name: "Forget key" }).click();
    await page.locator("#gate").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await close();
    await keyed.stop();
  });

  test("an empty one says so, one that dies says so, and one that is back goes on", async () => {
    const empty = await Server.start();
    const { page, close } = await open(browser, empty.url);
    await page.locator("#heat .empty").waitFor();
    assert.match(await text(page, "#heat .empty"), /No hour has been summarised yet/);
    assert.equal(await text(page, "#heat .line code"), `curl --data-binary @access.log ${empty.url}/ingest`);
    await page.getByRole("button", { name: "Copy", exact: true }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    await accessible(page, "empty");
    await empty.halt();
    await page.locator("#notice").waitFor();
    assert.match(await text(page, "#notice"), /No answer from the server/);
    assert.equal(await text(page, "#status"), "No answer");
    await empty.run();
    await page.locator("#status[data-state=ok]").waitFor();
    assert.ok(await page.locator("#notice").isHidden());
    await empty.post(source()(5, lastDay));
    await eventually("the first hour shows up", async () => (await hourCell(page, lastDay).getAttribute("aria-label")).endsWith(": 5 records"));
    await close();
    await empty.stop();
  });

  test("server.dashboard: false leaves neither the page nor its data", async () => {
    const off = await Server.start({ LOGFORGE_SERVER_DASHBOARD: "false" });
    for (const path of ["", "dashboard/main.js", "dashboard/config", "dashboard/metrics"]) {
      assert.equal((await fetch(`${off.url}/${path}`)).status, 404, `/${path}`);
    }
    await off.stop();
  });
});
