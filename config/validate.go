package config

// What a setting may be, and which settings contradict each other.

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// problem names a setting by both of its names, its value, and what is allowed.
func problem(key string, value any, allowed string) error {
	if s, ok := value.(string); ok {
		value = strconv.Quote(s)
	}
	return fmt.Errorf("%s: %v is not allowed: must be %s", named(key), value, allowed)
}

func named(key string) string { return key + " (" + EnvName(key) + ")" }

// Validate reports every setting that cannot be, one a line; nil means that the
// configuration is good. Ingestion.Ack must be set already.
func (c *Config) Validate() error {
	v := new(validation)
	v.word("version", strconv.Itoa(c.Version), "1", "2")
	c.validateServer(v)
	c.validateIngestion(v)
	c.validateStorage(v)
	if c.Version == 2 {
		c.validateKafka(v)
	}
	v.word("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.word("log.format", c.Log.Format, "text", "json")
	atLeast(v, "log.throttle", c.Log.Throttle, 0)
	return errors.Join(v.errs...)
}

type validation struct{ errs []error }

func (v *validation) fail(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validation) that(ok bool, key string, value any, allowed string) {
	if !ok {
		v.errs = append(v.errs, problem(key, value, allowed))
	}
}

func (v *validation) word(key, value string, allowed ...string) {
	v.that(slices.Contains(allowed, value), key, value, strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1])
}

func (v *validation) positive(key string, d time.Duration) {
	v.that(d > 0, key, d, "longer than 0")
}

func atLeast[T cmp.Ordered](v *validation, key string, value, least T) {
	v.that(value >= least, key, value, fmt.Sprintf("%v or more", least))
}

// address checks host:port; an empty host means every address, where allowed.
func (v *validation) address(key, addr string, emptyHost bool) {
	host, port, err := net.SplitHostPort(addr)
	n, perr := strconv.ParseUint(port, 10, 16)
	ok := err == nil && perr == nil && (host != "" || emptyHost) && (n != 0 || emptyHost)
	example := "host:port, such as localhost:9092"
	if emptyHost {
		example = "host:port, such as :8082 or 127.0.0.1:8082"
	}
	v.that(ok, key, addr, example)
}

func (c *Config) validateServer(v *validation) {
	s := &c.Server
	v.address("server.addr", s.Addr, true)
	v.positive("server.readTimeout", s.ReadTimeout)
	v.positive("server.writeTimeout", s.WriteTimeout)
	v.positive("server.idleTimeout", s.IdleTimeout)
	v.positive("server.requestTimeout", s.RequestTimeout)
	atLeast(v, "server.waitForRoom", s.WaitForRoom, 0)
	v.positive("server.retryAfter", s.RetryAfter)
	v.positive("server.shutdownTimeout", s.ShutdownTimeout)
	atLeast(v, "server.drainDelay", s.DrainDelay, 0)
	if s.DrainDelay >= s.ShutdownTimeout {
		v.fail("server.drainDelay (%v) must be shorter than server.shutdownTimeout (%v), or no time is left to stop in", s.DrainDelay, s.ShutdownTimeout)
	}
	atLeast(v, "server.maxBodyBytes", s.MaxBodyBytes, 1)
	if s.MaxBodyBytes > s.MaxInFlightBytes {
		v.fail("server.maxBodyBytes (%v) must not be more than server.maxInFlightBytes (%v), or the largest body could never be taken", s.MaxBodyBytes, s.MaxInFlightBytes)
	}
	atLeast(v, "server.maxHeaderBytes", s.MaxHeaderBytes, KiB)
	atLeast(v, "server.maxConnections", s.MaxConnections, 1)
	atLeast(v, "server.maxConnectionsPerIP", s.MaxConnectionsPerIP, 0)
	atLeast(v, "server.maxConcurrency", s.MaxConcurrency, 1)
	atLeast(v, "server.maxAnalyticsHours", s.MaxAnalyticsHours, 1)

	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		v.fail("server.tls.certFile and server.tls.keyFile must be set together")
	}
	if s.TLS.ClientCAFile != "" && s.TLS.CertFile == "" {
		v.fail("server.tls.clientCAFile needs server.tls.certFile and server.tls.keyFile")
	}
	v.that(httpToken.MatchString(c.Auth.HeaderName), "auth.headerName", c.Auth.HeaderName, "the name of an HTTP header")
	if c.Auth.Enabled && len(c.Auth.Keys) == 0 {
		v.fail("auth.enabled is true, but auth.keys (LOGFORGE_AUTH_KEYS) holds no key: nobody could get in")
	}
}

var httpToken = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (c *Config) validateIngestion(v *validation) {
	in := &c.Ingestion
	switch c.Version {
	case 1:
		v.that(in.Ack == "written" || in.Ack == "synced", "ingestion.ack", in.Ack, "written or synced in version 1")
	case 2:
		v.that(in.Ack == "replicated" || in.Ack == "enqueued", "ingestion.ack", in.Ack, "replicated or enqueued in version 2")
	}
	atLeast(v, "ingestion.maxBatchRecords", in.MaxBatchRecords, 1)
	atLeast(v, "ingestion.maxRecordBytes", in.MaxRecordBytes, 1)
	atLeast(v, "ingestion.maxDepth", in.MaxDepth, 1)
}

func (c *Config) validateStorage(v *validation) {
	st := &c.Storage
	v.that(st.Backend == "file", "storage.backend", st.Backend, "file (object storage is not supported)")
	v.that(st.LogsDir != "", "storage.logsDir", st.LogsDir, "a directory")
	v.that(st.AnalyticsDir != "", "storage.analyticsDir", st.AnalyticsDir, "a directory")
	if st.LogsDir != "" && st.AnalyticsDir != "" && (within(st.LogsDir, st.AnalyticsDir) || within(st.AnalyticsDir, st.LogsDir)) {
		v.fail("storage.logsDir (%s) and storage.analyticsDir (%s) must lie beside each other: neither may be the other or inside it", st.LogsDir, st.AnalyticsDir)
	}
	v.positive("storage.syncInterval", st.SyncInterval)
	atLeast(v, "storage.maxOpenFiles", st.MaxOpenFiles, 1)
	v.positive("storage.idleClose", st.IdleClose)
	v.positive("aggregation.interval", c.Aggregation.Interval)
	atLeast(v, "aggregation.maxKeys", c.Aggregation.MaxKeys, 1)
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	p, perr := filepath.Abs(path)
	d, derr := filepath.Abs(dir)
	if perr != nil || derr != nil {
		return path == dir
	}
	rel, err := filepath.Rel(d, p)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// Kafka's own rule for names.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func (c *Config) validateKafka(v *validation) {
	k := &c.Kafka
	if len(k.Brokers) == 0 {
		v.fail("%s: version 2 needs at least one broker, host:port", named("kafka.brokers"))
	}
	for _, b := range k.Brokers {
		v.address("kafka.brokers", b, false)
	}
	v.that(topicName.MatchString(k.Topic), "kafka.topic", k.Topic, "a topic's name: letters, digits, dot, underscore, dash")
	atLeast(v, "kafka.partitions", k.Partitions, 1)
	v.that(k.Replication == -1 || k.Replication >= 1 && k.Replication < 1<<15, "kafka.replication", k.Replication, "-1 or a number of replicas")
	v.that(k.MaxMessageBytes >= 4*KiB && k.MaxMessageBytes < 1<<31, "kafka.maxMessageBytes", k.MaxMessageBytes, "from 4KiB to 2147483647")
	if k.RecordBytes > k.MaxMessageBytes/2 {
		v.fail("kafka.recordBytes (%v) must be at most half of kafka.maxMessageBytes (%v), to leave room for what is around a record", k.RecordBytes, k.MaxMessageBytes)
	}
	if c.Ingestion.MaxRecordBytes > k.MaxMessageBytes/8 {
		v.fail("ingestion.maxRecordBytes (%v) must be at most an eighth of kafka.maxMessageBytes (%v): a control character sent as one byte is six in canonical form", c.Ingestion.MaxRecordBytes, k.MaxMessageBytes)
	}
	if k.DeadLetterTopic != "" {
		v.that(topicName.MatchString(k.DeadLetterTopic), "kafka.deadLetterTopic", k.DeadLetterTopic, "a topic's name: letters, digits, dot, underscore, dash")
		v.that(k.DeadLetterTopic != k.Topic, "kafka.deadLetterTopic", k.DeadLetterTopic, "another topic than kafka.topic")
	}
	v.that(k.GroupID != "", "kafka.groupID", k.GroupID, "the name of a consumer group")
	v.word("kafka.role", k.Role, "ingest", "consume", "both")
	v.word("kafka.compression", k.Compression, "none", "lz4", "snappy", "zstd")
	atLeast(v, "kafka.linger", k.Linger, 0)
	if !k.RequireAllAcks && c.Ingestion.Ack == "replicated" {
		v.fail("ingestion.ack: replicated promises every in-sync replica, which kafka.requireAllAcks: false does not ask for; set kafka.requireAllAcks: true or ingestion.ack: enqueued")
	}
	v.that(k.RecordBytes >= 1 && k.RecordBytes <= k.MaxBufferedBytes, "kafka.recordBytes", k.RecordBytes, "from 1 to kafka.maxBufferedBytes")
	if c.Server.MaxBodyBytes > k.MaxBufferedBytes {
		v.fail("server.maxBodyBytes (%v) must not be more than kafka.maxBufferedBytes (%v), or the largest batch could never be buffered", c.Server.MaxBodyBytes, k.MaxBufferedBytes)
	}
	v.positive("kafka.deliveryTimeout", k.DeliveryTimeout)
	atLeast(v, "kafka.consumers", k.Consumers, 1)
	v.positive("kafka.sessionTimeout", k.SessionTimeout)
	v.positive("kafka.rebalanceTimeout", k.RebalanceTimeout)
	v.positive("consumer.flushInterval", c.Consumer.FlushInterval)
	if limit := min(k.SessionTimeout, k.RebalanceTimeout); limit > 0 && c.Consumer.FlushInterval > limit/2 {
		v.fail("consumer.flushInterval (%v) must be at most half of kafka.sessionTimeout and kafka.rebalanceTimeout (%v), or a commit comes too late for a rebalance", c.Consumer.FlushInterval, limit)
	}
	atLeast(v, "consumer.flushBytes", c.Consumer.FlushBytes, 1)
	v.word("kafka.startOffset", k.StartOffset, "earliest", "latest")
	v.word("kafka.onGap", k.OnGap, "stop", "continue")
	c.validateKafkaSecurity(v)
}

func (c *Config) validateKafkaSecurity(v *validation) {
	t, s := &c.Kafka.TLS, &c.Kafka.SASL
	if (t.CertFile == "") != (t.KeyFile == "") {
		v.fail("kafka.tls.certFile and kafka.tls.keyFile must be set together")
	}
	if !t.Enabled && (t.CAFile != "" || t.CertFile != "") {
		v.fail("kafka.tls has files, but kafka.tls.enabled is false: the connection would not be encrypted")
	}
	if s.Mechanism == "" {
		if s.Username != "" || s.Password != "" {
			v.fail("kafka.sasl has a username or password, but kafka.sasl.mechanism (PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512) is not set")
		}
		return
	}
	v.word("kafka.sasl.mechanism", s.Mechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	if s.Username == "" || s.Password == "" {
		v.fail("kafka.sasl.mechanism is set, but kafka.sasl.username or kafka.sasl.password (LOGFORGE_KAFKA_SASL_PASSWORD) is empty")
	}
}
