// The page over pipeline 2: its own tiles, its own words, and figures that have
// been through Kafka.
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { eventually, kafka, launch, open, Server, source } from "./harness.js";

test("over pipeline 2 the page shows lag, Kafka and what replicated means", async (t) => {
  const broker = await kafka();
  if (!broker) return t.skip("needs Java and Maven");
  const topic = `e2e-${process.pid}-${Date.now()}`;
  const env = { LOGFORGE_VERSION: "2", LOGFORGE_KAFKA_BROKERS: broker.addr, LOGFORGE_KAFKA_TOPIC: topic, LOGFORGE_KAFKA_GROUP_ID: topic };
  const made = spawnSync(process.env.SERVER, ["topic"], { env: { ...process.env, ...env }, encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const [server, browser] = await Promise.all([Server.start(env), launch()]);
  const { page, complaints, close } = await open(browser, server.url);
  const text = (selector) => page.locator(selector).innerText();

  await page.locator("#status[data-state=ok]").waitFor();
  const day = Date.UTC(2026, 1, 9), records = source();
  for (let i = 0; i < 20; i++) assert.equal((await server.post(records(50, day))).status, 202);
  await eventually("the tile counts what was acknowledged", async () => (await text("#tile-written .small")) === "1,000 since the start");
  await eventually("all of it was consumed", async () => /^records, \d+ partitions$/.test(await text("#tile-lag .small")));
  assert.equal(await text("#tile-lag .value"), "0");
  assert.equal(await page.locator("#tile-sync").count(), 0);
  assert.equal(await text("#ack .word"), "replicated");
  assert.match(await text("#ack"), /\?ack=enqueued/);
  assert.equal(await text("#fact-kafka"), "reachable");
  assert.equal(await text("#fact-pipeline"), `pipeline 2, through Kafka topic ${topic} (both)`);
  await eventually("it is in the hour's summary", async () =>
    (await page.locator('[data-hour="2026-02-09T00"]').getAttribute("aria-label")).endsWith(": 1,000 records"), 40);
  assert.deepEqual(complaints, []);

  await close();
  await browser.close();
  await server.stop();
  await broker.stop();
});
