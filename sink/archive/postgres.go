package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
)

// postgres is a table. A part is one transaction: its records, by COPY, and its
// row in logforge_parts, whose primary key lets every part in once.
type postgres struct {
	cfg   config.ArchivePostgres
	node  string // whose parts are stored; empty for one that only reads
	log   *slog.Logger
	table pgx.Identifier
	parts pgx.Identifier

	mu   sync.Mutex // guards what follows: one connection, one part at a time
	conn *pgx.Conn
	days map[codec.Hour]bool // first hours of the days whose partition was looked for
	how  partitioning

	// keep marks an hour of which records were left out; nil: nobody removes any.
	keep func(codec.Hour) error

	bytes, altered, leftOut *metrics.Counter
}

// partitioning is what is known of the table.
type partitioning int

const (
	unknownTable partitioning = iota
	plainTable
	partitionedTable
)

func newPostgres(cfg config.ArchivePostgres, node string, log *slog.Logger, set *metrics.Set) *postgres {
	names := strings.Split(cfg.Table, ".")
	parts := append(append(pgx.Identifier{}, names[:len(names)-1]...), "logforge_parts")
	return &postgres{
		cfg: cfg, node: node, log: log, table: pgx.Identifier(names), parts: parts,
		days:    map[codec.Hour]bool{},
		bytes:   metric.Counter(set, `logforge_archive_stored_bytes_total{destination="postgres"}`, "Bytes sent to a destination: objects as they are stored, or lines."),
		altered: metric.Counter(set, `logforge_archive_altered_records_total{destination="postgres"}`, "Records that a destination of the archive does not take as they are, stored in the nearest form."),
		leftOut: metric.Counter(set, `logforge_archive_left_out_records_total{destination="postgres"}`, "Records that a destination of the archive does not take at all; they are in the local files only."),
	}
}

// Name implements Destination.
func (p *postgres) Name() string { return "postgres" }

// Close implements Destination.
func (p *postgres) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnect()
}

// disconnect drops the connection. What it had not committed is rolled back by
// the server; whether a commit under way has happened is seen by the next one.
func (p *postgres) disconnect() {
	if p.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.conn.Close(ctx) // nothing depends on it
		p.conn = nil
	}
}

// with calls f with a connection to a database whose tables are there.
func (p *postgres) with(ctx context.Context, f func(*pgx.Conn) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil || p.conn.IsClosed() {
		conn, err := p.connect(ctx)
		if err != nil {
			return explainPostgres(err)
		}
		p.conn = conn
	}
	err := p.prepare(ctx)
	if err == nil {
		err = f(p.conn)
	}
	if err != nil && !errors.Is(err, errDamaged) {
		p.disconnect()
		p.how = unknownTable // somebody may mend it meanwhile
		clear(p.days)
		return explainPostgres(err)
	}
	return err
}

func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := connection(p.cfg)
	if err != nil {
		return nil, &refusal{waitsForSetting, false, err}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "logforge"
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing prepared: a pooler may be between
	return pgx.ConnectConfig(ctx, cfg)
}

// connection reads the URL. The error shows nothing of it: what cannot be read
// as a URL may have a piece of the password anywhere.
func connection(from config.ArchivePostgres) (*pgx.ConnConfig, error) {
	text, err := from.Connection()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Fragment != "" || strings.Contains(u.RawQuery, "@") {
		return nil, errors.New("archive.postgres.url (or the text in urlFile) is no URL such as postgres://user:password@host:5432/database; a / ? # or % in the password has to be written as %2F %3F %23 %25")
	}
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the URL
		}
		return nil, fmt.Errorf("archive.postgres.url: %w", err)
	}
	return cfg, nil
}

// Parts implements Destination.
func (p *postgres) Parts(ctx context.Context, node string, first, last codec.Hour) (parts []Stored, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err = p.with(ctx, func(conn *pgx.Conn) error {
		parts = nil
		rows, err := conn.Query(ctx, `SELECT node, generation, extract(epoch from hour)::bigint / 3600, "from", "to", records, sha256 FROM `+
			p.parts.Sanitize()+` WHERE hour BETWEEN $1 AND $2 AND $3 IN (node, '')`, instant(first), instant(last), node)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s Stored
			var generation, hour int64
			if err := rows.Scan(&s.Node, &generation, &hour, &s.From, &s.To, &s.Records, &s.SHA256); err != nil {
				return err
			}
			s.Generation, s.Hour = uint64(generation), codec.Hour(hour)
			parts = append(parts, s)
		}
		return rows.Err()
	})
	return parts, err
}

// instant is an hour as PostgreSQL is given it.
func instant(h codec.Hour) time.Time { return h.Time() }

// Store implements Destination.
func (p *postgres) Store(ctx context.Context, part Part, open func() (io.ReadCloser, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeFor(part))
	defer cancel()
	return p.with(ctx, func(conn *pgx.Conn) error {
		if err := p.ensurePartition(ctx, conn, part.Hour); err != nil {
			return err
		}
		err := p.storeOnce(ctx, conn, part, open, false)
		if isDataError(err) {
			// It is no fault of a record if the table has been changed.
			if err := p.checkTables(ctx); err != nil {
				return err
			}
			// A value that PostgreSQL refuses, and that was not foreseen: in
			// small steps, to find it.
			p.log.Warn("PostgreSQL refuses a record: storing the part in small steps", "part", part.String(), "err", err)
			err = p.storeOnce(ctx, conn, part, open, true)
		}
		return err
	})
}

// sessionLimits end a transaction whose client is gone without having said so:
// the next attempt waits for it. They take back what the database or the user
// may have been given and that would keep a large part from ever being stored,
// or let a commit be forgotten.
const sessionLimits = `SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL statement_timeout = 0;
	SET LOCAL tcp_keepalives_idle = 30; SET LOCAL tcp_keepalives_interval = 10; SET LOCAL tcp_keepalives_count = 3;
	SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout';
	SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`

// storeOnce stores a part in one transaction.
func (p *postgres) storeOnce(ctx context.Context, conn *pgx.Conn, part Part, open func() (io.ReadCloser, error), careful bool) (err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_ = tx.Rollback(ctx) // a connection that cannot even do that is dropped
		}
	}()
	if _, err := tx.Exec(ctx, sessionLimits); err != nil {
		return err
	}
	// The row first: it waits for another attempt at this part, whose commit
	// may be under way although its connection was lost.
	tag, err := tx.Exec(ctx, `INSERT INTO `+p.parts.Sanitize()+` (node, generation, hour, "from", "to", records, sha256) VALUES ($1, $2, $3, $4, $5, 0, '')
		ON CONFLICT (node, hour, generation, "from") DO NOTHING`, part.Node, int64(part.Generation), instant(part.Hour), part.From, part.To)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return p.compare(ctx, tx, part, open)
	}
	r, err := open()
	if err != nil {
		return err
	}
	lines := newLineReader(part, r)
	defer func() { err = errors.Join(err, lines.Close()) }()
	c := &copier{r: lines, hour: part.Hour}
	if careful {
		err = p.copyCarefully(ctx, tx, c)
	} else {
		_, err = conn.PgConn().CopyFrom(ctx, c, p.copyStatement())
		c.stop()
	}
	if c.err != nil {
		return c.err // what the connection says about it is a consequence
	}
	if err != nil {
		return err
	}
	// The binary form of one type may be taken for another without an error. The
	// transaction has a lock by now that keeps the table as it is.
	if err := p.checkRecords(ctx); err != nil {
		return err
	}
	if c.leftOut > 0 && p.keep != nil {
		// Before the commit: afterwards nobody finds out any more.
		if err := p.keep(part.Hour); err != nil {
			return err
		}
	}
	d := lines.digest()
	if _, err := tx.Exec(ctx, `UPDATE `+p.parts.Sanitize()+` SET records = $5, sha256 = $6 WHERE node = $1 AND generation = $2 AND hour = $3 AND "from" = $4`,
		part.Node, int64(part.Generation), instant(part.Hour), part.From, d.Records, d.SHA256); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	p.bytes.AddInt64(part.To - part.From)
	p.altered.Add(c.altered)
	p.leftOut.Add(c.leftOut)
	if c.leftOut > 0 {
		p.log.Error("records that PostgreSQL does not take were left out: they are in the local file only, which storage.maxAge and storage.maxBytes do not remove until the file .HH.log.json.keep beside it is removed", "part", part.String(), "records", c.leftOut)
	}
	return nil
}

func (p *postgres) copyStatement() string {
	return `COPY ` + p.table.Sanitize() + ` (ts, path, user_agent, extra) FROM STDIN (FORMAT binary)`
}

// compare decides whether the part that is stored already is this one. The
// transaction is rolled back in any case.
func (p *postgres) compare(ctx context.Context, tx pgx.Tx, part Part, open func() (io.ReadCloser, error)) (err error) {
	var to, records int64
	var sum string
	err = tx.QueryRow(ctx, `SELECT "to", records, sha256 FROM `+p.parts.Sanitize()+` WHERE node = $1 AND generation = $2 AND hour = $3 AND "from" = $4`,
		part.Node, int64(part.Generation), instant(part.Hour), part.From).Scan(&to, &records, &sum)
	if err != nil {
		return err
	}
	r, err := open()
	if err != nil {
		return err
	}
	lines := newLineReader(part, r)
	_, err = io.Copy(io.Discard, struct{ io.Reader }{lines})
	if err = errors.Join(err, lines.Close()); err != nil {
		return err
	}
	if d := lines.digest(); to != part.To || records != d.Records || sum != d.SHA256 {
		return fmt.Errorf("%v: logforge_parts says that bytes %d to %d are stored, %d records with SHA-256 %s, and the lines are %d with %s: %w",
			part, part.From, to, records, sum, d.Records, d.SHA256, errDamaged)
	}
	return tx.Rollback(ctx)
}

// isDataError reports whether err is about a value rather than about the
// database: SQLSTATE class 22, data exception; 54, program limit exceeded.
func isDataError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "54"))
}
