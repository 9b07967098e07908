// The metrics this page reads, each under the name the server gives it. The
// Go test of the dashboard holds that the server exports every one of them.
const archive = (what) => `logforge_archive_${what}`; // only where there is one

export const names = {
  written: "logforge_records_written_total",
  rejected: "logforge_records_rejected_total",
  duration: "logforge_request_duration_seconds",
  inFlight: "logforge_in_flight_bytes",
  sync: "logforge_sync_duration_seconds",
  lag: "logforge_kafka_consumer_lag",
  aggregations: "aggregation_runs_total",
  openFiles: "logforge_open_files",
  writtenBytes: "logforge_written_bytes_total",
  kafkaUp: "kafka_up",
  cpu: "process_cpu_seconds_total",
  memory: "process_resident_memory_bytes",
  uptime: "logforge_uptime_seconds",
  archivePending: archive("pending_bytes"),
  archiveOldest: archive("oldest_pending_seconds"),
  archiveWaiting: archive("waiting"),
};

