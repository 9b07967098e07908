// Requests to this server, and to nothing else: addresses are relative to the
// page. The API key, where one is needed, lives in sessionStorage: it is gone
// with the tab.

const slot = "logforge.key";

/** The server wants a key, or did not accept the one it was given. */
export class KeyNeeded extends Error {}

/** An answer that is not a 2xx; status is its HTTP status. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const header = document.documentElement.dataset.keyHeader;

export const key = {
  header,
  get: () => sessionStorage.getItem(slot) ?? "",
  set: (value) => sessionStorage.setItem(slot, value),
  forget: () => sessionStorage.removeItem(slot),
};

async function get(path, { timeout = 8000 } = {}) {
  const headers = {};
  if (header && key.get()) headers[header] = key.get();
  const answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(timeout) });
  if (answer.status === 401) throw new KeyNeeded("a key is needed");
  if (!answer.ok) {
    const body = await answer.text();
    throw new Refused(answer.status, detail(body) || `the server answered ${answer.status}`);
  }
  return answer;
}

function detail(body) {
  try {
    const problem = JSON.parse(body);
    return problem.detail || problem.title;
  } catch {
    return "";
  }
}

/** What this server is: its build, acknowledgement level and limits. */
export const readConfig = async () => (await get("dashboard/config")).json();

/** This process's metrics as Prometheus text. */
export const readMetrics = async () => (await get("dashboard/metrics")).text();

/** The merged summary of the hours from..to ("2026-02-09T15", both included) with the top largest counts, and each hour's largest. */
export async function readRange(from, to, top) {
  const query = new URLSearchParams({ from, to, top, hourTop: 1 });
  return (await get(`analytics?${query}`, { timeout: 30_000 })).json();
}

/** The summary of one hour; one that has none counts as empty. */
export async function readHour(hour, top) {
  try {
    return await (await get(`analytics?${new URLSearchParams({ hour, top })}`, { timeout: 30_000 })).json();
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return { records: 0 };
    throw error;
  }
}

/** The answer to a query of GET /analytics as it comes, with the key where one is needed. */
export const readJSON = async (query) => (await get(`analytics?${query}`, { timeout: 30_000 })).blob();

/** Records that were set aside: {counts: [{route, reason, records}], newest: [{at, from, route, reason, record}]}. */
export const readRejected = async () => (await get("dashboard/rejected")).json();

/** {ready, reason}: a server that is not ready says why; a ready one, what has stopped behind it. */
export async function readReady() {
  const answer = await fetch("ready", { cache: "no-store", signal: AbortSignal.timeout(8000) });
  const body = await answer.text();
  return { ready: answer.ok, reason: answer.ok ? body.replace(/^ready\n/, "").trim() : detail(body) || body.trim() };
}
