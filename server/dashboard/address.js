// The chosen hours in the page's address, so that they can be linked to:
// #hour=2026-02-09T15, or #from=2026-02-09T00&to=2026-02-09T23.
import { hourOf, hourText } from "./format.js";

const form = /^\d{4}-\d\d-\d\dT\d\d$/;

/** {from, to} of an address's part behind the #, or null. */
export function readChoice(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const from = query.get("hour") ?? query.get("from"), to = query.get("hour") ?? query.get("to");
  if (!form.test(from ?? "") || !form.test(to ?? "")) return null;
  const choice = { from: hourOf(from), to: hourOf(to) };
  return Number.isNaN(choice.from) || Number.isNaN(choice.to) || choice.to < choice.from ? null : choice;
}

/** hour=… or from=…&to=…, as the address and GET /analytics have it. */
export function choiceQuery(from, to) {
  return from === to ? `hour=${hourText(from)}` : `from=${hourText(from)}&to=${hourText(to)}`;
}
