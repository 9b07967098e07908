package config

// The settings and their defaults.

import "time"

// Config is the whole configuration. Loader.Load fills it; the parts are handed
// as they are to the packages that use them.
type Config struct {
	Pipeline    int         `yaml:"pipeline" env:"LOGFORGE_PIPELINE" env-description:"1 writes the files itself, 2 goes through Kafka" oneof:"1 2"`
	Version     int         `yaml:"version" env:"LOGFORGE_VERSION" env-description:"older name of pipeline" oneof:"1 2"`
	Server      Server      `yaml:"server"`
	Auth        Auth        `yaml:"auth"`
	Ingestion   Ingestion   `yaml:"ingestion"`
	Storage     Storage     `yaml:"storage"`
	Archive     Archive     `yaml:"archive"`
	Aggregation Aggregation `yaml:"aggregation"`
	Analytics   Analytics   `yaml:"analytics"`
	Consumer    Consumer    `yaml:"consumer" pipeline:"2"`
	Kafka       Kafka       `yaml:"kafka" pipeline:"2"`
	Log         Log         `yaml:"log"`
}

// Server is the HTTP side: address, time-outs, limits, TLS.
type Server struct {
	Addr                string        `yaml:"addr" env:"LOGFORGE_SERVER_ADDR" env-description:"listen address, host:port"`
	ReadTimeout         time.Duration `yaml:"readTimeout" env:"LOGFORGE_SERVER_READ_TIMEOUT" env-description:"longest time to receive one whole request, body included" above:"0s"`
	WriteTimeout        time.Duration `yaml:"writeTimeout" env:"LOGFORGE_SERVER_WRITE_TIMEOUT" env-description:"longest time to send one answer" above:"0s"`
	IdleTimeout         time.Duration `yaml:"idleTimeout" env:"LOGFORGE_SERVER_IDLE_TIMEOUT" env-description:"how long a kept-alive connection may stay silent" above:"0s"`
	RequestTimeout      time.Duration `yaml:"requestTimeout" env:"LOGFORGE_SERVER_REQUEST_TIMEOUT" env-description:"longest wait for an acknowledgement (a sync, a Kafka replica) before 503" above:"0s"`
	WaitForRoom         time.Duration `yaml:"waitForRoom" env:"LOGFORGE_SERVER_WAIT_FOR_ROOM" env-description:"how long an overloaded server waits for room before it answers 503" min:"0s"`
	RetryAfter          time.Duration `yaml:"retryAfter" env:"LOGFORGE_SERVER_RETRY_AFTER" env-description:"Retry-After sent with 503, rounded up to whole seconds" above:"0s"`
	ShutdownTimeout     time.Duration `yaml:"shutdownTimeout" env:"LOGFORGE_SERVER_SHUTDOWN_TIMEOUT" env-description:"longest graceful stop; after it the process ends at once, which loses no acknowledged record but enqueued ones" above:"0s"`
	DrainDelay          time.Duration `yaml:"drainDelay" env:"LOGFORGE_SERVER_DRAIN_DELAY" env-description:"how long /ready says draining before the listener closes, for load balancers" min:"0s"`
	MaxBodyBytes        Bytes         `yaml:"maxBodyBytes" env:"LOGFORGE_SERVER_MAX_BODY_BYTES" env-description:"largest body, as sent and after inflation; more is 413" min:"1"`
	MaxInFlightBytes    Bytes         `yaml:"maxInFlightBytes" env:"LOGFORGE_SERVER_MAX_IN_FLIGHT_BYTES" env-description:"bytes of all requests under way together (bodies, inflated bodies, decoded batches); past it requests wait, then get 503"`
	MaxHeaderBytes      Bytes         `yaml:"maxHeaderBytes" env:"LOGFORGE_SERVER_MAX_HEADER_BYTES" env-description:"largest request line and headers together; more is 431" min:"1KiB"`
	MaxConnections      int           `yaml:"maxConnections" env:"LOGFORGE_SERVER_MAX_CONNECTIONS" env-description:"open connections; one more gets 503 and is closed" min:"1"`
	MaxConnectionsPerIP int           `yaml:"maxConnectionsPerIP" env:"LOGFORGE_SERVER_MAX_CONNECTIONS_PER_IP" env-description:"open connections from one IPv4 address; 0 means no limit of its own" min:"0"`
	MaxConcurrency      int           `yaml:"maxConcurrency" env:"LOGFORGE_SERVER_MAX_CONCURRENCY" env-description:"batches decoded and stored at the same time; more wait for room" min:"1"`
	MaxAnalyticsHours   int           `yaml:"maxAnalyticsHours" env:"LOGFORGE_SERVER_MAX_ANALYTICS_HOURS" env-description:"longest range of hours one GET /analytics may ask for" min:"1"`
	AllowedOrigins      []string      `yaml:"allowedOrigins" env:"LOGFORGE_SERVER_ALLOWED_ORIGINS" env-description:"origins, such as https://logs.example.com, whose web pages may send batches and read data beside this server's own; * means every one"`
	Dashboard           bool          `yaml:"dashboard" env:"LOGFORGE_SERVER_DASHBOARD" env-description:"serve the dashboard page at /"`
	TLS                 TLS           `yaml:"tls"`
}

// TLS turns HTTPS on when CertFile and KeyFile are both set.
type TLS struct {
	CertFile     string `yaml:"certFile" env:"LOGFORGE_SERVER_TLS_CERT_FILE" env-description:"PEM certificate chain; with keyFile it turns TLS (1.2 or newer) on"`
	KeyFile      string `yaml:"keyFile" env:"LOGFORGE_SERVER_TLS_KEY_FILE" env-description:"PEM private key"`
	ClientCAFile string `yaml:"clientCAFile" env:"LOGFORGE_SERVER_TLS_CLIENT_CA_FILE" env-description:"PEM authorities; clients must then show a certificate one of them signed"`
}

// Auth is the optional API key check.
type Auth struct {
	Enabled    bool   `yaml:"enabled" env:"LOGFORGE_AUTH_ENABLED" env-description:"ask for an API key on /logs, /analytics and the dashboard's data; not set, it is true as soon as there are keys; false beside keys leaves the server open, with a warning"`
	HeaderName string `yaml:"headerName" env:"LOGFORGE_AUTH_HEADER_NAME" env-description:"header that carries the key"`
	Keys       Keys   `yaml:"keys" env:"LOGFORGE_AUTH_KEYS" env-description:"accepted keys, each a key or name: key; names stand for keys in metrics and the log" secret:"true"`
	KeysFile   string `yaml:"keysFile" env:"LOGFORGE_AUTH_KEYS_FILE" env-description:"file with the accepted keys, one a line; read again on SIGHUP"`
	Metrics    bool   `yaml:"metrics" env:"LOGFORGE_AUTH_METRICS" env-description:"ask for a key on /metrics as well, and on the metrics of the dashboard; without it both are open"`
}

// Ingestion says what a 202 means and how large a batch may be.
type Ingestion struct {
	Ack             string        `yaml:"ack" env:"LOGFORGE_INGESTION_ACK" env-description:"what a 202 means: written or synced (pipeline 1), replicated or enqueued (pipeline 2); empty means the pipeline's own default, written or replicated"`
	SyncOnIngest    string        `yaml:"syncOnIngest,omitempty" env:"LOGFORGE_INGESTION_SYNC_ON_INGEST" env-description:"older name of ack in pipeline 2: true is replicated, false is enqueued" pipeline:"2"`
	MaxBatchHours   int           `yaml:"maxBatchHours" env:"LOGFORGE_INGESTION_MAX_BATCH_HOURS" env-description:"different hours the records of one batch may fall into; more is 413" min:"1"`
	MaxAge          time.Duration `yaml:"maxAge" env:"LOGFORGE_INGESTION_MAX_AGE" env-description:"how old a record may be by its own timestamp; an older one is invalid; 0 means no limit" min:"0s"`
	MaxFuture       time.Duration `yaml:"maxFuture" env:"LOGFORGE_INGESTION_MAX_FUTURE" env-description:"how far in the future the timestamp of a record may lie; one beyond is invalid; 0 means no limit; 48h is recommended, as shippers often have a wrong clock" min:"0s"`
	MaxBatchRecords int           `yaml:"maxBatchRecords" env:"LOGFORGE_INGESTION_MAX_BATCH_RECORDS" env-description:"records one batch may hold; more is 413" min:"1"`
	MaxRecordBytes  Bytes         `yaml:"maxRecordBytes" env:"LOGFORGE_INGESTION_MAX_RECORD_BYTES" env-description:"bytes of a record in the form in which it is stored; more is 413" min:"1"`
	MaxDepth        int           `yaml:"maxDepth" env:"LOGFORGE_INGESTION_MAX_DEPTH" env-description:"nesting allowed inside skipped JSON members; more is 400" min:"1"`

	Invalid          string   `yaml:"invalid" env:"LOGFORGE_INGESTION_INVALID" env-description:"what an invalid record does to its batch on POST /logs: refuse refuses the batch, set-aside stores the others and keeps that one with its reason; a request may ask with ?invalid=" oneof:"refuse set-aside"`
	Extra            string   `yaml:"extra" env:"LOGFORGE_INGESTION_EXTRA" env-description:"members besides the three, of records that come by POST /ingest or a route of another system: keep or drop" oneof:"keep drop"`
	LogsExtra        string   `yaml:"logsExtra" env:"LOGFORGE_INGESTION_LOGS_EXTRA" env-description:"the same, of records that come by POST /logs" oneof:"keep drop"`
	TimeZone         string   `yaml:"timeZone" env:"LOGFORGE_INGESTION_TIME_ZONE" env-description:"zone of times without an offset, on POST /ingest: UTC, or a name such as Europe/Berlin"`
	MissingTime      string   `yaml:"missingTime" env:"LOGFORGE_INGESTION_MISSING_TIME" env-description:"a record without any time, on POST /ingest: arrival gives it the time at which its request came, reject sets it aside" oneof:"arrival reject"`
	MaxRejectedBytes Bytes    `yaml:"maxRejectedBytes" env:"LOGFORGE_INGESTION_MAX_REJECTED_BYTES" env-description:"bytes of the records set aside in storage.logsDir/.rejected; past it the oldest hours are removed" min:"64KiB" pipeline:"1"`
	LineMembers      []string `yaml:"lineMembers" env:"LOGFORGE_INGESTION_LINE_MEMBERS" env-description:"members that may hold an access log line or a JSON object; empty means message, log, msg, body, line, event.original, _raw and MESSAGE"`
	Fields           Fields   `yaml:"fields"`
}

// Fields are the names under which log shippers send the three values, on POST
// /ingest and the routes of other systems. The first that a record has wins. An
// empty list stands for the one in docs/shippers.md.
type Fields struct {
	Timestamp []string `yaml:"timestamp" env:"LOGFORGE_INGESTION_FIELDS_TIMESTAMP" env-description:"names of the time in what shippers send, the first that is there wins; a dot goes into an object; empty means the list in docs/shippers.md"`
	Path      []string `yaml:"path" env:"LOGFORGE_INGESTION_FIELDS_PATH" env-description:"the same for the path"`
	UserAgent []string `yaml:"userAgent" env:"LOGFORGE_INGESTION_FIELDS_USER_AGENT" env-description:"the same for the user agent"`
}

// Storage is the directory of hourly files.
type Storage struct {
	Backend       string        `yaml:"backend" env:"LOGFORGE_STORAGE_BACKEND" env-description:"where records are stored: file; minio is the older name of archive.s3" oneof:"file minio"`
	Minio         Minio         `yaml:"minio"`
	LogsDir       string        `yaml:"logsDir" env:"LOGFORGE_STORAGE_LOGS_DIR" env-description:"directory of the hourly files"`
	AnalyticsDir  string        `yaml:"analyticsDir" env:"LOGFORGE_STORAGE_ANALYTICS_DIR" env-description:"directory of the hourly summaries"`
	SyncInterval  time.Duration `yaml:"syncInterval" env:"LOGFORGE_STORAGE_SYNC_INTERVAL" env-description:"longest time until what was acknowledged as written is on disk" above:"0s"`
	MaxOpenFiles  int           `yaml:"maxOpenFiles" env:"LOGFORGE_STORAGE_MAX_OPEN_FILES" env-description:"hourly files kept open; the one unused longest is synced and closed first" min:"1"`
	IdleClose     time.Duration `yaml:"idleClose" env:"LOGFORGE_STORAGE_IDLE_CLOSE" env-description:"an hourly file not written for this long is closed" above:"0s"`
	CompressAfter time.Duration `yaml:"compressAfter" env:"LOGFORGE_STORAGE_COMPRESS_AFTER" env-description:"an hour that was not written to for this long is compressed to HH.log.json.zst; late lines go to HH.log.json beside it until they are added; 0 means never" min:"0s"`
	MaxAge        time.Duration `yaml:"maxAge" env:"LOGFORGE_STORAGE_MAX_AGE" env-description:"hours that ended longer ago are removed, once their summary and every destination of the archive have them; 0 means never" min:"0s"`
	MaxBytes      Bytes         `yaml:"maxBytes" env:"LOGFORGE_STORAGE_MAX_BYTES" env-description:"bytes of all hourly files together; past it the oldest hours are removed, on the same condition; 0 means no limit" min:"0"`
}

// Aggregation is the hourly summaries.
type Aggregation struct {
	Interval time.Duration `yaml:"interval" env:"LOGFORGE_AGGREGATION_INTERVAL" env-description:"how often hours that have grown are summarised" above:"0s"`
	MaxKeys  int           `yaml:"maxKeys" env:"LOGFORGE_AGGREGATION_MAX_KEYS" env-description:"distinct paths, and distinct user agents, an hour's summary names; the rest is counted under (other)" min:"1"`
}

// Analytics is what GET /analytics and the page answer from.
type Analytics struct {
	Peers       []string      `yaml:"peers" env:"LOGFORGE_ANALYTICS_PEERS" env-description:"addresses of the other instances whose summaries are added to this one's, http://HOST:PORT; this one's own may be among them"`
	PeerTimeout time.Duration `yaml:"peerTimeout" env:"LOGFORGE_ANALYTICS_PEER_TIMEOUT" env-description:"how long to wait for the answers of the peers; one that has not answered is left out and named" above:"0s"`
	PeerKey     string        `yaml:"peerKey" env:"LOGFORGE_ANALYTICS_PEER_KEY" env-description:"API key that the peers are asked with, in the header auth.headerName" secret:"true"`
	PeerKeyFile string        `yaml:"peerKeyFile" env:"LOGFORGE_ANALYTICS_PEER_KEY_FILE" env-description:"file with that key"`
	TLS         PeersTLS      `yaml:"tls"`
}

// PeersTLS is how peers whose address is https:// are asked.
type PeersTLS struct {
	CAFile   string `yaml:"caFile" env:"LOGFORGE_ANALYTICS_TLS_CA_FILE" env-description:"PEM authorities of the peers; empty means the system's"`
	CertFile string `yaml:"certFile" env:"LOGFORGE_ANALYTICS_TLS_CERT_FILE" env-description:"PEM client certificate shown to the peers"`
	KeyFile  string `yaml:"keyFile" env:"LOGFORGE_ANALYTICS_TLS_KEY_FILE" env-description:"PEM key of that certificate"`
}

// Consumer says how often what came from Kafka is committed.
type Consumer struct {
	FlushInterval    time.Duration `yaml:"flushInterval" env:"LOGFORGE_CONSUMER_FLUSH_INTERVAL" env-description:"longest time between two commits while records arrive; a broker gathers records for a quarter of it, up to 1s, before it answers a fetch" above:"0s"`
	FlushBytes       Bytes         `yaml:"flushBytes" env:"LOGFORGE_CONSUMER_FLUSH_BYTES" env-description:"a commit is made early once this much has been appended" min:"1"`
	MaxInflatedBytes Bytes         `yaml:"maxInflatedBytes" env:"LOGFORGE_CONSUMER_MAX_INFLATED_BYTES" env-description:"memory for fetched record batches once they are inflated; a single batch that is larger stops its partition" min:"1MiB"`
}

// Kafka is the cluster, topic, producer and consumer group of pipeline 2.
type Kafka struct {
	Brokers            []string      `yaml:"brokers" env:"LOGFORGE_KAFKA_BROKERS" env-description:"seed brokers, host:port"`
	Topic              string        `yaml:"topic" env:"LOGFORGE_KAFKA_TOPIC" env-description:"topic of the records"`
	DeadLetterTopic    string        `yaml:"deadLetterTopic" env:"LOGFORGE_KAFKA_DEAD_LETTER_TOPIC" env-description:"topic of what does not parse; empty means the topic's name with .dlq"`
	Partitions         int           `yaml:"partitions" env:"LOGFORGE_KAFKA_PARTITIONS" env-description:"partitions of the topic when it is created; an existing topic is left as it is" min:"1"`
	Replication        int           `yaml:"replication" env:"LOGFORGE_KAFKA_REPLICATION" env-description:"replicas of each partition when the topic is created; -1 means the cluster's own default" min:"-1" max:"32767"`
	MaxMessageBytes    Bytes         `yaml:"maxMessageBytes" env:"LOGFORGE_KAFKA_MAX_MESSAGE_BYTES" env-description:"largest record batch sent; the topic is created with the same max.message.bytes" min:"4KiB" max:"2147483647"`
	GroupID            string        `yaml:"groupID" env:"LOGFORGE_KAFKA_GROUP_ID" env-description:"consumer group"`
	Role               string        `yaml:"role" env:"LOGFORGE_KAFKA_ROLE" env-description:"ingest (HTTP to Kafka), consume (Kafka to files) or both" oneof:"ingest consume both"`
	Compression        string        `yaml:"compression" env:"LOGFORGE_KAFKA_COMPRESSION" env-description:"none, lz4, snappy or zstd" oneof:"none lz4 snappy zstd"`
	Linger             time.Duration `yaml:"linger" env:"LOGFORGE_KAFKA_LINGER" env-description:"how long the producer may wait to fill a produce request" min:"0s"`
	RequireAllAcks     bool          `yaml:"requireAllAcks" env:"LOGFORGE_KAFKA_REQUIRE_ALL_ACKS" env-description:"all in-sync replicas must have a record; false asks the leader only, and replicated is then refused"`
	RecordBytes        Bytes         `yaml:"recordBytes" env:"LOGFORGE_KAFKA_RECORD_BYTES" env-description:"lines of one hour are joined into Kafka records of at most this size; 1 means one line a record" min:"1"`
	MaxBufferedBytes   Bytes         `yaml:"maxBufferedBytes" env:"LOGFORGE_KAFKA_MAX_BUFFERED_BYTES" env-description:"bytes waiting to be produced; past it requests wait, then get 503"`
	DeliveryTimeout    time.Duration `yaml:"deliveryTimeout" env:"LOGFORGE_KAFKA_DELIVERY_TIMEOUT" env-description:"how long an enqueued batch that could not be sent waits before it goes to the dead-letter directory" above:"0s"`
	DeadLetterDir      string        `yaml:"deadLetterDir" env:"LOGFORGE_KAFKA_DEAD_LETTER_DIR" env-description:"directory of enqueued batches that could not be delivered; empty means .deadletter in storage.logsDir"`
	MaxDeadLetterBytes Bytes         `yaml:"maxDeadLetterBytes" env:"LOGFORGE_KAFKA_MAX_DEAD_LETTER_BYTES" env-description:"about how many bytes the dead-letter directory may hold; without room there an enqueued batch is acknowledged only once the topic has it" min:"1MiB"`
	Consumers          int           `yaml:"consumers" env:"LOGFORGE_KAFKA_CONSUMERS" env-description:"partitions decoded in parallel within the process" min:"1"`
	SessionTimeout     time.Duration `yaml:"sessionTimeout" env:"LOGFORGE_KAFKA_SESSION_TIMEOUT" env-description:"a consumer silent this long loses its partitions" above:"0s"`
	RebalanceTimeout   time.Duration `yaml:"rebalanceTimeout" env:"LOGFORGE_KAFKA_REBALANCE_TIMEOUT" env-description:"how long a rebalance waits for each member" above:"0s"`
	StartOffset        string        `yaml:"startOffset" env:"LOGFORGE_KAFKA_START_OFFSET" env-description:"where a partition without a committed offset begins: earliest or latest; latest also leaves out what a partition added later got before it was assigned" oneof:"earliest latest"`
	OnGap              string        `yaml:"onGap" env:"LOGFORGE_KAFKA_ON_GAP" env-description:"when committed offsets are no longer in the topic (retention, recreated topic): stop, or continue at the oldest record there is" oneof:"stop continue"`
	TLS                KafkaTLS      `yaml:"tls"`
	SASL               SASL          `yaml:"sasl"`

	// ReplayCommand is no setting: it is how the program was started, as the
	// command that sends dead letters to the same cluster, for messages.
	ReplayCommand string `yaml:"-"`
}

// KafkaTLS encrypts the connections to the brokers.
type KafkaTLS struct {
	Enabled  bool   `yaml:"enabled" env:"LOGFORGE_KAFKA_TLS_ENABLED" env-description:"connect to the brokers with TLS"`
	CAFile   string `yaml:"caFile" env:"LOGFORGE_KAFKA_TLS_CA_FILE" env-description:"PEM authorities of the brokers; empty means the system's"`
	CertFile string `yaml:"certFile" env:"LOGFORGE_KAFKA_TLS_CERT_FILE" env-description:"PEM client certificate"`
	KeyFile  string `yaml:"keyFile" env:"LOGFORGE_KAFKA_TLS_KEY_FILE" env-description:"PEM client key"`
}

// SASL authenticates to the brokers.
type SASL struct {
	Mechanism    string `yaml:"mechanism" env:"LOGFORGE_KAFKA_SASL_MECHANISM" env-description:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty means none" oneof:" PLAIN SCRAM-SHA-256 SCRAM-SHA-512"`
	Username     string `yaml:"username" env:"LOGFORGE_KAFKA_SASL_USERNAME" env-description:"user name"`
	Password     string `yaml:"password" env:"LOGFORGE_KAFKA_SASL_PASSWORD" env-description:"password" secret:"true"`
	PasswordFile string `yaml:"passwordFile" env:"LOGFORGE_KAFKA_SASL_PASSWORD_FILE" env-description:"file with the password; read again for every new connection to a broker"`
}

// Log is the program's own log.
type Log struct {
	Level    string        `yaml:"level" env:"LOGFORGE_LOG_LEVEL" env-description:"debug, info, warn or error" oneof:"debug info warn error"`
	Format   string        `yaml:"format" env:"LOGFORGE_LOG_FORMAT" env-description:"text or json" oneof:"text json"`
	Throttle time.Duration `yaml:"throttle" env:"LOGFORGE_LOG_THROTTLE" env-description:"a repeated warning or error is logged once in this time, with a count" min:"0s"`
}

// Default returns the configuration of a server started with nothing set.
func Default() Config {
	return Config{
		Pipeline: 1,
		Version:  1,
		Server: Server{
			Addr:              ":8082",
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			RequestTimeout:    6 * time.Second,
			WaitForRoom:       2 * time.Second,
			RetryAfter:        time.Second,
			ShutdownTimeout:   30 * time.Second,
			MaxBodyBytes:      20 * MiB,
			MaxInFlightBytes:  64 * MiB,
			MaxHeaderBytes:    8 * KiB,
			MaxConnections:    10_000,
			MaxConcurrency:    256,
			MaxAnalyticsHours: 31 * 24,
			Dashboard:         true,
		},
		Auth: Auth{HeaderName: "X-API-Key"},
		Ingestion: Ingestion{
			MaxBatchRecords: 100_000,
			MaxBatchHours:   10_000,
			MaxRecordBytes:  256 * KiB,
			MaxDepth:        64,

			Invalid:          "refuse",
			Extra:            "keep",
			LogsExtra:        "drop",
			TimeZone:         "UTC",
			MissingTime:      "arrival",
			MaxRejectedBytes: GiB,
		},
		Storage: Storage{
			Backend:      "file",
			LogsDir:      "./logs",
			AnalyticsDir: "./analytics",
			SyncInterval: time.Second,
			MaxOpenFiles: 1024,
			IdleClose:    5 * time.Minute,
		},
		Archive:     defaultArchive(),
		Aggregation: Aggregation{Interval: 30 * time.Second, MaxKeys: 100_000},
		Analytics:   Analytics{PeerTimeout: 5 * time.Second},
		Consumer:    Consumer{FlushInterval: 500 * time.Millisecond, FlushBytes: 64 * MiB, MaxInflatedBytes: 32 * MiB},
		Kafka: Kafka{
			Brokers:            []string{"localhost:19092"},
			Topic:              "logs",
			Partitions:         10,
			Replication:        -1,
			MaxMessageBytes:    8 * MiB,
			MaxDeadLetterBytes: GiB,
			GroupID:            "logforge",
			Role:               "both",
			Compression:        "snappy",
			Linger:             0,
			RequireAllAcks:     true,
			RecordBytes:        256 * KiB,
			MaxBufferedBytes:   64 * MiB,
			DeliveryTimeout:    2 * time.Minute,
			Consumers:          2,
			SessionTimeout:     45 * time.Second,
			RebalanceTimeout:   60 * time.Second,
			StartOffset:        "earliest",
			OnGap:              "stop",
		},
		Log: Log{Level: "info", Format: "text", Throttle: 10 * time.Second},
	}
}
