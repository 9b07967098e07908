// Posts batches to logforge and holds it to thresholds.
//
//   k6 run -e MODE=v1 -e SCENARIO=constant -e FORMAT=ndjson -e BATCH=100 bench/k6/ingest.js
//
// run.sh beside it calls it, and counts afterwards in the server's files
// whether everything acknowledged is there exactly once.
//
// MODE      v1 | v2: the port (8082, 8083) and the limits of the thresholds
// URL       another server, http://host:port; V1_URL and V2_URL for one mode only
// SCENARIO  smoke | constant | ramp | soak
// FORMAT    json | ndjson | csv
// BATCH     records a batch
// ACK       written | synced | replicated | enqueued; none asks for the server's own
// RATE      requests a second (constant, soak), or the end of the ramp
// DURATION  of constant, ramp and soak
// P99       threshold of constant and soak in milliseconds
// RUN       name of this run; it is in the path of every record
// OUT       file for the figures, as JSON
// API_KEY   sent as X-API-Key
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { SharedArray } from 'k6/data';

const env = (name, otherwise) => __ENV[name] || otherwise;
const mode = env('MODE', 'v1');
const scenario = env('SCENARIO', 'smoke');
const format = env('FORMAT', 'json');
const batch = Number(env('BATCH', '100'));
const ack = env('ACK', '');
const run = env('RUN', 'k6');
const own = { v1: { port: 8082, p99: 50 }, v2: { port: 8083, p99: 100 } }[mode];
const types = { json: 'application/json', ndjson: 'application/x-ndjson', csv: 'text/csv' };
if (!own) throw new Error(`MODE=${mode}: use v1 or v2`);
if (!types[format]) throw new Error(`FORMAT=${format}: use json, ndjson or csv`);
if (!(batch >= 1)) throw new Error(`BATCH=${env('BATCH')}: not a number of records`);

const url = env('URL', env(`${mode.toUpperCase()}_URL`, `http://localhost:${own.port}`)) + '/logs' + (ack ? `?ack=${ack}` : '');
const params = { headers: { 'Content-Type': types[format] }, timeout: '10s' };
if (__ENV.API_KEY) params.headers['X-API-Key'] = __ENV.API_KEY;

const arrivals = (rate, duration) => ({
  executor: 'constant-arrival-rate',
  rate: Number(env('RATE', rate)),
  timeUnit: '1s',
  duration: env('DURATION', duration),
  preAllocatedVUs: 32,
  maxVUs: 256,
});
const scenarios = {
  smoke: { executor: 'per-vu-iterations', vus: 4, iterations: 50, maxDuration: '30s' },
  constant: arrivals('200', '30s'),
  soak: arrivals('100', '10m'),
  ramp: {
    executor: 'ramping-arrival-rate',
    startRate: 10,
    timeUnit: '1s',
    preAllocatedVUs: 64,
    maxVUs: 256,
    stages: [{ target: Number(env('RATE', '4000')), duration: env('DURATION', '60s') }],
  },
};
if (!scenarios[scenario]) throw new Error(`SCENARIO=${scenario}: use ${Object.keys(scenarios).join(', ')}`);

export const options = {
  scenarios: { [scenario]: scenarios[scenario] },
  discardResponseBodies: true,
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
  thresholds: {
    http_req_failed: ['rate<0.001'],
    records_refused: ['count==0'],
  },
};
// A latency says something at a fixed rate only: the other scenarios saturate.
if (['constant', 'soak'].includes(scenario)) options.thresholds.http_req_duration = [`p(99)<${env('P99', own.p99)}`];

const acknowledged = new Counter('records_acknowledged');
const refused = new Counter('records_refused'); // answered, and not 202
const unanswered = new Counter('records_unanswered');

// What stands in a record for the name of its batch until it is sent.
const mark = 'run=@';

// 16 bodies, the same in every run: popular paths and agents are popular here too.
const bodies = new SharedArray('bodies', () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const rank = (n) => Math.floor(n ** random()) - 1; // about Zipf's law
  const paths = Array.from({ length: 2000 }, (_, i) => (i % 3 ? `/api/v1/users/${i}/orders` : `/images/photo-${i}.png`));
  const agents = Array.from({ length: 300 }, (_, i) =>
    i % 5 ? `Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${90 + (i % 50)}.0.${i}.0 Safari/537.36` : `curl/8.${i}.1`,
  );
  const start = Math.floor(Date.now() / 1000) - 1800;
  const record = (i) => ({
    timestamp: new Date((start + (i % 1800)) * 1000).toISOString(),
    path: `${paths[rank(2000)]}?${mark}`,
    userAgent: agents[rank(300)],
  });
  return Array.from({ length: 16 }, (_, n) => {
    const records = Array.from({ length: batch }, (_, i) => record(n * batch + i));
    switch (format) {
      case 'json':
        return JSON.stringify(records);
      case 'ndjson':
        return records.map((r) => JSON.stringify(r)).join('\n');
      default:
        return records.map((r) => `${r.timestamp},"${r.path}","${r.userAgent}"\n`).join('');
    }
  });
});

export default function () {
  const n = exec.scenario.iterationInTest;
  const body = bodies[n % bodies.length].replaceAll(mark, `run=${run}-${n}-`);
  const answer = http.post(url, body, params);
  if (answer.status === 202) acknowledged.add(batch);
  else if (answer.status === 0) unanswered.add(batch);
  else refused.add(batch);
}

export function handleSummary(data) {
  const value = (metric, key) => (data.metrics[metric] ? data.metrics[metric].values[key] : 0);
  const ms = (key) => Number(value('http_req_duration', key).toFixed(2));
  const seconds = data.state.testRunDurationMs / 1000;
  const failed = Object.entries(data.metrics).flatMap(([name, m]) =>
    Object.entries(m.thresholds || {}).filter(([, t]) => !t.ok).map(([rule]) => `${name} ${rule}`),
  );
  const figures = {
    mode, scenario, format, batch, ack, run, seconds,
    requests: value('http_reqs', 'count'),
    acknowledged: value('records_acknowledged', 'count'),
    refused: value('records_refused', 'count'),
    unanswered: value('records_unanswered', 'count'),
    notSent: value('dropped_iterations', 'count'), // all of k6's users were waiting
    recordsPerSecond: Math.round(value('records_acknowledged', 'count') / seconds),
    p50: ms('med'), p90: ms('p(90)'), p99: ms('p(99)'), p999: ms('p(99.9)'), max: ms('max'),
    thresholdsFailed: failed,
  };
  const files = { stdout: '\n' + Object.entries(figures).map(([k, v]) => `${k.padStart(18)}: ${v}`).join('\n') + '\n' };
  if (__ENV.OUT) files[__ENV.OUT] = JSON.stringify(figures, null, 2) + '\n';
  return files;
}
