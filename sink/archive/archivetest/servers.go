package archivetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Keys of every S3 server, and the password of every database.
const (
	AccessKey = "logforge"
	SecretKey = "logforge-secret"
	password  = "logforge"
)

const startTimeout = 5 * time.Minute // the gateway may have to be built

var here = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}()

// server is one server, on one port for its whole life.
type server struct {
	script  string
	dir     string
	port    int
	env     []string
	pidFile string // its first line is the process id
}

// S3 is an S3 server.
type S3 struct{ server }

// Database is a PostgreSQL server.
type Database struct{ server }

var shared struct {
	sync.Mutex
	s3 *S3
	db *Database
}

// Main runs a package's tests and stops what they have shared.
func Main(m *testing.M) int { return max(m.Run(), Stop()) }

// Stop stops the servers that tests have shared, and returns 0, or 1 if that
// failed.
func Stop() (code int) {
	shared.Lock()
	defer shared.Unlock()
	if shared.s3 != nil {
		code = max(code, shared.s3.remove())
	}
	if shared.db != nil {
		code = max(code, shared.db.remove())
	}
	return code
}

// S3Server returns the S3 server that the tests of this run share.
func S3Server(t testing.TB) *S3 {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.s3 == nil {
		shared.s3 = startS3(t)
	}
	return shared.s3
}

// PostgreSQL returns the database server that the tests of this run share.
func PostgreSQL(t testing.TB) *Database {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.db == nil {
		shared.db = startDatabase(t)
	}
	return shared.db
}

// OwnS3 starts an S3 server for this test alone. env are variables of s3.sh.
func OwnS3(t testing.TB, env ...string) *S3 {
	t.Helper()
	s := startS3(t, env...)
	t.Cleanup(func() { s.remove() })
	return s
}

// OwnDatabase starts a database server for this test alone. options are of the
// server: -c ssl=on.
func OwnDatabase(t testing.TB, options ...string) *Database {
	t.Helper()
	d := startDatabase(t, options...)
	t.Cleanup(func() { d.remove() })
	return d
}

func startS3(t testing.TB, env ...string) *S3 {
	t.Helper()
	s := &S3{newServer(t, "s3.sh", "S3_DIR", "S3_PORT")}
	s.pidFile = filepath.Join(s.dir, "pid")
	s.env = append(s.env, append([]string{"S3_ACCESS_KEY=" + AccessKey, "S3_SECRET_KEY=" + SecretKey}, env...)...)
	s.Start(t)
	return s
}

func startDatabase(t testing.TB, options ...string) *Database {
	t.Helper()
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) == 0 {
		if _, err := exec.LookPath("pg_ctl"); err != nil {
			leftOut(t, "PostgreSQL is missing (apt-get install postgresql, or brew install postgresql)")
		}
	}
	d := &Database{newServer(t, "postgres.sh", "POSTGRES_DIR", "POSTGRES_PORT")}
	d.pidFile = filepath.Join(d.dir, "data", "postmaster.pid")
	// A test's database need not survive a power loss; a killed server's pages
	// are with the operating system.
	d.env = append(d.env, "POSTGRES_PASSWORD="+password, "POSTGRES_OPTIONS="+strings.Join(append([]string{"-c fsync=off -c max_connections=50"}, options...), " "), "POSTGRES_STOP=immediate")
	d.Start(t)
	return d
}

func newServer(t testing.TB, script, dirName, portName string) server {
	t.Helper()
	reap()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the user postgres has to get through
		t.Fatal(err)
	}
	dir = filepath.Join(dir, strings.TrimSuffix(script, ".sh"))
	port := FreePort(t)
	return server{script: filepath.Join(here, script), dir: dir, port: port, env: []string{dirName + "=" + dir, portName + "=" + strconv.Itoa(port)}}
}

const dirPrefix = "logforge-archive-"

// reap ends the servers of test processes that died without ending them.
func reap() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		if pid, err := strconv.Atoi(owner); err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		for _, s := range []server{{pidFile: filepath.Join(dir, "s3", "pid")}, {pidFile: filepath.Join(dir, "postgres", "data", "postmaster.pid")}} {
			if pid, err := s.pid(); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		_ = os.RemoveAll(dir)
	}
}

// FreePort returns a port below the range from which the kernel gives ports to
// outgoing connections, that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 24000 + rand.IntN(7000)
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			if ln.Close() == nil {
				return port
			}
		}
	}
	t.Fatal("no free port between 24000 and 31000")
	return 0
}

func (s *server) run(word string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.script, word)
	cmd.Env = append(os.Environ(), s.env...)
	log, err := os.CreateTemp("", "logforge-archive-log-*")
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())       //nolint:errcheck // a temporary file
	defer log.Close()                 //nolint:errcheck // read only below
	cmd.Stdout, cmd.Stderr = log, log // a file: a pipe would be waited for, and the server inherits it
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(s.script), word, err, text)
	}
	return nil
}

// Start starts a server that was killed or stopped again, with its data.
func (s *server) Start(t testing.TB) {
	t.Helper()
	if err := s.run("up"); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the server as its administrator would.
func (s *server) Stop(t testing.TB) {
	t.Helper()
	if err := s.run("down"); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server with SIGKILL, and for PostgreSQL all its processes.
func (s *server) Kill(t testing.TB) {
	t.Helper()
	pid, err := s.pid()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // so that it has no more children than those
		t.Fatal(err)
	}
	all := append(children(pid), pid)
	for _, p := range all {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
	// As long as one of them is there PostgreSQL does not start: it may be
	// attached to the memory that they share.
	for deadline := time.Now().Add(10 * time.Second); slices.ContainsFunc(all, runs); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the killed server still runs")
		}
	}
	_ = os.Remove(s.pidFile) // PostgreSQL refuses to start over one whose number lives again
}

// runs reports whether a process is there, and is no zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func children(pid int) (pids []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

func (s *server) pid() (int, error) {
	text, err := os.ReadFile(s.pidFile)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}

// Addr returns the server's address.
func (s *server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) remove() int {
	if err := errors.Join(s.run("down"), os.RemoveAll(filepath.Dir(s.dir))); err != nil {
		fmt.Fprintln(os.Stderr, "archivetest:", err)
		return 1
	}
	return 0
}

// Endpoint returns the value of archive.s3.endpoint.
func (s *S3) Endpoint() string { return "http://" + s.Addr() }

// Client returns a client of the server.
func (s *S3) Client(t testing.TB) *minio.Client {
	t.Helper()
	c, err := minio.New(s.Addr(), &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TLSClient returns a client of a server that has a certificate of this
// authority.
func (s *S3) TLSClient(t testing.TB, ca string) *minio.Client {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	c, err := minio.New(s.Addr(), &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
		Secure: true, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Bucket makes a bucket for a test and returns its name.
func (s *S3) Bucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%x", rand.Uint64())
	if err := s.Client(t).MakeBucket(context.Background(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// Make makes a bucket of a given name.
func (s *S3) Make(name string) error {
	c, err := minio.New(s.Addr(), &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath})
	if err != nil {
		return err
	}
	return c.MakeBucket(context.Background(), name, minio.MakeBucketOptions{})
}

// New makes a database for a test and returns its URL, of its owner.
func (d *Database) New(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%x", rand.Uint64())
	d.Exec(t, d.URL("logforge"), "CREATE DATABASE "+name)
	return d.URL(name)
}

// Own writes a file into the server's directory that only the server may read.
func (d *Database) Own(t testing.TB, name string, text []byte) {
	t.Helper()
	file := filepath.Join(d.dir, "data", name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Give(t, file)
}

// Give makes the server's user the owner of a file.
func (d *Database) Give(t testing.TB, name string) {
	t.Helper()
	info, err := os.Stat(filepath.Join(d.dir, "data"))
	if err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		err = os.Chown(name, int(owner.Uid), int(owner.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// URL returns the URL of a database.
func (d *Database) URL(name string) string { return d.URLOf("logforge", password, d.Addr(), name) }

// URLOf returns the URL of a database for another user, or through another
// address.
func (d *Database) URLOf(user, password, addr, name string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, password, addr, name)
}

// Exec runs statements.
func (d *Database) Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing depends on it
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// leftOut says loudly that a test cannot run here, or fails it where that must
// not happen.
func leftOut(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and in CI every test meets a real server", what)
	}
	noteLeftOut(t, what)
	t.Skip("needs a real server: ", what)
}

// noteLeftOut says that a test is left out, also at the end of make test.
func noteLeftOut(t testing.TB, what string) {
	t.Helper()
	line := fmt.Sprintf("%s: left out: %s", t.Name(), what)
	fmt.Fprintln(os.Stderr, "\n*** LEFT OUT ***", line)
	dir := filepath.Join(here, "..", "..", "..", ".kafka") // where make test looks
	if err := os.MkdirAll(dir, 0o755); err == nil {
		if f, err := os.OpenFile(filepath.Join(dir, "left-out"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			fmt.Fprintln(f, line)
			_ = f.Close()
		}
	}
}
