// How numbers, sizes, durations and hours are written on the page. All times
// are UTC, as the files are.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const none = "–";
const known = (n) => n !== null && n !== undefined && Number.isFinite(n);

/** 12,345 */
export const count = (n) => (known(n) ? whole.format(n) : none);

/** 1 record, 12,345 records */
export const records = (n) => plural(n, "record");

/** 1 day, 14 days */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

/** 12.3K, but 9,999 as it is */
export const compact = (n) => (!known(n) ? none : Math.abs(n) < 10_000 ? (Math.abs(n) < 10 ? one : whole).format(n) : short.format(n));

/** Seconds as ns, µs, ms or s, three figures at most. */
export function seconds(s) {
  if (!known(s)) return none;
  if (s === 0) return "0 s";
  const [value, unit] = s < 1e-3 ? [s * 1e6, "µs"] : s < 1 ? [s * 1e3, "ms"] : [s, "s"];
  return `${Number(value.toPrecision(value >= 100 ? 3 : 2))} ${unit}`;
}

/** Bytes as B, KiB, MiB, GiB. */
export function bytes(n) {
  if (!known(n)) return none;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${n >= 100 || i === 0 ? Math.round(n) : one.format(n)} ${units[i]}`;
}

/** A part of a whole: 12.3 %, or below 0.1 %. */
export function share(part, all) {
  if (!(all > 0)) return none;
  const p = (100 * part) / all;
  return p > 0 && p < 0.1 ? "< 0.1 %" : `${one.format(p)} %`;
}

/** How long: 45 s, 12 min, 3 h 20 min, 4 d 2 h. */
export function span(s) {
  if (!known(s)) return none;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A setting's length: 0.5 s, 1 s, 2 min. */
export const lasting = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : s < 60 ? `${one.format(s)} s` : span(s));

// Hours are counted from the epoch, as the server counts them.
const hourMillis = 3_600_000;

export const hourOf = (text) => Math.floor(Date.parse(text.length === 13 ? `${text}:00:00Z` : text) / hourMillis);

/** 2026-02-09T15, as the server reads and writes it. */
export const hourText = (h) => new Date(h * hourMillis).toISOString().slice(0, 13);

const part = (options) => {
  const f = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  return (h) => f.format(new Date(h * hourMillis));
};

export const weekday = part({ weekday: "short" });
export const dayMonth = part({ day: "numeric", month: "short" });
const longWeekday = part({ weekday: "long" });
const longDay = part({ day: "numeric", month: "long", year: "numeric" });
export const fullDay = (h) => `${longWeekday(h)} ${longDay(h)}`; // browsers disagree on the comma
export const plainDay = part({ day: "numeric", month: "short", year: "numeric" });
export const clock = (h) => `${String(((h % 24) + 24) % 24).padStart(2, "0")}:00`;

/** 9 Feb 2026, 15:00–16:00; or from one hour's start to another's end. */
export function hours(from, to) {
  const end = clock(to + 1);
  const sameDay = Math.floor(from / 24) === Math.floor(to / 24);
  if (sameDay) return `${plainDay(from)}, ${clock(from)}–${end === "00:00" ? "24:00" : end}`;
  return `${plainDay(from)}, ${clock(from)} – ${plainDay(to)}, ${end === "00:00" ? "24:00" : end}`;
}
