package archive

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/archive/archivetest"
	"logforge/sink/hourly"
)

// retaining makes the node's files remove every hour that the archive allows.
func (n *node) retaining() {
	n.t.Helper()
	n.storageChange = func(st *config.Storage) { st.MaxAge = time.Hour }
	if err := n.files.Close(); err != nil {
		n.t.Fatal(err)
	}
	n.open()
}

// retain removes hours until the test ends.
func (n *node) retain() {
	ctx, cancel := context.WithCancel(n.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = n.files.Retain(ctx, hourly.Retention{MayRemove: n.archive.Covers}) // never an error
	}()
	n.t.Cleanup(func() { cancel(); <-ended })
}

// Ensure that what the bucket does not have yet stays on disk, that it goes once
// it has, and that late lines of a removed hour come to the bucket as well.
func TestS3_HoursAreRemovedOnlyOnceTheBucketHasThem(t *testing.T) {
	s := archivetest.S3Server(t)
	p := archivetest.NewProxy(t, s)
	bucket, n := s.Bucket(t), newNode(t)
	n.retaining()
	n.toBucket(p.Endpoint(), bucket)
	n.some(14, 50)
	n.start()
	n.drained()
	p.Decide(func(r *http.Request) archivetest.Action {
		if r.Method == http.MethodPut {
			return archivetest.Refuse
		}
		return archivetest.Pass
	})
	n.some(15, 50)
	n.retain()
	eventually(t, "the hour that the bucket has is removed", func() bool { return len(n.files.Extents()) == 1 })
	eventually(t, "the archive has met a refusal", func() bool { return n.errorOf() != "" })
	if e := n.files.Extents()[0]; n.archive.Covers(e) || e.Hour != codec.HourOf(time.Date(2026, 2, 9, 15, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v is left", e)
	}
	p.Decide(nil)
	n.some(14, 10) // late
	eventuallyIn(t, 90*time.Second, "everything is archived and removed", func() bool { return len(n.files.Extents()) == 0 })
	sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
}

// Ensure that the only copy of a record stays until a person has looked at it.
func TestPostgres_AnHourWithARecordThatWasLeftOutIsNotRemoved(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	url, n := db.New(t), newNode(t)
	n.retaining()
	db.Exec(t, url, `CREATE TABLE logs (ts timestamptz, path text, user_agent text, extra jsonb)`,
		`CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF NEW.path = '/refused' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '22023'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql`,
		`CREATE TRIGGER refuse BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION refuse()`)
	n.cfg.Postgres.URL = url
	n.some(14, 20)
	n.some(15, 20)
	want := slices.Clone(n.wrote)
	n.write(`{"timestamp":"2026-02-09T15:00:00Z","path":"/refused","userAgent":"x"}`)
	n.start()
	n.drained()
	sameLines(t, want, inTable(t, url))
	n.restart()
	n.drained()
	n.retain()
	eventually(t, "hour 14 is removed", func() bool { return len(n.files.Extents()) == 1 })
	mark := filepath.Join(n.storage().LogsDir, "2026-02-09/.15.log.json.keep")
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	eventuallyIn(t, 90*time.Second, "hour 15 is removed as well", func() bool { return len(n.files.Extents()) == 0 })
}
