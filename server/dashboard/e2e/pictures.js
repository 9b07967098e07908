// Draws docs/images/dashboard-*.png: the page over two weeks of records, with
// requests coming in. Takes about three minutes.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { hostile, launch, open, Server, source, traffic } from "./harness.js";

const hourMillis = 3_600_000;
const lastDay = Date.UTC(2026, 1, 9), now = lastDay + 17 * hourMillis;
const minutes = 2.2;

const dir = process.argv[2];
await mkdir(dir, { recursive: true });
const server = await Server.start({ LOGFORGE_AGGREGATION_INTERVAL: "5s" });
const next = source();
const records = (n, from) => next(n, from).map((r) => (r.userAgent === hostile ? { ...r, userAgent: "okhttp/5.3.2" } : r));
for (let hour = lastDay - 13 * 24 * hourMillis; hour <= now; hour += hourMillis) {
  for (let left = 90 * traffic(hour); left > 0; left -= 5000) await server.post(records(Math.min(left, 5000), hour));
}

const browser = await launch();
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true };
const views = {
  light: await open(browser, server.url, { colorScheme: "light", deviceScaleFactor: 1.5 }),
  dark: await open(browser, server.url, { colorScheme: "dark", deviceScaleFactor: 1.5 }),
  phone: await open(browser, server.url, { ...phone, colorScheme: "dark" }),
};
let stop = false;
const load = (async () => {
  for (let drift = 0; !stop; ) {
    drift = 0.97 * drift + (Math.random() - 0.5);
    const size = Math.max(4, Math.round(22 + 6 * Math.sin(Date.now() / 17_000) + 5 * drift));
    await server.post(records(size, now));
    if (Math.random() < 0.012) await server.post([{ timestamp: "yesterday", path: "/", userAgent: "curl/8.17.0" }]);
    await new Promise((r) => setTimeout(r, 18));
  }
})();
await new Promise((r) => setTimeout(r, minutes * 60_000));
for (const [name, { page, close }] of Object.entries(views)) {
  await page.screenshot({ path: join(dir, `dashboard-${name}.png`), fullPage: true });
  await close();
}
stop = true;
await load;
await browser.close();
await server.stop();

const keyed = await Server.start({ LOGFORGE_AUTH_ENABLED: "true", LOGFORGE_AUTH_KEYS: "sesame" });
const other = await launch();
const { page } = await open(other, keyed.url, { viewport: { width: 900, height: 520 } });
await page.locator("#gate").waitFor();
await page.screenshot({ path: join(dir, "dashboard-key.png") });
await other.close();
await keyed.stop();
