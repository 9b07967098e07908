// What the browser tests stand on: a server of their own with its files in a
// temporary directory, records to send it, and a browser that keeps a record of
// everything the page said and asked for.
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Runs check until it returns something true; fails with what it last said. */
export async function eventually(what, check, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what} (${last?.message ?? last})`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

// The first of two neighbouring free ports (a broker takes both), below the
// range from which the kernel gives ports to outgoing connections: one of those
// could take it before the process it is meant for listens.
async function freePort() {
  const bindable = async (port) => {
    const probe = createServer().listen(port, "127.0.0.1");
    try {
      await once(probe, "listening");
    } catch {
      return false;
    }
    probe.close();
    await once(probe, "close");
    return true;
  };
  for (;;) {
    const port = 10000 + 2 * Math.floor(Math.random() * 5000);
    if (await bindable(port) && await bindable(port + 1)) return port;
  }
}

/** A running bin/server; env holds settings of the test. */
export class Server {
  static async start(env = {}) {
    const server = new Server();
    server.dir = await mkdtemp(join(tmpdir(), "logforge-e2e-"));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    server.env = {
      ...process.env,
      LOGFORGE_SERVER_ADDR: `127.0.0.1:${server.port}`,
      LOGFORGE_STORAGE_LOGS_DIR: join(server.dir, "logs"),
      LOGFORGE_STORAGE_ANALYTICS_DIR: join(server.dir, "analytics"),
      LOGFORGE_AGGREGATION_INTERVAL: "1s",
      ...env,
    };
    await server.run();
    return server;
  }

  async run() {
    this.log = "";
    this.process = spawn(process.env.SERVER, { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    this.exit = once(this.process, "exit");
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (text) => { this.log += text; });
    await eventually("the server answers", async () => (await fetch(`${this.url}/health`)).ok)
      .catch((error) => { throw new Error(`${error.message}\n${this.log}`); });
  }

  /** Ends the process and waits for it; its files stay. */
  async halt() {
    this.process.kill("SIGTERM");
    await this.exit;
  }

  async stop() {
    if (this.process.exitCode === null) await this.halt();
    await rm(this.dir, { recursive: true });
  }

  post(records, headers = {}) {
    return fetch(`${this.url}/logs`, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(records) });
  }
}

/**
 * A Kafka broker: the one of make kafka-up where it runs, otherwise one of the
 * test's own. null, and said loudly, where Java or Maven is missing.
 */
export async function kafka() {
  const answers = (port) => new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); }).on("error", () => resolve(false));
  });
  if (await answers(19092)) return { addr: "127.0.0.1:19092", stop: async () => {} };
  const dir = await mkdtemp(join(tmpdir(), "logforge-e2e-kafka-"));
  const port = await freePort();
  const broker = (verb) => {
    const { status, stdout, stderr } = spawnSync(fileURLToPath(new URL("../../../sink/kafka/kafkatest/broker/broker.sh", import.meta.url)), [verb],
      { env: { ...process.env, KAFKA_DIR: dir, KAFKA_PORT: String(port) }, encoding: "utf8" });
    if (status !== 0) throw new Error(`broker.sh ${verb}: ${stdout}${stderr}`);
  };
  const stop = async () => {
    broker("down");
    await rm(dir, { recursive: true });
  };
  const have = ["java", "mvn"].every((name) => spawnSync(name, ["-version"]).status === 0);
  if (!have && !process.env.CI) {
    console.error("the dashboard over pipeline 2 was LEFT OUT: it needs Java and Maven");
    return null;
  }
  broker("up");
  return { addr: `127.0.0.1:${port}`, stop };
}

/** One Chromium for all tests of a file. */
export const launch = () => chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--lang=en-GB"],
});

/** A page of its own with complaints (console, uncaught errors) and requests, as they come. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  const complaints = [], requests = [];
  page.on("console", (m) => { if (m.type() === "error" || m.type() === "warning") complaints.push(m.text()); });
  page.on("pageerror", (e) => complaints.push(e.message));
  page.on("request", (r) => requests.push(r.url()));
  await page.goto(url);
  return { page, complaints, requests, close: () => context.close() };
}

// A generator with a fixed seed (mulberry32): the same records in every run.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const known = ["/", "/home", "/login", "/api/v1/orders", "/favicon.ico", "/robots.txt", "/cart", "/search?q=forge", "/blog/2026/02/exactly-once"];
const paths = [...known, ...Array.from({ length: 400 }, (_, i) => `/product/${1000 + i}`)];
export const hostile = `<img src=x onerror="document.title='pwned'">`;
const agents = [
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.2 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (X11; Linux x86_64; rv:147.0) Gecko/20100101 Firefox/147.0",
  "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
  "curl/8.17.0", "kube-probe/1.34", "Go-http-client/2.0", hostile,
];

/** records(n, from): endless batches of n records within the hour that begins at from (milliseconds). */
export function source(seed = 7) {
  const next = random(seed);
  // Zipf, more or less: the k-th of a list is asked for in proportion to 1/k.
  const zipf = (list) => list[Math.min(list.length - 1, Math.floor(Math.exp(next() * Math.log(list.length + 1)) - 1))];
  return (n, from) => Array.from({ length: n }, () => ({
    timestamp: new Date(from + Math.floor(next() * 3_600_000)).toISOString(), path: zipf(paths), userAgent: zipf(agents),
  }));
}

/** How many records an hour of a day gets: a working day's curve, quieter at the weekend. */
export function traffic(hour) {
  const date = new Date(hour);
  const curve = 0.15 + Math.max(0, Math.sin(((date.getUTCHours() - 5) / 18) * Math.PI)) ** 1.5;
  const weekend = [0, 6].includes(date.getUTCDay()) ? 0.45 : 1;
  return Math.round(240 * curve * weekend * (0.85 + 0.3 * random(hour / 3_600_000)()));
}

/** Counts by a member, most first, ties by name: what the page has to show. */
export function ranked(records, member) {
  const counts = new Map();
  for (const r of records) counts.set(r[member], (counts.get(r[member]) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}
