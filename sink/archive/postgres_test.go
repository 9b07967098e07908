package archive

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"logforge/codec"
	"logforge/sink/archive/archivetest"
)

func TestPostgres_EveryLineIsInTheTableOnceAlsoLateOnes(t *testing.T) {
	url, n := archivetest.PostgreSQL(t).New(t), newNode(t)
	n.cfg.Postgres.URL = url
	n.start()
	n.inRounds()
	n.restart()
	n.write(line(15, 1, `,"status":200`))
	n.drained()
	sameLines(t, n.wrote, inTable(t, url))
	if got := query[int64](t, url, `SELECT sum(records)::bigint FROM logforge_parts`); got[0] != int64(len(n.wrote)) {
		t.Errorf("logforge_parts counts %d records of %d", got[0], len(n.wrote))
	}
}

func TestPostgres_APartIsFoundByItsDay(t *testing.T) {
	url, n := archivetest.PostgreSQL(t).New(t), newNode(t)
	n.cfg.Postgres.URL = url
	for _, day := range []string{"0000-02-29", "1969-12-31", "2026-02-09", "9999-12-31"} {
		n.write(`{"timestamp":"` + day + `T23:59:59.999999999Z","path":"/","userAgent":"x"}`)
	}
	n.start()
	n.drained()
	got := query[string](t, url, `SELECT tableoid::regclass || ' ' || ts::text FROM logs ORDER BY ts`)
	want := []string{"logs_00000229 0001-02-29 23:59:59.999999+00 BC", "logs_19691231 1969-12-31 23:59:59.999999+00",
		"logs_20260209 2026-02-09 23:59:59.999999+00", "logs_99991231 9999-12-31 23:59:59.999999+00"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Ensure that what PostgreSQL cannot hold keeps nothing else from it.
func TestPostgres_WhatItCannotHoldIsStoredInTheNearestForm(t *testing.T) {
	url, n := archivetest.PostgreSQL(t).New(t), newNode(t)
	n.cfg.Postgres.URL = url
	n.some(15, 1500)
	n.write(
		`{"timestamp":"2026-02-09T15:00:00Z","path":"/nul\u0000","userAgent":"\u0000"}`,
		`{"timestamp":"2026-02-09T15:00:00Z","path":"/extra","userAgent":"x","a":"\u0000","b":"\\u0000"}`,
		`{"timestamp":"2026-02-09T15:00:00Z","path":"/huge","userAgent":"x","n":1e999999}`,
		`{"timestamp":"2026-02-09T15:00:00Z","path":"/escaped\"\\\u0001","userAgent":"x"}`,
	)
	n.some(15, 1500)
	n.start()
	n.drained()
	if got := query[int64](t, url, `SELECT count(*) FROM logs`); got[0] != int64(len(n.wrote)) {
		t.Errorf("%d records of %d", got[0], len(n.wrote))
	}
	f := func(sql, want string) {
		t.Helper()
		if got := query[string](t, url, sql); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	f(`SELECT path || user_agent FROM logs WHERE path LIKE '/nul%'`, "/nul\ufffd\ufffd")
	f(`SELECT (extra->>'a') || (extra->>'b') FROM logs WHERE path = '/extra'`, "\ufffd"+`\u0000`)
	f(`SELECT extra #>> '{}' FROM logs WHERE path = '/huge'`, `{"n":1e999999}`)
	f(`SELECT path FROM logs WHERE path LIKE '/escaped%'`, "/escaped\"\\\x01")
	var text bytes.Buffer
	n.set.WritePrometheus(&text)
	if !strings.Contains(text.String(), `logforge_archive_altered_records_total{destination="postgres"} 3`) {
		t.Errorf("altered records:\n%s", text.String())
	}
}

func TestPostgres_ACommitWhoseAnswerIsLostCountsOnce(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	for _, word := range []string{"commit", "COPY", "INSERT INTO", "UPDATE"} {
		t.Run(word, func(t *testing.T) {
			n, url, cable := behindCable(t, db)
			for round := range 4 {
				disconnect := make(chan struct{})
				cable.DisconnectAfter(func(sent []byte) bool {
					if !bytes.Contains(sent, []byte(word)) {
						return false
					}
					close(disconnect)
					return true
				})
				n.some(15+round, 100)
				select {
				case <-disconnect:
				case <-time.After(patience):
					t.Fatalf("no %s was seen", word)
				}
				if round == 2 {
					n.restart()
				}
				n.drained()
			}
			sameLines(t, n.wrote, inTable(t, url))
		})
	}
}

func TestPostgres_KilledAndStartedAgainItHasEveryLineOnce(t *testing.T) {
	db := archivetest.OwnDatabase(t)
	url, n := db.New(t), newNode(t)
	n.cfg.Postgres.URL = url
	n.start()
	for round := range 3 {
		for range 20 {
			n.some(15, 500)
		}
		db.Kill(t)
		n.some(16+round, 100)
		db.Start(t)
		if round == 1 {
			n.restart()
		}
	}
	n.drained()
	sameLines(t, n.wrote, inTable(t, url))
}

func TestPostgres_TwoNodesShareATable(t *testing.T) {
	url := archivetest.PostgreSQL(t).New(t)
	var wrote []string
	nodes := []*node{newNode(t), newNode(t)}
	for _, n := range nodes {
		n.cfg.Postgres.URL = url
		n.start() // both make the tables
	}
	for round := range 5 {
		for _, n := range nodes {
			n.some(10+round, 20)
		}
	}
	for _, n := range nodes {
		n.drained()
		wrote = append(wrote, n.wrote...)
	}
	sameLines(t, wrote, inTable(t, url))
}

// Ensure that what is wrong is said with the setting to change, and that it goes
// on once it has been put right.
func TestPostgres_WhatIsWrongNamesTheSettingAndGoesOnByItself(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	f := func(name string, breakIt func(n *node, url string) (mend func()), says ...string) {
		t.Run(name, func(t *testing.T) {
			url, n := db.New(t), newNode(t)
			n.cfg.Postgres.URL = url
			good := n.cfg
			mend := breakIt(n, url)
			n.some(15, 10)
			n.start()
			for _, word := range says {
				eventually(t, "an error that says "+word, func() bool { return strings.Contains(n.errorOf(), word) })
			}
			if st := n.archive.Status()[0]; !st.Behind || st.PendingBytes == 0 {
				t.Errorf("%+v", st)
			}
			if text := n.log.String(); strings.Contains(text, "hush") || strings.Contains(text, ":logforge@") {
				t.Error("the log shows the password")
			}
			n.some(16, 10)
			if mend != nil {
				mend()
			} else {
				n.halt()
				n.cfg = good
				n.start()
			}
			n.drained()
			if st := n.archive.Status()[0]; st.Behind || st.Error != "" {
				t.Errorf("%+v", st)
			}
			sameLines(t, n.wrote, inTable(t, url))
		})
	}
	user := func(url, name, password string) string {
		return db.URLOf(name, password, db.Addr(), url[strings.LastIndexByte(url, '/')+1:strings.IndexByte(url, '?')])
	}
	f("password", func(n *node, url string) func() { n.cfg.Postgres.URL = user(url, "logforge", "hush"); return nil }, "archive.postgres.url", "password")
	f("database", func(n *node, url string) func() { n.cfg.Postgres.URL = db.URL("not_there"); return nil }, "archive.postgres.url", "does not exist")
	f("schema", func(n *node, url string) func() { n.cfg.Postgres.Table = "nowhere.logs"; return nil }, "archive.postgres.table", "schema")
	f("address", func(n *node, url string) func() { n.cfg.Postgres.URL = "postgres://x:hush@127.0.0.1:1/x"; return nil }, "archive.postgres.url cannot be reached")
	f("another shape", func(n *node, url string) func() {
		db.Exec(t, url, `CREATE TABLE logs (ts timestamp, path text, user_agent varchar(10), other int NOT NULL)`)
		return func() { db.Exec(t, url, `DROP TABLE logs`) }
	}, "archive.postgres.table", "ts is timestamp without time zone", "extra jsonb is missing", "other needs a value")
	f("no rights", func(n *node, url string) func() {
		role := fmt.Sprintf("reader_%d", time.Now().UnixNano())
		db.Exec(t, url, `CREATE ROLE `+role+` LOGIN PASSWORD 'hush'`)
		n.cfg.Postgres.URL = user(url, role, "hush")
		return func() { db.Exec(t, url, `GRANT CREATE ON SCHEMA public TO `+role) }
	}, "archive.postgres.url lacks a right")
	f("disk full", func(n *node, url string) func() {
		db.Exec(t, url, `CREATE TABLE logs (ts timestamptz, path text, user_agent text, extra jsonb)`,
			`CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$ LANGUAGE plpgsql`,
			`CREATE TRIGGER full_disk BEFORE INSERT ON logs FOR EACH STATEMENT EXECUTE FUNCTION full_disk()`)
		return func() { db.Exec(t, url, `DROP TRIGGER full_disk ON logs`) }
	}, "disk of the database in archive.postgres.url is full")
	f("no partition", func(n *node, url string) func() {
		role := fmt.Sprintf("writer_%d", time.Now().UnixNano())
		db.Exec(t, url, `CREATE TABLE logs (ts timestamptz, path text, user_agent text, extra jsonb) PARTITION BY RANGE (ts)`, partsTable,
			`CREATE ROLE `+role+` LOGIN PASSWORD 'hush'`, `GRANT INSERT ON logs TO `+role, `GRANT SELECT, INSERT, UPDATE ON logforge_parts TO `+role)
		n.cfg.Postgres.URL = user(url, role, "hush")
		return func() { db.Exec(t, url, `CREATE TABLE logs_all PARTITION OF logs DEFAULT`) }
	}, "no partition for that day")
}

const partsTable = `CREATE TABLE logforge_parts (node text NOT NULL, generation bigint NOT NULL, hour timestamptz NOT NULL,
	"from" bigint NOT NULL, "to" bigint NOT NULL, records bigint NOT NULL, sha256 text NOT NULL, PRIMARY KEY (node, hour, generation, "from"))`

func TestCopier_EncodesWithoutAllocatingARecord(t *testing.T) {
	l := []byte(line(15, 1, `,"status":200`) + "\n")
	c := &copier{hour: codec.HourOf(time.Date(2026, 2, 9, 15, 0, 0, 0, time.UTC)), out: make([]byte, 0, 1<<10)}
	if n := testing.AllocsPerRun(100, func() { c.out = c.out[:0]; c.rows(l) }); n != 0 || c.err != nil {
		t.Errorf("%v allocations, %v", n, c.err)
	}
}
