// The page's own life: the key where one is needed, one reading every two
// seconds while the page is seen, and what is shown when the server does not
// answer.
import { key, KeyNeeded, readConfig, readMetrics, readReady } from "./api.js";
import { parse } from "./exposition.js";
import { Live } from "./live.js";
import { Hours } from "./hours.js";
import { Top } from "./top.js";
import { Aside } from "./aside.js";
import { showAck, Process } from "./ack.js";
import { redraw } from "./chart.js";
import { say, byId } from "./dom.js";
import * as f from "./format.js";

const every = 2000; // milliseconds between two readings
const leastBetweenSummaries = 3000;

let parts = null; // {config, live, hours, top, process} once the configuration is read
let silentSince = 0;
let summarised = 0;

function status(state, text) {
  byId("status").dataset.state = state;
  say(byId("status"), text);
}

function notice(text) {
  byId("notice").hidden = text === "";
  say(byId("notice"), text);
}

function askForKey(error) {
  if (parts) { // the key was forgotten or is no longer accepted: begin anew
    key.forget();
    location.reload();
    return;
  }
  byId("figures").hidden = true;
  byId("gate").hidden = false;
  byId("forget").hidden = true;
  say(byId("gate-header"), key.header || "X-API-Key");
  say(byId("gate-error"), key.get() ? "The server did not accept this key." : "");
  key.forget();
  status("wait", "Key needed");
  notice("");
  if (error) byId("key").focus();
}

byId("gate").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(byId("key").value.trim());
  byId("key").value = "";
  byId("gate").hidden = true;
  tick();
});

byId("forget").addEventListener("click", () => {
  askForKey(true);
});

function begin(config) {
  byId("gate").hidden = true;
  byId("figures").hidden = false;
  byId("forget").hidden = key.get() === "";
  say(byId("build"), `${config.version} · ${config.kafka ? "pipeline 2" : "pipeline 1"}`);
  const top = new Top(failed);
  const hours = new Hours(config, (from, to) => top.load(from, to).catch(failed), failed);
  showAck(config);
  parts = { config, top, hours, live: new Live(config), process: new Process(config), aside: new Aside() };
}

async function summaries() {
  summarised = Date.now();
  const { hours, top } = parts;
  hours.renew(await readConfig());
  await parts.aside.refresh();
  const before = hours.chosenRecords, chosen = hours.chosen;
  await hours.refresh();
  if (chosen && hours.chosenRecords !== before && !document.activeElement?.matches("input[type=search]")) {
    await top.load(chosen.from, chosen.to);
  }
}

async function reading() {
  if (!parts) begin(await readConfig());
  const { live, process } = parts;
  const before = live.now;
  const now = parse(await readMetrics(), Date.now() / 1000);
  const renewed = live.add(now);
  if (before) process.show(before, now);
  if (summarised === 0 || (renewed && Date.now() - summarised > leastBetweenSummaries)) await summaries();
  const { ready, reason } = await readReady();
  if (ready && reason) status("warn", `Ready, but ${reason}`);
  else if (ready) status("ok", "Ready");
  else status("warn", `Not ready: ${reason}`);
}

function failed(error) {
  if (error instanceof KeyNeeded) {
    askForKey(error);
    return;
  }
  silentSince ||= Date.now();
  status("bad", "No answer");
  byId("figures").classList.add("stale");
  const since = f.span((Date.now() - silentSince) / 1000);
  notice(error.status ? `The server answered: ${error.message}.` : `No answer from the server for ${since}. The figures below are the last ones; trying again every 2 s.`);
}

let timer = 0, running = false;

// One reading after another, never two at once; none while nobody looks.
async function tick() {
  if (running) return;
  running = true;
  clearTimeout(timer);
  const began = Date.now();
  try {
    await reading();
    silentSince = 0;
    byId("figures").classList.remove("stale");
    notice("");
  } catch (error) {
    failed(error);
  }
  running = false;
  if (!document.hidden && byId("gate").hidden) timer = setTimeout(tick, Math.max(200, every - (Date.now() - began)));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && byId("gate").hidden) tick();
});

const theme = byId("theme");
theme.value = document.documentElement.dataset.theme ?? "auto";
theme.addEventListener("change", () => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  try { localStorage.setItem("logforge.theme", theme.value); } catch { /* private mode: for this page only */ }
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

if (key.header && !key.get()) askForKey();
else tick();
