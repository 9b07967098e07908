// Prometheus text and what is worked out from it: sums, rates between two
// readings, quantiles of a histogram between two readings.

/** One scrape: at is in seconds, samples a Map of name to [{labels, value}]. */
export function parse(text, at) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line[0] === "#") continue;
    const sample = parseLine(line);
    if (!sample) continue;
    if (!samples.has(sample.name)) samples.set(sample.name, []);
    samples.get(sample.name).push(sample);
  }
  return { at, samples };
}

function parseLine(line) {
  const brace = line.indexOf("{");
  const labels = {};
  let name, rest;
  if (brace < 0) {
    const space = line.indexOf(" ");
    if (space < 0) return null;
    name = line.slice(0, space);
    rest = line.slice(space);
  } else {
    name = line.slice(0, brace);
    const pair = /\s*,?\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/y;
    pair.lastIndex = brace + 1;
    let end = brace + 1;
    for (let m; (m = pair.exec(line)); end = pair.lastIndex) {
      labels[m[1]] = m[2].replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    end = line.indexOf("}", end);
    if (end < 0) return null;
    rest = line.slice(end + 1);
  }
  const word = rest.trim().split(/\s+/)[0];
  const value = word === "+Inf" ? Infinity : word === "-Inf" ? -Infinity : Number(word);
  return { name, labels, value };
}

const matches = (labels, want) => Object.entries(want).every(([k, v]) => labels[k] === v);

/** The samples of a name whose labels contain want. */
export const select = (reading, name, want = {}) =>
  (reading?.samples.get(name) ?? []).filter((s) => matches(s.labels, want));

/** Their sum, or null where there is none. */
export function sum(reading, name, want) {
  const found = select(reading, name, want);
  return found.length === 0 ? null : found.reduce((total, s) => total + s.value, 0);
}

/** A counter's growth between two readings; a counter that fell has begun anew. */
export function growth(before, after, name, want) {
  const b = sum(after, name, want);
  if (b === null) return null;
  const a = sum(before, name, want) ?? 0;
  return b >= a ? b - a : b;
}

/** The same a second, or null where the readings do not tell. */
export function rate(before, after, name, want) {
  const grown = growth(before, after, name, want);
  const seconds = after.at - before.at;
  return grown === null || seconds <= 0 ? null : grown / seconds;
}

/** Growth of each bucket between two readings: [[upper bound, cumulative count]], rising. */
function buckets(before, after, name, want) {
  const total = (reading) => {
    const by = new Map();
    for (const s of select(reading, `${name}_bucket`, want)) {
      const le = s.labels.le === "+Inf" ? Infinity : Number(s.labels.le);
      by.set(le, (by.get(le) ?? 0) + s.value);
    }
    return by;
  };
  const old = before ? total(before) : new Map();
  const now = total(after);
  const reset = (old.get(Infinity) ?? 0) > (now.get(Infinity) ?? 0);
  return [...now].map(([le, n]) => [le, reset ? n : n - (old.get(le) ?? 0)]).sort((x, y) => x[0] - y[0]);
}

/**
 * The q-quantile (0..1) of what a histogram observed between two readings, by
 * linear interpolation within its bucket, as Prometheus's histogram_quantile
 * does; past the last bound, that bound. null where nothing was observed.
 */
export function quantile(q, before, after, name, want) {
  const found = buckets(before, after, name, want);
  const all = found.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return null;
  const rank = q * all;
  let lower = 0, below = 0;
  for (const [upper, count] of found) {
    if (count >= rank) {
      if (upper === Infinity) return lower;
      return count === below ? upper : lower + ((upper - lower) * (rank - below)) / (count - below);
    }
    lower = upper;
    below = count;
  }
  return lower;
}
