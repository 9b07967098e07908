// The page's arithmetic, without a browser.
import test from "node:test";
import assert from "node:assert/strict";

globalThis.document = { documentElement: { dataset: {} } };
const { parse, sum, rate, growth, quantile, select } = await import("../exposition.js");
const f = await import("../format.js");

test("labels with every escape are read, comments are not", () => {
  const reading = parse('# HELP a b\nx_total{path="a\\"b\\\\c\\nd",other="}"} 3\nx_total 4 1700000000\ny +Inf\nhalf{', 10);
  assert.deepEqual(select(reading, "x_total").map((s) => s.value), [3, 4]);
  assert.deepEqual(select(reading, "x_total")[0].labels, { path: 'a"b\\c\nd', other: "}" });
  assert.equal(sum(reading, "y"), Infinity);
  assert.equal(sum(reading, "absent"), null);
});

test("a rate is growth by seconds, and a counter that fell has begun anew", () => {
  const a = parse("n{k=\"1\"} 5\nn{k=\"2\"} 5", 100), b = parse("n{k=\"1\"} 25\nn{k=\"2\"} 5", 110);
  assert.equal(rate(a, b, "n"), 2);
  assert.equal(growth(a, b, "n", { k: "2" }), 0);
  assert.equal(growth(b, a, "n"), 10);
  assert.equal(rate(a, parse("", 120), "n"), null);
});

const histogram = (counts, at) => parse(Object.entries(counts).map(([le, n]) => `h_bucket{le="${le}"} ${n}`).join("\n"), at);

test("a quantile is interpolated within its bucket, over what came between two readings", () => {
  const before = histogram({ 1: 100, 2: 100, "+Inf": 100 }, 0);
  const after = histogram({ 1: 100, 2: 150, "+Inf": 200 }, 10);
  assert.equal(quantile(0.25, before, after, "h"), 1.5);
  assert.equal(quantile(0.5, before, after, "h"), 2);
  assert.equal(quantile(0.99, before, after, "h"), 2, "past the last bound there is only that bound");
  assert.equal(quantile(0.5, after, after, "h"), null, "nothing observed");
  assert.equal(quantile(0.5, after, histogram({ 1: 4, 2: 4, "+Inf": 4 }, 20), "h"), 0.5, "the process was started again");
});

test("numbers are written so that they can be read", () => {
  assert.equal(f.compact(9999), "9,999");
  assert.equal(f.compact(123_456), "123.5K");
  assert.equal(f.compact(0.25), "0.3");
  assert.equal(f.compact(null), "–");
  assert.equal(f.seconds(0.000234), "234 µs");
  assert.equal(f.seconds(0.0125), "13 ms");
  assert.equal(f.seconds(2), "2 s");
  assert.equal(f.bytes(1536), "1.5 KiB");
  assert.equal(f.bytes(128 * 1024 * 1024), "128 MiB");
  assert.equal(f.share(1, 3000), "< 0.1 %");
  assert.equal(f.span(3 * 3600 + 20 * 60), "3 h 20 min");
});

test("hours are the server's: UTC, counted from the epoch, both ends included", () => {
  assert.equal(f.hourText(f.hourOf("2026-02-09T15")), "2026-02-09T15");
  assert.equal(f.hourOf("1970-01-01T01"), 1);
  assert.equal(f.hours(f.hourOf("2026-02-09T15"), f.hourOf("2026-02-09T15")), "9 Feb 2026, 15:00–16:00");
  assert.equal(f.hours(f.hourOf("2026-02-09T23"), f.hourOf("2026-02-09T23")), "9 Feb 2026, 23:00–24:00");
  assert.equal(f.hours(f.hourOf("2026-02-08T22"), f.hourOf("2026-02-09T01")), "8 Feb 2026, 22:00 – 9 Feb 2026, 02:00");
  assert.equal(f.clock(-1), "23:00");
});

const { visible, shortened } = await import("../text.js");
const { readChoice, choiceQuery } = await import("../address.js");

test("nothing that a client sends is invisible", () => {
  assert.equal(visible("/a b é 中 🎉"), "/a b é 中 🎉");
  assert.equal(visible("\u0000\t\u001b\u007f"), "␀␉␛␡");
  assert.equal(visible("a\u202eb\u2066c\u200bd\u00a0e\u2028f\ufefeg\u0085h\u{e0041}i"),
    "a⟨U+202E⟩b⟨U+2066⟩c⟨U+200B⟩d⟨U+00A0⟩e⟨U+2028⟩f⟨U+FEFE⟩g⟨U+0085⟩h⟨U+E0041⟩i");
  assert.equal(shortened("x".repeat(160)), null);
  assert.deepEqual(shortened("🎉".repeat(161)).map((s) => [...s].length), [96, 48], "whole characters");
});

test("an address that names no hours is passed over", () => {
  const hour = f.hourOf("2026-02-09T15");
  assert.deepEqual(readChoice("#hour=2026-02-09T15"), { from: hour, to: hour });
  assert.deepEqual(readChoice(`#${choiceQuery(hour - 3, hour)}`), { from: hour - 3, to: hour });
  for (const wrong of ["", "#", "#hour=", "#hour=2026-02-09", "#hour=2026-13-09T15", "#from=2026-02-09T15", "#from=2026-02-09T15&to=2026-02-09T14", "#hour=<script>", "#content"]) {
    assert.equal(readChoice(wrong), null, wrong);
  }
});

test("one is singular", () => {
  assert.equal(f.records(1), "1 record");
  assert.equal(f.records(0), "0 records");
  assert.equal(f.plural(2000, "hour"), "2,000 hours");
});
