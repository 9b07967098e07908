// "What a 202 means here": the acknowledgement level in words, and the facts
// of the process behind it.
import { growth, select, sum } from "./exposition.js";
import * as f from "./format.js";
import { el, say, byId } from "./dom.js";
import { names } from "./names.js";

// For each level: what has happened when the answer leaves, and what then
// outlives the death of the process and a loss of power.
const meaning = {
  written: {
    says: (c) => `The whole batch was handed to the operating system. It is on disk within ${f.lasting(c.syncIntervalSeconds)}.`,
    process: "kept", power: (c) => `all but the last ${f.lasting(c.syncIntervalSeconds)}`,
  },
  synced: {
    says: () => "The whole batch is on disk: the write and its fdatasync are done.",
    process: "kept", power: () => "kept",
  },
  replicated: {
    says: () => "Every in-sync Kafka replica has the whole batch. From there it goes into the files, each record once.",
    process: "kept", power: () => "kept by the replicas",
  },
  enqueued: {
    says: () => "The whole batch is in this process’s bounded buffer, on its way to Kafka.",
    process: "lost, if not sent yet", power: () => "lost, if not sent yet",
  },
};

// Why a destination of the archive takes nothing, for each value of the label
// reason.
const waits = {
  bucket: "the bucket is not there",
  database: "the database is not there, or cannot be written",
  table: "the table has another shape, or no partition for the day",
  credentials: "the credentials are wrong or have expired",
  rights: "the credentials lack a right",
  clock: "this machine’s clock is off",
  certificate: "its certificate cannot be verified",
  unreachable: "nobody answers there",
  busy: "it has no time at the moment",
  full: "there is no room",
  setting: "it refuses a setting",
  hour: "one hour does not agree with what is stored; others go on",
  disk: "the local disk has no room",
};

export function showAck(config) {
  const level = meaning[config.ack];
  const others = config.acks.filter((a) => a !== config.ack);
  byId("ack").replaceChildren(
    el("p", { class: "word" }, config.ack),
    el("p", {}, level.says(config)),
    el("table", { class: "facts" },
      el("caption", { class: "sr" }, "What becomes of an acknowledged batch"),
      el("tbody", {},
        fact("The process is killed", level.process),
        fact("The power fails", level.power(config)),
        fact("Any record is invalid", "nothing is stored, the answer is 400"),
        fact("No room", `503 after a wait of ${f.lasting(config.waitForRoomSeconds)}; the client sends again`))),
    others.length === 0 ? null : el("p", { class: "note" }, "A request may ask for another level: ",
      ...others.flatMap((a, i) => [i ? ", " : "", el("code", {}, `POST /logs?ack=${a}`)]), "."));
}

const fact = (name, value) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value));

export class Process {
  constructor(config) {
    this.config = config;
    this.values = new Map();
    const rows = [
      ["pipeline", "Pipeline"], ["up", "Up for"], ["cpu", "CPU"], ["memory", "Memory"],
      ["openFiles", "Open files"], ["bytes", "Written"], ...(config.kafka ? [["kafka", "Kafka"]] : []),
      ["limits", "A batch"],
    ].map(([id, name]) => {
      const cell = el("td", { id: `fact-${id}` }, f.none);
      this.values.set(id, cell);
      return el("tr", {}, el("th", { scope: "row" }, name), cell);
    });
    byId("process").replaceChildren(el("h3", {}, "This process"),
      el("table", { class: "facts" }, el("caption", { class: "sr" }, "This process"), el("tbody", {}, ...rows)));
    this.say("pipeline", config.kafka ? `pipeline 2, through Kafka topic ${config.kafka.topic} (${config.kafka.role})` : "pipeline 1, straight into the files");
    this.say("limits", `at most ${f.bytes(config.maxBodyBytes)} and ${f.count(config.maxBatchRecords)} records`);
  }

  say(id, text) {
    const cell = this.values.get(id);
    if (cell) say(cell, text);
  }

  // A row for each destination of the archive: whether it has everything.
  archive(now) {
    for (const { labels, value } of select(now, names.archivePending)) {
      const id = `archive-${labels.destination}`;
      if (!this.values.has(id)) {
        const cell = el("td", { id: `fact-${id}` });
        this.values.set(id, cell);
        byId("process").querySelector("tbody").append(el("tr", {}, el("th", { scope: "row" }, `Archive (${labels.destination})`), cell));
      }
      const oldest = select(now, names.archiveOldest).find((s) => s.labels.destination === labels.destination)?.value ?? 0;
      const reason = select(now, names.archiveWaiting).find((s) => s.labels.destination === labels.destination && s.value === 1)?.labels.reason;
      const pending = value > 0 ? `${f.bytes(value)} not stored yet, the oldest for ${f.span(oldest)}` : "has everything";
      this.say(id, reason ? `${pending}. Waits: ${waits[reason] ?? "see the log"}` : pending);
    }
  }

  show(before, now) {
    const cores = growth(before, now, names.cpu);
    this.say("up", f.span(sum(now, names.uptime)));
    this.say("cpu", cores === null ? f.none : f.share(cores / (now.at - before.at), 1).replace(" %", " % of one core"));
    this.say("memory", f.bytes(sum(now, names.memory)));
    this.say("openFiles", f.count(sum(now, names.openFiles)));
    this.say("bytes", `${f.bytes(sum(now, names.writtenBytes))} since the start`);
    this.archive(now);
    this.say("kafka", sum(now, names.kafkaUp) === 1 ? "reachable" : "not reachable");
  }
}
