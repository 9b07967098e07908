package proof

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"logforge/sink/archive/archivetest"
)

func fetch(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func accept(t *testing.T, addr string, n int) {
	t.Helper()
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"timestamp":"2026-02-09T15:%02d:00Z","path":"/%d","userAgent":"x"}`+"\n", i%60, i)
	}
	resp, err := http.Post("http://"+addr+"/logs", "application/x-ndjson", strings.NewReader(body.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %s %v", resp.Status, text, err)
	}
}

// seen waits until the text at an address holds a word.
func seen(t *testing.T, address, word string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, text := fetch(t, address)
		if strings.Contains(text, word) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never said %s:\n%s", address, word, tail(text))
		}
	}
}

// Ensure that a server whose bucket and whose database take nothing goes on
// taking batches and being ready, says what it waits for, and brings everything
// there without a restart once both are mended.
func TestArchive_ThatIsRefusedKeepsNoBatchAndNoProbeWaiting(t *testing.T) {
	s, db := archivetest.S3Server(t), archivetest.PostgreSQL(t)
	a := &archives{s3: s, proxy: archivetest.NewProxy(t, s), bucket: "later-" + s.Bucket(t), db: db, url: db.New(t)}
	a.cable = archivetest.NewCable(t, db.Addr())
	role := fmt.Sprintf("poor_%d", time.Now().UnixNano())
	db.Exec(t, a.url, `CREATE ROLE `+role+` LOGIN PASSWORD 'hunter2'`)
	dir, addr := directory(t), freeAddr(t)
	config := a.config(t, dir, "")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), "logforge:logforge@", role+":hunter2@", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, addr, "-config", config)
	waitReady(t, p)
	for range 20 {
		accept(t, addr, 100)
		if status, text := fetch(t, "http://"+addr+"/ready"); status != http.StatusOK || strings.TrimSpace(text) != "ready" {
			t.Fatalf("GET /ready: %d %s", status, text)
		}
	}
	seen(t, "http://"+addr+"/metrics", `logforge_archive_waiting{destination="s3",reason="bucket"} 1`)
	seen(t, "http://"+addr+"/metrics", `logforge_archive_waiting{destination="postgres",reason="rights"} 1`)
	if err := s.Make(a.bucket); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, a.url, `GRANT CREATE ON SCHEMA public TO `+role)
	drained(t, p)
	seen(t, "http://"+addr+"/metrics", `logforge_archive_waiting{destination="s3",reason="bucket"} 0`)
	seen(t, "http://"+addr+"/metrics", `logforge_archive_waiting{destination="postgres",reason="rights"} 0`)
	log := p.Kill()
	for _, word := range []string{"archive.s3.bucket does not exist", "archive.postgres.url lacks a right", "archiving goes on"} {
		if !strings.Contains(log, word) {
			t.Errorf("the log never says %s:\n%s", word, tail(log))
		}
	}
	records := 0
	a.inBucket(t, func(string) { records++ })
	a.inTable(t, func(string) { records++ })
	if records != 2*20*100 {
		t.Errorf("%d records at both destinations", records)
	}
}

// Ensure that nothing a person, a browser, a monitoring system or a log gets to
// see has a secret of the archive in it, whether it is right or refused.
func TestArchive_SecretsAreNeverPrinted(t *testing.T) {
	s, db := archivetest.S3Server(t), archivetest.PostgreSQL(t)
	server, err := program()
	if err != nil {
		t.Fatal(err)
	}
	const s3Secret, wrong = "hunter2/+s3&secret", "sesame#7%x"
	role := fmt.Sprintf("secretive_%d", time.Now().UnixNano())
	const password = "pa:ss/wo?rd#1"
	dbURL := db.New(t)
	db.Exec(t, dbURL, `CREATE ROLE `+role+` LOGIN PASSWORD '`+password+`'`, `GRANT CREATE ON SCHEMA public TO `+role)
	bucket := s.Bucket(t)
	s.User(t, role, strings.ReplaceAll(s3Secret, "&", "&amp;"))
	s.Allow(t, bucket, role, archivetest.Statement{Actions: []string{"s3:*"}, Resources: []string{"", "*"}})
	urlWith := func(password string) string {
		return strings.Replace(dbURL, "logforge:logforge@", role+":"+url.QueryEscape(password)+"@", 1)
	}
	secrets := []string{s3Secret, wrong, password}
	for _, secret := range secrets[:3] {
		secrets = append(secrets, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprintf("%q", secret))
	}
	for name, given := range map[string]struct{ s3, db string }{"right": {s3Secret, urlWith(password)}, "wrong": {wrong, urlWith(wrong)}, "no URL": {wrong, "postgres://" + role + ":" + password + "@host/db"}} {
		for _, how := range []string{"file", "environment", "secret files"} {
			t.Run(name+" "+how, func(t *testing.T) {
				dir, addr := directory(t), freeAddr(t)
				write := func(name, text string) string {
					file := filepath.Join(dir, name)
					if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					return file
				}
				more, env := "", []string(nil)
				switch how {
				case "file":
					more = fmt.Sprintf("  s3: {endpoint: %q, bucket: %s, accessKey: %s, secretKey: %q}\n  postgres: {url: %q, interval: 20ms}\n", s.Endpoint(), bucket, role, given.s3, given.db)
				case "environment":
					more = fmt.Sprintf("  s3: {endpoint: %q, bucket: %s, accessKey: %s}\n  postgres: {interval: 20ms}\n", s.Endpoint(), bucket, role)
					env = []string{"LOGFORGE_ARCHIVE_S3_SECRET_KEY=" + given.s3, "LOGFORGE_ARCHIVE_POSTGRES_URL=" + given.db}
				case "secret files":
					more = fmt.Sprintf("  s3: {endpoint: %q, bucket: %s, accessKey: %s, secretKeyFile: %s}\n  postgres: {urlFile: %s, interval: 20ms}\n", s.Endpoint(), bucket, role, write("secret", given.s3+"\n"), write("url", given.db+"\n"))
				}
				config := write("config.yaml", "server: {dashboard: true}\nlog: {level: debug}\narchive:\n  after: 30ms\n"+more)
				said := map[string]string{}
				flags := []string{"-config", config, "-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics")}
				run := func(words ...string) {
					cmd := exec.Command(server, append(words, flags...)...)
					cmd.Env = append(os.Environ(), env...)
					out, _ := cmd.CombinedOutput() // an error is as good
					said[strings.Join(words, " ")] = string(out)
				}
				run("-check-config")
				run("config")
				if name != "no URL" || how == "secret files" { // else it does not start
					p := startWith(t, dir, addr, env, "-config", config)
					if how != "secret files" || name != "no URL" {
						waitReady(t, p)
						accept(t, addr, 100)
						if name == "right" {
							drained(t, p)
						} else {
							seen(t, "http://"+addr+"/metrics", `{destination="s3",reason="credentials"} 1`)
							seen(t, "http://"+addr+"/metrics", `{destination="postgres",reason="credentials"} 1`)
						}
						for _, path := range []string{"/metrics", "/dashboard/config", "/dashboard/metrics", "/ready", "/health", "/version", "/config", "/"} {
							_, said["GET "+path] = fetch(t, "http://"+addr+path)
						}
						run("verify", "-archive")
						run("export")
					}
					said["the log"] = p.Kill()
				}
				for where, text := range said {
					for _, secret := range secrets {
						if strings.Contains(text, secret) {
							t.Errorf("%s shows %s:\n%s", where, secret, tail(text))
						}
					}
				}
			})
		}
	}
}
