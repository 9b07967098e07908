package config

import (
	"strings"
	"testing"
)

func TestValidate_ImpossibleValuesNameTheKeyAndWhatIsAllowed(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, _, err := load(t, text, nil)
		if err == nil {
			t.Errorf("%s was accepted", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s:\n%v\ndoes not say %q", text, err, w)
			}
		}
	}
	f("version: 3", "version (LOGFORGE_VERSION)", "1 or 2")
	f("version: 0", "version (LOGFORGE_VERSION)")
	f("server: {addr: nowhere}", "server.addr (LOGFORGE_SERVER_ADDR)", `"nowhere"`, ":8082")
	f("server: {addr: ':70000'}", "server.addr")
	f("server: {readTimeout: 0}", "server.readTimeout", "longer than 0")
	f("server: {writeTimeout: -1s}", "server.writeTimeout")
	f("server: {idleTimeout: 0}", "server.idleTimeout")
	f("server: {requestTimeout: 0}", "server.requestTimeout")
	f("server: {waitForRoom: -1s}", "server.waitForRoom", "0 or more")
	f("server: {retryAfter: 0}", "server.retryAfter")
	f("server: {shutdownTimeout: 0}", "server.shutdownTimeout")
	f("server: {drainDelay: -1s}", "server.drainDelay")
	f("server: {drainDelay: 1m, shutdownTimeout: 30s}", "server.drainDelay", "server.shutdownTimeout")
	f("server: {maxBodyBytes: 0}", "server.maxBodyBytes")
	f("server: {maxBodyBytes: 1GiB}", "server.maxBodyBytes (1GiB)", "server.maxInFlightBytes (64MiB)")
	f("server: {maxHeaderBytes: 10}", "server.maxHeaderBytes", "1KiB or more")
	f("server: {maxConnections: 0}", "server.maxConnections", "1 or more")
	f("server: {maxConnectionsPerIP: -1}", "server.maxConnectionsPerIP")
	f("server: {maxConcurrency: 0}", "server.maxConcurrency")
	f("server: {maxAnalyticsHours: 0}", "server.maxAnalyticsHours")
	f("server: {tls: {certFile: c.pem}}", "server.tls.certFile", "server.tls.keyFile")
	f("server: {tls: {clientCAFile: c.pem}}", "server.tls.clientCAFile")
	f("auth: {enabled: true}", "auth.keys (LOGFORGE_AUTH_KEYS)")
	f("auth: {enabled: true, keys: ['', ' ']}", "auth.keys")
	f("auth: {headerName: 'a b'}", "auth.headerName")
	f("ingestion: {ack: replicated}", "ingestion.ack", "written or synced in pipeline 1")
	f("version: 2\ningestion: {ack: synced}", "ingestion.ack", "replicated or enqueued in pipeline 2")
	f("version: 2\ningestion: {syncOnIngest: often}", "ingestion.syncOnIngest", "true or false")
	f("ingestion: {maxBatchRecords: 0}", "ingestion.maxBatchRecords")
	f("ingestion: {maxRecordBytes: 0}", "ingestion.maxRecordBytes")
	f("ingestion: {maxDepth: 0}", "ingestion.maxDepth")
	f("storage: {backend: minio}", "archive.s3.bucket", "storage.minio.bucket")
	f("storage: {backend: s3}", "storage.backend", "file")
	f("storage: {logsDir: ''}", "storage.logsDir")
	f("storage: {analyticsDir: ''}", "storage.analyticsDir")
	f("storage: {logsDir: x, analyticsDir: ./x}", "storage.logsDir", "storage.analyticsDir")
	f("storage: {logsDir: x, analyticsDir: x/analytics}", "storage.analyticsDir")
	f("storage: {logsDir: /x/logs, analyticsDir: /x}", "storage.logsDir")
	f("storage: {syncInterval: 0}", "storage.syncInterval")
	f("storage: {maxOpenFiles: 0}", "storage.maxOpenFiles")
	f("storage: {idleClose: 0}", "storage.idleClose")
	f("storage: {maxAge: -1s}", "storage.maxAge (LOGFORGE_STORAGE_MAX_AGE)", "0 or more")
	f("storage: {maxBytes: -1}", "storage.maxBytes")
	f("storage: {maxBytes: lots}", "storage.maxBytes", "32MiB")
	f("archive: {keepLocal: -1s}", "archive.keepLocal (LOGFORGE_ARCHIVE_KEEP_LOCAL)", "0 or more")
	f("storage: {maxAge: 24h}\narchive: {keepLocal: 48h, postgres: {url: 'postgres://localhost/x'}}", "archive.keepLocal (48h0m0s)", "storage.maxAge (24h0m0s)")
	f("aggregation: {interval: 0}", "aggregation.interval")
	f("aggregation: {maxKeys: 0}", "aggregation.maxKeys")
	f("log: {level: loud}", "log.level", "debug, info, warn or error")
	f("log: {format: xml}", "log.format", "text or json")
	f("log: {throttle: -1s}", "log.throttle")
	f("server: {maxConnections: 0, maxConcurrency: 0}", "server.maxConnections", "server.maxConcurrency") // all of them
}

func TestValidate_ImpossibleKafkaValuesNameTheKeyInPipeline2(t *testing.T) {
	f := func(kafka string, want ...string) {
		t.Helper()
		if _, _, err := load(t, "kafka: "+kafka, nil); err != nil {
			t.Errorf("%s disturbs pipeline 1: %v", kafka, err)
		}
		_, _, err := load(t, "version: 2\nkafka: "+kafka, nil)
		if err == nil {
			t.Errorf("%s was accepted", kafka)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s:\n%v\ndoes not say %q", kafka, err, w)
			}
		}
	}
	f("{brokers: []}", "kafka.brokers (LOGFORGE_KAFKA_BROKERS)", "at least one")
	f("{brokers: [localhost]}", "kafka.brokers", "localhost:9092")
	f("{brokers: [':9092']}", "kafka.brokers")
	f("{topic: ''}", "kafka.topic")
	f("{topic: 'a b'}", "kafka.topic", "letters")
	f("{deadLetterTopic: 'a b'}", "kafka.deadLetterTopic")
	f("{deadLetterTopic: logs}", "kafka.deadLetterTopic", "another topic")
	f("{groupID: ''}", "kafka.groupID")
	f("{role: observer}", "kafka.role", "ingest, consume or both")
	f("{compression: brotli}", "kafka.compression", "none, lz4, snappy or zstd")
	f("{partitions: 0}", "kafka.partitions")
	f("{replication: 0}", "kafka.replication", "-1")
	f("{maxMessageBytes: 1}", "kafka.maxMessageBytes")
	f("{recordBytes: 8MiB}", "kafka.recordBytes", "kafka.maxMessageBytes")
	f("{maxMessageBytes: 400KiB}", "ingestion.maxRecordBytes", "kafka.maxMessageBytes")
	f("{linger: -1s}", "kafka.linger")
	f("{requireAllAcks: false}", "kafka.requireAllAcks", "ingestion.ack")
	f("{recordBytes: 0}", "kafka.recordBytes", "1 or more")
	f("{recordBytes: 1GiB}", "kafka.recordBytes", "kafka.maxBufferedBytes")
	f("{maxBufferedBytes: 1MiB}", "server.maxBodyBytes", "kafka.maxBufferedBytes")
	f("{deliveryTimeout: 0}", "kafka.deliveryTimeout")
	f("{consumers: 0}", "kafka.consumers")
	f("{sessionTimeout: 0}", "kafka.sessionTimeout")
	f("{rebalanceTimeout: 0}", "kafka.rebalanceTimeout")
	f("{rebalanceTimeout: 600ms}", "consumer.flushInterval")
	f("{startOffset: middle}", "kafka.startOffset", "earliest or latest")
	f("{onGap: shrug}", "kafka.onGap", "stop or continue")
	f("{tls: {enabled: true, certFile: c}}", "kafka.tls.certFile", "kafka.tls.keyFile")
	f("{tls: {caFile: c}}", "kafka.tls.enabled")
	f("{sasl: {mechanism: GSSAPI, username: u, password: p}}", "kafka.sasl.mechanism", "PLAIN")
	f("{sasl: {mechanism: PLAIN, username: u}}", "kafka.sasl.password")
	f("{sasl: {username: u, password: p}}", "kafka.sasl.mechanism")
}

func TestValidate_AcceptsGoodCombinations(t *testing.T) {
	for _, text := range []string{
		"server: {addr: '127.0.0.1:0'}",
		"server: {addr: '[::1]:8082', maxConnectionsPerIP: 5}",
		"auth: {enabled: true, keys: [k]}",
		"storage: {logsDir: x/logs, analyticsDir: x/logs-summaries}",
		"version: 2\ningestion: {ack: enqueued}\nkafka: {requireAllAcks: false}",
		"version: 2\nkafka: {tls: {enabled: true}, sasl: {mechanism: SCRAM-SHA-512, username: u, password: p}, recordBytes: 1}",
	} {
		mustLoad(t, text, nil)
	}
}

func TestConfig_RefusesNamesAndZonesThatAreNone(t *testing.T) {
	for _, bad := range []string{
		"ingestion: {timeZone: Europe/Nowhere}", "ingestion: {timeZone: \"\"}",
		"ingestion: {invalid: perhaps}", "ingestion: {extra: some}", "ingestion: {missingTime: later}", "ingestion: {maxRejectedBytes: 1KiB}",
	} {
		if _, _, err := load(t, bad, nil); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
