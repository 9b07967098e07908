package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"logforge/codec"
	"logforge/sink/hourly"
)

// The tables, their partitions, and what PostgreSQL's errors mean.

// prepare looks at the tables, once for each connection, and makes them where
// they are missing.
func (p *postgres) prepare(ctx context.Context) error {
	if p.how != unknownTable {
		return nil
	}
	there := func(name pgx.Identifier) (kind string, err error) {
		err = p.conn.QueryRow(ctx, `SELECT c.relkind::text FROM pg_class c WHERE c.oid = to_regclass($1)`, name.Sanitize()).Scan(&kind)
		if errors.Is(err, pgx.ErrNoRows) {
			return "", nil
		}
		return kind, err
	}
	kind, err := there(p.table)
	if err != nil {
		return err
	}
	parts, err := there(p.parts)
	if err != nil {
		return err
	}
	if kind == "" || parts == "" {
		if err := p.mayCreate(ctx, kind == "", parts == ""); err != nil {
			return err
		}
		if err := p.create(ctx, kind == "", parts == ""); err != nil {
			return fmt.Errorf("making table %s and logforge_parts: %w", p.cfg.Table, err)
		}
		if kind == "" {
			kind = "p"
		}
	}
	if err := p.checkTables(ctx); err != nil {
		return err
	}
	p.how = plainTable
	if kind == "p" {
		p.how = partitionedTable
	}
	return nil
}

// mayCreate says whether the tables that are missing are to be made.
func (p *postgres) mayCreate(ctx context.Context, table, parts bool) error {
	if p.node == "" {
		return &refusal{waitsForTable, true, fmt.Errorf("archive.postgres.table: %s or logforge_parts is not there: the archive makes both when it starts", p.cfg.Table)}
	}
	if !table || parts {
		return nil
	}
	// The parts would be taken for stored in a table that is empty.
	var any bool
	if err := p.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+p.parts.Sanitize()+` WHERE node = $1)`, p.node).Scan(&any); err != nil {
		return err
	}
	if any {
		return &refusal{waitsForTable, true, fmt.Errorf("archive.postgres.table: %s is not there, but %s has parts that were stored in it: bring it back, or remove their rows (DELETE FROM %s WHERE node = '%s') to have everything that is on the local disk stored again",
			p.cfg.Table, p.parts.Sanitize(), p.parts.Sanitize(), p.node)}
	}
	return nil
}

// checkRecords compares the table of the records with what is written into it.
func (p *postgres) checkRecords(ctx context.Context) error {
	return p.check(ctx, p.table, "archive.postgres.table", []column{
		{"ts", "timestamp with time zone"}, {"path", "text"}, {"user_agent", "text"}, {"extra", "jsonb"},
	})
}

// checkTables compares both tables with what this program writes.
func (p *postgres) checkTables(ctx context.Context) error {
	if err := p.checkRecords(ctx); err != nil {
		return err
	}
	if err := p.check(ctx, p.parts, "archive.postgres.table: beside it", []column{
		{"node", "text"}, {"generation", "bigint"}, {"hour", "timestamp with time zone"}, {"from", "bigint"}, {"to", "bigint"}, {"records", "bigint"}, {"sha256", "text"},
	}); err != nil {
		return err
	}
	// Without it a part could be stored twice.
	var key bool
	err := p.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indisvalid AND indpred IS NULL AND
		(SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey)) = '{from,generation,hour,node}')`,
		p.parts.Sanitize()).Scan(&key)
	if err == nil && !key {
		err = &refusal{waitsForTable, true, fmt.Errorf("archive.postgres.table: beside it: table %s needs PRIMARY KEY (node, hour, generation, \"from\"): docs/archive.md has its definition", p.parts.Sanitize())}
	}
	return err
}

// locked runs statements in a transaction of their own, one node at a time.
func (p *postgres) locked(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Somebody's long query must not be waited for with everybody else
		// waiting behind: it is tried again.
		all := append([]string{`SET LOCAL lock_timeout = '5s'`, `SELECT pg_advisory_xact_lock(hashtext('logforge'))`}, statements...)
		for _, s := range all {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *postgres) create(ctx context.Context, table, parts bool) error {
	var statements []string
	if table {
		name := p.table.Sanitize()
		statements = append(statements,
			`CREATE TABLE IF NOT EXISTS `+name+` (ts timestamptz NOT NULL, path text NOT NULL, user_agent text NOT NULL, extra jsonb) PARTITION BY RANGE (ts)`,
			`CREATE INDEX IF NOT EXISTS `+pgx.Identifier{p.table[len(p.table)-1] + "_ts"}.Sanitize()+` ON `+name+` USING brin (ts)`)
	}
	if parts {
		statements = append(statements, `CREATE TABLE IF NOT EXISTS `+p.parts.Sanitize()+` (node text NOT NULL, generation bigint NOT NULL, hour timestamptz NOT NULL,
			"from" bigint NOT NULL, "to" bigint NOT NULL, records bigint NOT NULL, sha256 text NOT NULL, PRIMARY KEY (node, hour, generation, "from"))`)
	}
	return p.locked(ctx, p.conn, statements...)
}

type column struct{ name, kind string }

// check compares a table with what this program writes. Other columns are fine
// as long as they need no value.
func (p *postgres) check(ctx context.Context, table pgx.Identifier, setting string, want []column) error {
	rows, err := p.conn.Query(ctx, `SELECT attname, format_type(atttypid, NULL), attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''
		FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, table.Sanitize())
	if err != nil {
		return err
	}
	var wrong []string
	found := map[string]string{}
	var name, kind string
	var needed bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind, &needed}, func() error {
		found[name] = kind
		if needed && !slices.ContainsFunc(want, func(c column) bool { return c.name == name }) {
			wrong = append(wrong, fmt.Sprintf("column %s needs a value", name))
		}
		return nil
	}); err != nil {
		return err
	}
	for _, c := range want {
		switch got := found[c.name]; got {
		case c.kind:
		case "":
			wrong = append(wrong, fmt.Sprintf("column %s %s is missing", c.name, c.kind))
		default:
			wrong = append(wrong, fmt.Sprintf("column %s is %s and not %s", c.name, got, c.kind))
		}
	}
	if wrong != nil {
		return &refusal{waitsForTable, true, fmt.Errorf("%s: table %s has another shape: %s; name another table, or change this one", setting, table.Sanitize(), strings.Join(wrong, ", "))}
	}
	return nil
}

// ensurePartition makes the partition of an hour's day, where it is missing, the
// table is partitioned, and no other partition has these days.
func (p *postgres) ensurePartition(ctx context.Context, conn *pgx.Conn, h codec.Hour) error {
	day := day(h)
	if p.how != partitionedTable || p.days[day] {
		return nil
	}
	name := slices.Clone(p.table)
	last := &name[len(name)-1]
	*last += "_" + day.Time().Format("20060102")
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name.Sanitize()).Scan(&there); err != nil {
		return err
	}
	if !there {
		// A table that is attached afterwards, because CREATE … PARTITION OF
		// would lock out everybody who reads.
		err := p.locked(ctx, conn,
			`CREATE TABLE IF NOT EXISTS `+name.Sanitize()+` (LIKE `+p.table.Sanitize()+` INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`,
			`DO $$ BEGIN IF NOT (SELECT relispartition FROM pg_class WHERE oid = to_regclass('`+strings.ReplaceAll(name.Sanitize(), "'", "''")+`')) THEN
				ALTER TABLE `+p.table.Sanitize()+` ATTACH PARTITION `+name.Sanitize()+` FOR VALUES FROM (`+literal(day)+`) TO (`+literal(day+24)+`); END IF; END $$`)
		var pg *pgconn.PgError
		switch {
		case err == nil:
		case errors.As(err, &pg) && slices.Contains([]string{
			"42P17", // overlaps with a partition that somebody else has made: of a month, say
			"23514", // the default partition has rows of that day already
			"42501", // no right to make it: there may be one that takes the rows
		}, pg.Code):
		default:
			return fmt.Errorf("making partition %s: %w", name.Sanitize(), err)
		}
	}
	p.days[day] = true
	return nil
}

// literal writes an hour as PostgreSQL reads it, whatever its year.
func literal(h codec.Hour) string {
	t := h.Time()
	if t.Year() < 1 {
		return fmt.Sprintf("'%04d-%s+00 BC'", 1-t.Year(), t.Format("01-02 15:04:05"))
	}
	return t.Format("'2006-01-02 15:04:05+00'")
}

// postgresHints are the answers of PostgreSQL by SQLSTATE.
var postgresHints = map[string]hint{
	"28P01": {waitsForCredentials, "the password in archive.postgres.url is wrong"},
	"28000": {waitsForCredentials, "archive.postgres.url is not let in: see the user, sslmode, and the server's pg_hba.conf"},
	"3D000": {waitsForDatabase, "the database in archive.postgres.url does not exist: create it"},
	"3F000": {waitsForTable, "the schema in archive.postgres.table does not exist: create it"},
	"42501": {waitsForRights, "the user in archive.postgres.url lacks a right: docs/archive.md has the grants that suffice"},
	"23514": {waitsForTable, "a constraint of the table in archive.postgres.table refuses a record: change the constraint"},
	"25006": {waitsForDatabase, "the server of archive.postgres.url is read-only: is it a standby?"},
	"53100": {waitsForRoom, "the disk of the database in archive.postgres.url is full: make room there"},
	"53200": {waitsForRoom, "the database in archive.postgres.url is out of memory"},
	"53300": {waitsForLoad, "the server of archive.postgres.url has no connection left: raise max_connections, or the limit of the user"},
	"53400": {waitsForRoom, "the database in archive.postgres.url has reached a limit of its configuration"},
	"55P03": {waitsForLoad, "somebody holds a lock on the table in archive.postgres.table"},
	"55000": {waitsForDatabase, "the database in archive.postgres.url takes no connections, or is being moved"},
	"57014": {waitsForLoad, "somebody cancelled the statement"},
	"57P01": {waitsForNetwork, "the server of archive.postgres.url is stopping, or somebody ended the connection"},
	"57P02": {waitsForNetwork, "the server of archive.postgres.url has crashed and starts again"},
	"57P03": {waitsForNetwork, "the server of archive.postgres.url is starting or stopping"},
	"58030": {waitsForDatabase, "the database in archive.postgres.url cannot read or write its disk"},
	"40001": {waitsForLoad, "another transaction was in the way"},
	"40P01": {waitsForLoad, "another transaction was in the way"},
	"42809": {waitsForTable, "archive.postgres.table is not a table that takes rows"},
	"42P01": {waitsForTable, "the table in archive.postgres.table was removed; it is made again if there is nothing of it left"},
	"42703": {waitsForTable, "the table in archive.postgres.table was changed"},
	"42804": {waitsForTable, "the table in archive.postgres.table was changed"},
	"XX001": {waitsForDatabase, "the database in archive.postgres.url is damaged"},
	"XX002": {waitsForDatabase, "the database in archive.postgres.url is damaged"},
}

// explainPostgres names the setting that is probably wrong. After any error what
// is known of the parts counts for nothing: a server that crashed, or another
// that took its place, may have forgotten the last commits.
func explainPostgres(err error) error {
	var already *refusal
	if err == nil || errors.Is(err, errDamaged) || errors.Is(err, hourly.ErrGone) || errors.As(err, &already) {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		h := networkHint(err, "archive.postgres.url", "sslrootcert in it")
		// pgx keeps its error for a connection that the server has closed to itself.
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || strings.HasSuffix(err.Error(), "conn closed") {
			h = hint{waitsForNetwork, "the connection to archive.postgres.url was lost"}
		}
		return &refusal{h.reason, true, fmt.Errorf("%s: %w", h.text, err)}
	}
	h, known := postgresHints[pg.Code]
	switch {
	case pg.Code == "23514" && pg.ConstraintName == "":
		h = hint{waitsForTable, "the table in archive.postgres.table has no partition for that day, and the user in archive.postgres.url may not make it: docs/archive.md has the grants that suffice"}
	case known:
	case strings.HasPrefix(pg.Code, "23"):
		h = postgresHints["23514"]
	default:
		h = hint{waitsForOther, "the database in archive.postgres.url answers"}
	}
	return &refusal{h.reason, true, fmt.Errorf("%s: %w", h.text, err)}
}
