package config

// What a setting may be, and which settings contradict each other.

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate reports every setting with an impossible value, one a line; nil means
// that the configuration is good. Ingestion.Ack must be set already.
func (c *Config) Validate() error {
	v := new(validation)
	for s := range c.Settings() {
		if s.usedBy(c.Pipeline) {
			v.tags(s)
			v.secret(s)
		}
	}
	c.validateServer(v)
	c.validateIngestion(v)
	c.validateStorage(v)
	c.validateArchive(v)
	c.validateAnalytics(v)
	if c.Pipeline == 2 {
		c.validateKafka(v)
	}
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

// tags checks what the tags of a setting say: oneof, min, max and above.
func (v *validation) tags(s Setting) {
	if words, ok := s.tag.Lookup("oneof"); ok {
		v.word(s.Key, s.Value, strings.Split(words, " ")...)
	}
	bound := func(tag string, ok func(value, bound int64) bool, allowed string) {
		if text, there := s.tag.Lookup(tag); there {
			limit := s.bound(tag)
			v.that(ok(s.field.Int(), limit.Int()), s.Key, s.Value, fmt.Sprintf(allowed, cmp.Or(strings.TrimSuffix(text, "0s"), "0")))
		}
	}
	bound("above", func(value, bound int64) bool { return value > bound }, "longer than %s")
	bound("min", func(value, bound int64) bool { return value >= bound }, "%s or more")
	bound("max", func(value, bound int64) bool { return value <= bound }, "%s or less")
}

// secret refuses the mask, which is what a printed configuration shows.
func (v *validation) secret(s Setting) {
	pasted := false
	switch value := s.Value.(type) {
	case Keys:
		pasted = slices.ContainsFunc(value, func(k Key) bool { return k.Value == masked })
	case string:
		pasted = s.Secret && value == masked
	}
	if pasted {
		v.fail("%s: %s is what stands for a secret in a printed configuration: put the secret itself, or name its file with %sFile", named(s.Key), masked, s.Key)
	}
}

// bound returns the value of a tag that is a bound, read like the setting.
func (s Setting) bound(tag string) reflect.Value {
	s.field = reflect.New(s.field.Type()).Elem()
	if err := s.assign(s.tag.Get(tag)); err != nil {
		panic(fmt.Sprintf("config: tag %s of %s: %v", tag, s.Key, err))
	}
	return s.field
}

// word checks that value is one of some words. An empty first word means that it
// may be empty.
func (v *validation) word(key string, value any, allowed ...string) {
	if allowed[0] == "" {
		if value == "" {
			return
		}
		allowed = allowed[1:]
	}
	last := len(allowed) - 1
	list := allowed[last]
	if last > 0 {
		list = strings.Join(allowed[:last], ", ") + " or " + list
	}
	v.that(slices.Contains(allowed, fmt.Sprint(value)), key, value, list)
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
	if s.DrainDelay >= s.ShutdownTimeout {
		v.fail("server.drainDelay (%v) must be shorter than server.shutdownTimeout (%v), or no time is left to stop in", s.DrainDelay, s.ShutdownTimeout)
	}
	if s.MaxBodyBytes > s.MaxInFlightBytes {
		v.fail("server.maxBodyBytes (%v) must not be more than server.maxInFlightBytes (%v), or the largest body could never be taken", s.MaxBodyBytes, s.MaxInFlightBytes)
	}

	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		v.fail("server.tls.certFile and server.tls.keyFile must be set together")
	}
	if s.TLS.ClientCAFile != "" && s.TLS.CertFile == "" {
		v.fail("server.tls.clientCAFile needs server.tls.certFile and server.tls.keyFile")
	}
	for _, origin := range s.AllowedOrigins {
		v.that(origin == "*" || webOrigin.MatchString(origin), "server.allowedOrigins", origin, "an origin, such as https://logs.example.com or http://localhost:3000, or *")
	}
	v.that(httpToken.MatchString(c.Auth.HeaderName), "auth.headerName", c.Auth.HeaderName, "the name of an HTTP header")
	if err := c.Auth.Keys.problem(); err != nil {
		v.fail("%s: %w", named("auth.keys"), err)
	}
	if c.Auth.Enabled && len(c.Auth.Keys) == 0 {
		v.fail("auth.enabled is true, but neither auth.keys (LOGFORGE_AUTH_KEYS) nor auth.keysFile gives a key: nobody could get in")
	}
}

// webOrigin is what a browser sends as Origin: a scheme, a host and a port, and no
// path.
var webOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/\s,?#@]+$`)

var httpToken = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (c *Config) validateIngestion(v *validation) {
	in := &c.Ingestion
	switch c.Pipeline {
	case 1:
		v.that(in.Ack == "written" || in.Ack == "synced", "ingestion.ack", in.Ack, "written or synced in pipeline 1")
	case 2:
		v.that(in.Ack == "replicated" || in.Ack == "enqueued", "ingestion.ack", in.Ack, "replicated or enqueued in pipeline 2")
	}
	_, err := time.LoadLocation(in.TimeZone)
	v.that(err == nil && in.TimeZone != "", "ingestion.timeZone", in.TimeZone, "UTC or the name of a time zone, such as Europe/Berlin")
	for key, names := range map[string][]string{
		"ingestion.lineMembers":      in.LineMembers,
		"ingestion.fields.timestamp": in.Fields.Timestamp,
		"ingestion.fields.path":      in.Fields.Path,
		"ingestion.fields.userAgent": in.Fields.UserAgent,
	} {
		v.that(len(names) <= maxNames, key, len(names), fmt.Sprintf("at most %d names", maxNames))
		for _, name := range names {
			v.that(strings.TrimSpace(name) != "", key, name, "a list of names")
		}
	}
}

// maxNames bounds the names that are looked for in every record.
const maxNames = 64

// maxPeers bounds how many instances one request can ask.
const maxPeers = 100

func (c *Config) validateAnalytics(v *validation) {
	a := &c.Analytics
	for _, peer := range a.Peers {
		u, err := url.Parse(peer)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
		v.that(ok, "analytics.peers", peer, "the address of a server, such as http://logs-2:8082")
	}
	if len(a.Peers) > maxPeers {
		v.fail("analytics.peers names %d instances: at most %d can be asked", len(a.Peers), maxPeers)
	}
	if (a.TLS.CertFile == "") != (a.TLS.KeyFile == "") {
		v.fail("analytics.tls.certFile and analytics.tls.keyFile must be set together")
	}
}

func (c *Config) validateStorage(v *validation) {
	st := &c.Storage
	v.that(st.LogsDir != "", "storage.logsDir", st.LogsDir, "a directory")
	v.that(st.AnalyticsDir != "", "storage.analyticsDir", st.AnalyticsDir, "a directory")
	if st.LogsDir != "" && st.AnalyticsDir != "" && (within(st.LogsDir, st.AnalyticsDir) || within(st.AnalyticsDir, st.LogsDir)) {
		v.fail("storage.logsDir (%s) and storage.analyticsDir (%s) must lie beside each other: neither may be the other or inside it", st.LogsDir, st.AnalyticsDir)
	}
	if keep := c.Archive.KeepLocal; c.Archive.Enabled() && st.MaxAge > 0 && keep > st.MaxAge {
		v.fail("archive.keepLocal (%v) must not be longer than storage.maxAge (%v), or hours would stay past that age", keep, st.MaxAge)
	}
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
		v.fail("%s: pipeline 2 needs at least one broker, host:port", named("kafka.brokers"))
	}
	for _, b := range k.Brokers {
		v.address("kafka.brokers", b, false)
	}
	v.that(topicName.MatchString(k.Topic), "kafka.topic", k.Topic, "a topic's name: letters, digits, dot, underscore, dash")
	v.that(k.Replication != 0, "kafka.replication", k.Replication, "-1 or a number of replicas")
	if k.RecordBytes > k.MaxMessageBytes/2 {
		v.fail("kafka.recordBytes (%v) must be at most half of kafka.maxMessageBytes (%v), to leave room for what is around a record", k.RecordBytes, k.MaxMessageBytes)
	}
	if c.Ingestion.MaxRecordBytes > k.MaxMessageBytes/2 {
		v.fail("ingestion.maxRecordBytes (%v) must be at most half of kafka.maxMessageBytes (%v), to leave room for what is around a record", c.Ingestion.MaxRecordBytes, k.MaxMessageBytes)
	}
	if k.DeadLetterTopic != "" {
		v.that(topicName.MatchString(k.DeadLetterTopic), "kafka.deadLetterTopic", k.DeadLetterTopic, "a topic's name: letters, digits, dot, underscore, dash")
		v.that(k.DeadLetterTopic != k.Topic, "kafka.deadLetterTopic", k.DeadLetterTopic, "another topic than kafka.topic")
	}
	v.that(k.GroupID != "", "kafka.groupID", k.GroupID, "the name of a consumer group")
	if !k.RequireAllAcks && c.Ingestion.Ack == "replicated" {
		v.fail("ingestion.ack: replicated promises every in-sync replica, which kafka.requireAllAcks: false does not ask for; set kafka.requireAllAcks: true or ingestion.ack: enqueued")
	}
	v.that(k.RecordBytes <= k.MaxBufferedBytes, "kafka.recordBytes", k.RecordBytes, "at most kafka.maxBufferedBytes")
	if c.Server.MaxBodyBytes > k.MaxBufferedBytes {
		v.fail("server.maxBodyBytes (%v) must not be more than kafka.maxBufferedBytes (%v), or the largest batch could never be buffered", c.Server.MaxBodyBytes, k.MaxBufferedBytes)
	}
	if limit := min(k.SessionTimeout, k.RebalanceTimeout); limit > 0 && c.Consumer.FlushInterval > limit/2 {
		v.fail("consumer.flushInterval (%v) must be at most half of kafka.sessionTimeout and kafka.rebalanceTimeout (%v), or a commit comes too late for a rebalance", c.Consumer.FlushInterval, limit)
	}
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
	if s.Username == "" || s.Password == "" {
		v.fail("kafka.sasl.mechanism is set, but kafka.sasl.username or kafka.sasl.password (LOGFORGE_KAFKA_SASL_PASSWORD, or kafka.sasl.passwordFile) is empty")
	}
}
