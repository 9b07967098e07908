package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// memory is a sink that keeps every line, or does what write says.
type memory struct {
	mu    sync.Mutex
	lines []byte
	acks  []sink.Ack
	write func(context.Context, *codec.Batch, sink.Ack) error // nil: keep
}

func (m *memory) Write(ctx context.Context, b *codec.Batch, ack sink.Ack) error {
	if m.write != nil {
		if err := m.write(ctx, b, ack); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range b.Runs() {
		m.lines = append(m.lines, b.Lines(r)...)
	}
	m.acks = append(m.acks, ack)
	return nil
}

func (m *memory) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.lines)
}

func (m *memory) records() int { return strings.Count(m.text(), "\n") }

// summaries knows the one hour known.
type summaries struct{}

var known, _ = codec.ParseHour("2026-02-09T15")

func (summaries) AppendHour(_ context.Context, dst []byte, h codec.Hour, top int) ([]byte, error) {
	if h != known {
		return nil, fmt.Errorf("summary of %s: %w", h, fs.ErrNotExist)
	}
	return fmt.Appendf(dst, `{"hour":%q,"top":%d}`, h, top), nil
}

func (summaries) Span(context.Context) (codec.Span, error) {
	return codec.Span{First: known, Recent: known, Last: known, Known: true}, nil
}

func (summaries) AppendRange(_ context.Context, dst []byte, from, to codec.Hour, top, hourTop int) ([]byte, error) {
	if from == 0 {
		return nil, fmt.Errorf("ask for fewer hours: %w", fs.ErrInvalid)
	}
	if hourTop != top {
		return fmt.Appendf(dst, `{"from":%q,"to":%q,"top":%d,"hourTop":%d}`, from, to, top, hourTop), nil
	}
	return fmt.Appendf(dst, `{"from":%q,"to":%q,"top":%d}`, from, to, top), nil
}

// fixture is a server on a loopback port.
type fixture struct {
	*Server
	t      *testing.T
	addr   string
	sink   *memory
	ready  error // what the sink says of itself
	log    *syncBuffer
	set    *metrics.Set
	client *http.Client
	served chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// settings are the defaults, with waits short enough for tests.
func settings() config.Config {
	cfg := config.Default()
	cfg.Server.WaitForRoom = 50 * time.Millisecond
	cfg.Server.Dashboard = false
	return cfg
}

var testBuild = Build{Version: "1.2.3", Commit: "abc", BuildDate: "2026-02-09", PipelineMode: "v1"}

// start runs a server until the end of the test; change may be nil.
func start(t *testing.T, change func(*config.Config)) *fixture {
	t.Helper()
	cfg := settings()
	if change != nil {
		change(&cfg)
	}
	f := &fixture{t: t, sink: &memory{}, log: &syncBuffer{}, set: metrics.NewSet(), served: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	f.Server, err = New(&cfg, f.sink, func() error { return f.ready }, summaries{}, testBuild, log, f.set)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	f.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	go func() { f.served <- f.Serve(ln) }()
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return f
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends one request; header is name, value, name, value, …
func (f *fixture) do(method, target string, body io.Reader, header ...string) reply {
	f.t.Helper()
	req, err := http.NewRequest(method, "http://"+f.addr+target, body)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := f.client.Do(req)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	return reply{res.StatusCode, res.Header, string(all)}
}

func (f *fixture) post(body string, header ...string) reply {
	f.t.Helper()
	return f.do("POST", "/logs", strings.NewReader(body), header...)
}

// value returns the sum of all samples of a metric: of all its labels, or of
// those that begin as given.
func (f *fixture) value(metric string) float64 {
	var out bytes.Buffer
	f.set.WritePrometheus(&out)
	sum := 0.0
	for line := range strings.Lines(out.String()) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok &&
			(name == metric || strings.HasPrefix(name, metric+"{") || strings.Contains(metric, "{") && strings.HasPrefix(name, metric)) {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				f.t.Fatalf("sample %q: %v", line, err)
			}
			sum += n
		}
	}
	return sum
}

// raw sends text as it is on a connection of its own, with nothing after it, and
// returns everything that comes back.
func (f *fixture) raw(text string) string {
	f.t.Helper()
	c := f.dial()
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		f.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	all, closed := f.readAll(c)
	if !closed {
		f.t.Errorf("%.60q: the connection is kept open", text)
	}
	return all
}

// readAll reads what the server sends on c until the server ends it (closed) or has been
// silent for half a second.
func (f *fixture) readAll(c net.Conn) (text string, closed bool) {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			ne, ok := err.(net.Error)
			return string(all), !ok || !ne.Timeout()
		}
	}
}

func (f *fixture) dial() net.Conn {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// statusesOf reads the status codes of all answers in text.
func statusesOf(t *testing.T, text string) (codes []int) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(text))
	for {
		if _, err := r.Peek(1); err != nil {
			return codes
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %q: %v", text, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		codes = append(codes, res.StatusCode)
	}
}

// eventually polls until ok, for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

const (
	line1 = `{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"Mozilla/5.0"}` + "\n"
	line2 = `{"timestamp":"2026-02-09T16:00:00Z","path":"/a","userAgent":"curl/8"}` + "\n"
)

// array makes a JSON array of n records.
func array(n int) string {
	one := strings.TrimSpace(line1)
	return "[" + strings.Repeat(one+",", n-1) + one + "]"
}
