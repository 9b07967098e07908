package archive

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/sink/archive/archivetest"
)

// Ensure that what is taken away from the database, once parts were stored in
// it, is stored again, from what the local disk still has.
func TestPostgres_WhatIsRemovedIsStoredAgain(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	f := func(name, reason, says string, remove, mend func(n *node, url string)) {
		t.Run(name, func(t *testing.T) {
			url, n := db.New(t), newNode(t)
			n.cfg.Postgres.URL = url
			n.start()
			n.some(14, 50)
			n.some(15, 50)
			n.drained()
			remove(n, url)
			n.some(16, 50)
			if reason != "" {
				n.waitsFor(reason, says)
			}
			if mend != nil {
				mend(n, url)
			}
			eventually(t, "everything is there again", func() bool {
				return n.archive.Covers(n.files.Extents()[2]) && query[int64](t, url, `SELECT count(*) FROM logs`)[0] == 150
			})
			n.waitsForNothing()
			sameLines(t, n.wrote, inTable(t, url))
		})
	}
	f("both tables", "", "", func(n *node, url string) { db.Exec(t, url, `DROP TABLE logs, logforge_parts`) }, nil)
	f("the records without their parts", "table", "bring it back, or remove their rows", func(n *node, url string) { db.Exec(t, url, `DROP TABLE logs`) },
		func(n *node, url string) { db.Exec(t, url, `DELETE FROM logforge_parts`) })
	f("the database", "database", "does not exist: create it", func(n *node, url string) {
		name := url[strings.LastIndexByte(url, '/')+1 : strings.IndexByte(url, '?')]
		db.Exec(t, db.URL("logforge"), `DROP DATABASE `+name+` WITH (FORCE)`)
	}, func(n *node, url string) {
		db.Exec(t, db.URL("logforge"), `CREATE DATABASE `+url[strings.LastIndexByte(url, '/')+1:strings.IndexByte(url, '?')])
	})
	f("everything, without an error", "", "", func(n *node, url string) {
		db.Exec(t, url, `TRUNCATE logs, logforge_parts`)
		n.archive.followers[0].setRecheck(10 * time.Millisecond)
	}, nil)
}

// Ensure that a table that is changed while records go into it is waited for,
// and that no record is left out because of it.
func TestPostgres_ATableChangedMeanwhileIsWaitedFor(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	f := func(name, says string, change, back string) {
		t.Run(name, func(t *testing.T) {
			url, n := db.New(t), newNode(t)
			n.cfg.Postgres.URL = url
			n.start()
			n.some(15, 10)
			n.drained()
			db.Exec(t, url, change)
			n.some(15, 50)
			n.some(16, 50)
			n.waitsFor("table", "archive.postgres.table", says)
			if got := query[int64](t, url, `SELECT count(*) FROM logs`); got[0] != 10 {
				t.Errorf("%d records", got[0])
			}
			db.Exec(t, url, back)
			n.waitsForNothing()
			sameLines(t, n.wrote, inTable(t, url))
		})
	}
	f("a column too short", "path is character varying", `ALTER TABLE logs ALTER path TYPE varchar(3)`, `ALTER TABLE logs ALTER path TYPE text`)
	f("another type", "extra is text and not jsonb", `ALTER TABLE logs ALTER extra TYPE text`, `ALTER TABLE logs ALTER extra TYPE jsonb USING extra::jsonb`)
	f("a column renamed", "user_agent text is missing", `ALTER TABLE logs RENAME user_agent TO agent`, `ALTER TABLE logs RENAME agent TO user_agent`)
	f("a column that needs a value", "column host needs a value", `ALTER TABLE logs ADD host text; UPDATE logs SET host = ''; ALTER TABLE logs ALTER host SET NOT NULL`, `ALTER TABLE logs DROP host`)
	f("a constraint", "constraint", `ALTER TABLE logs ADD CONSTRAINT short CHECK (length(path) < 1) NOT VALID`, `ALTER TABLE logs DROP CONSTRAINT short`)
	f("a view in its place", "no", `ALTER TABLE logs RENAME TO kept; CREATE VIEW logs AS SELECT * FROM kept`, `DROP VIEW logs; ALTER TABLE kept RENAME TO logs`)
	f("no primary key", "PRIMARY KEY (node, hour, generation", `ALTER TABLE logforge_parts DROP CONSTRAINT logforge_parts_pkey`, `ALTER TABLE logforge_parts ADD PRIMARY KEY (node, hour, generation, "from")`)
}

func TestPostgres_AFullDiskIsWaitedFor(t *testing.T) {
	disk := archivetest.SmallDisk(t, 2)
	db := archivetest.OwnDatabase(t)
	url, n := db.New(t), newNode(t)
	db.Give(t, disk.Dir)
	db.Exec(t, url, `CREATE TABLESPACE small LOCATION '`+disk.Dir+`'`, `CREATE TABLE logs (ts timestamptz, path text, user_agent text, extra jsonb) TABLESPACE small`)
	n.cfg.Postgres.URL = url
	n.start()
	for hour := range 8 {
		for range 10 {
			n.some(hour, 500)
		}
	}
	n.waitsFor("full", "the disk of the database in archive.postgres.url is full", "No space left on device")
	n.some(20, 10)
	disk.Grow(t, 64)
	n.waitsForNothing()
	sameLines(t, n.wrote, inTable(t, url))
	n.halt()
	db.Exec(t, url, `ALTER TABLE logs SET TABLESPACE pg_default`, `DROP TABLESPACE small`)
}

// Ensure that a server restarted while it takes a COPY has each line once.
func TestPostgres_RestartedInTheMiddleOfCopyItHasEveryLineOnce(t *testing.T) {
	db := archivetest.OwnDatabase(t)
	n, url, cable := behindCable(t, db)
	for round := range 4 {
		inCopy := make(chan struct{})
		begun := false
		cable.DisconnectAfter(func(sent []byte) bool {
			if begun = begun || bytes.Contains(sent, []byte("COPY")); begun && inCopy != nil {
				close(inCopy)
				inCopy = nil
			}
			return false
		})
		seen := inCopy
		for range 20 {
			n.some(15+round, 500)
		}
		select {
		case <-seen:
		case <-time.After(patience):
			t.Fatal("no COPY was seen")
		}
		if round%2 == 0 {
			db.Stop(t)
		} else {
			db.Kill(t)
		}
		n.some(20, 10)
		eventually(t, "it is noticed", func() bool { return n.archive.Status()[0].Reason == "unreachable" })
		db.Start(t)
		n.waitsForNothing()
	}
	sameLines(t, n.wrote, inTable(t, url))
}

// Ensure that what a user or a database was given as a default keeps no part
// from being stored for ever.
func TestPostgres_LimitsOfTheUserDoNotStopLargeParts(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	url, n := db.New(t), newNode(t)
	role := fmt.Sprintf("limited_%d", time.Now().UnixNano())
	db.Exec(t, url, `CREATE ROLE `+role+` LOGIN PASSWORD 'x'`, `GRANT CREATE ON SCHEMA public TO `+role, `ALTER ROLE `+role+` SET statement_timeout = '150ms'`,
		`ALTER ROLE `+role+` SET synchronous_commit = off`)
	n.cfg.Postgres.URL = strings.Replace(url, "logforge:logforge@", role+":x@", 1)
	n.start()
	n.some(15, 10)
	n.drained()
	db.Exec(t, url, `CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN
		IF current_setting('synchronous_commit') = 'off' THEN RAISE EXCEPTION 'a commit may be forgotten'; END IF;
		PERFORM pg_sleep(0.3); RETURN NULL; END $$ LANGUAGE plpgsql`,
		`CREATE TRIGGER slow AFTER INSERT ON logs FOR EACH STATEMENT EXECUTE FUNCTION note()`)
	n.some(16, 10)
	n.waitsForNothing()
	sameLines(t, n.wrote, inTable(t, url))
}

// grants are those in docs/archive.md, of a user who may make nothing.
var grants = []string{`INSERT ON logs`, `SELECT ON logforge_parts`, `INSERT ON logforge_parts`, `UPDATE ON logforge_parts`}

func TestPostgres_TheLeastRightsSufficeAndEachIsNeeded(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	f := func(without string) {
		t.Run("without "+without, func(t *testing.T) {
			url, n := db.New(t), newNode(t)
			role := fmt.Sprintf("least_%d", time.Now().UnixNano())
			db.Exec(t, url, `CREATE TABLE logs (ts timestamptz NOT NULL, path text NOT NULL, user_agent text NOT NULL, extra jsonb) PARTITION BY RANGE (ts)`, partsTable,
				`CREATE TABLE logs_2026_02 PARTITION OF logs FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`, `CREATE TABLE logs_rest PARTITION OF logs DEFAULT`,
				`CREATE ROLE `+role+` LOGIN PASSWORD 'x'`)
			for _, g := range grants {
				if g != without {
					db.Exec(t, url, `GRANT `+g+` TO `+role)
				}
			}
			n.cfg.Postgres.URL = strings.Replace(url, "logforge:logforge@", role+":x@", 1)
			n.some(15, 10)
			n.write(`{"timestamp":"2020-02-09T15:00:00Z","path":"/","userAgent":"x"}`)
			n.start()
			if without != "" {
				n.waitsFor("rights", "archive.postgres.url lacks a right", "permission denied for table "+without[strings.LastIndexByte(without, ' ')+1:])
				db.Exec(t, url, `GRANT `+without+` TO `+role)
			}
			n.waitsForNothing()
			sameLines(t, n.wrote, inTable(t, url))
		})
	}
	f("")
	for _, g := range grants {
		f(g)
	}
}

// Ensure that a user who may make tables needs nothing but that.
func TestPostgres_AUserWhoMayMakeTablesNeedsNothingElse(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	url, n := db.New(t), newNode(t)
	role := fmt.Sprintf("maker_%d", time.Now().UnixNano())
	db.Exec(t, url, `CREATE ROLE `+role+` LOGIN PASSWORD 'x'`)
	n.cfg.Postgres.URL = strings.Replace(url, "logforge:logforge@", role+":x@", 1)
	n.some(15, 10)
	n.start()
	n.waitsFor("rights", "permission denied for schema public")
	db.Exec(t, url, `GRANT CREATE ON SCHEMA public TO `+role)
	n.waitsForNothing()
	n.write(`{"timestamp":"2020-02-09T15:00:00Z","path":"/","userAgent":"x"}`) // a day more
	n.waitsForNothing()
	sameLines(t, n.wrote, inTable(t, url))
}

func TestPostgres_ReadersMakeNothing(t *testing.T) {
	url := archivetest.PostgreSQL(t).New(t)
	cfg := config.Default().Archive
	cfg.Postgres.URL = url
	readers, err := Readers(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer readers[0].Close()
	if _, err := readers[0].Parts(context.Background(), "", First, Last); err == nil || !strings.Contains(err.Error(), "archive.postgres.table") {
		t.Errorf("%v", err)
	}
	if got := query[int64](t, url, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); got[0] != 0 {
		t.Errorf("%d tables were made", got[0])
	}
}

func TestPostgres_TLSWithItsOwnAuthority(t *testing.T) {
	serve := func(until time.Time) (db *archivetest.Database, url, ca string) {
		ca, cert, key := archivetest.Certificates(t, until)
		// The server wants a key that is its own, and nobody else's to read.
		text, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		db = archivetest.OwnDatabase(t)
		db.Own(t, "server.key", text)
		text, err = os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		db.Own(t, "server.crt", text)
		db.Exec(t, db.URL("logforge"), `ALTER SYSTEM SET ssl = on`, `SELECT pg_reload_conf()`)
		url = db.New(t)
		eventually(t, "TLS is on", func() bool { return query[string](t, url, `SHOW ssl`)[0] == "on" })
		return db, url, ca
	}
	start := func(url, mode string) *node {
		n := newNode(t)
		n.cfg.Postgres.URL = strings.Replace(url, "sslmode=disable", mode, 1)
		n.some(15, 10)
		n.start()
		return n
	}
	other, _, _ := archivetest.Certificates(t, time.Now().Add(time.Hour))
	_, url, ca := serve(time.Now().Add(time.Hour))
	n := start(url, "sslmode=verify-full&sslrootcert="+ca)
	n.waitsForNothing()
	sameLines(t, n.wrote, inTable(t, url))
	start(url, "sslmode=verify-full&sslrootcert="+other).waitsFor("certificate", "set sslrootcert")
	start(url, "sslmode=verify-full").waitsFor("certificate", "set sslrootcert")
	start(strings.Replace(url, "127.0.0.1", "localhost", 1), "sslmode=verify-full&sslrootcert="+ca).waitsFor("certificate", "not for the host in archive.postgres.url")
	start(url, "sslmode=verify-full&sslrootcert="+filepath.Join(t.TempDir(), "none.pem")).waitsFor("setting", "none.pem")

	_, url, ca = serve(time.Now().Add(-time.Hour))
	start(url, "sslmode=verify-full&sslrootcert="+ca).waitsFor("certificate", "has expired or is not valid yet")

	plain := archivetest.PostgreSQL(t).New(t)
	start(plain, "sslmode=verify-full&sslrootcert="+ca).waitsFor("certificate", "the server of archive.postgres.url has no TLS")
}

// Ensure that no message shows the URL: what is wrong with it may be in the
// middle of the password.
func TestPostgres_ABrokenURLIsNotShown(t *testing.T) {
	for _, url := range []string{
		"postgres://me:hunter2%zz@host/db", "postgres://me:hun/ter2@host/db", "postgres://me:hun#ter2@host/db", "postgres://me:hun?ter2@host/db",
		"postgres://me:hun ter2@host:x/db", "host=h user=me password=hunter2", "mysql://me:hunter2@host/db", "hunter2", "postgres://me:hunter2@host:99999/db",
		"postgres://me:hunter2@host/db?sslmode=hunter", "postgres://me:hunter2@host/db?connect_timeout=x", "postgres://me:hunter2@host/db?sslrootcert=/nowhere",
		"postgres://me:hunter2\n@host/db", "postgres://me:hunter2@[host/db",
	} {
		file := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := config.Default().Archive
		cfg.Postgres.URLFile = file
		err := Check(cfg)
		if err == nil || !strings.Contains(err.Error(), "archive.postgres.url") {
			t.Errorf("%q: %v", url, err)
			continue
		}
		p := newPostgres(cfg.Postgres, "node", slog.New(slog.DiscardHandler), metrics.NewSet())
		_, asked := p.Parts(context.Background(), "", First, Last)
		for _, err := range []error{err, asked} {
			for _, piece := range []string{"hunter2", "ter2", ":hun"} {
				if strings.Contains(err.Error(), piece) {
					t.Errorf("%q: the error shows %q: %v", url, piece, err)
				}
			}
		}
	}
}
