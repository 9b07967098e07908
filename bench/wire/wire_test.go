package wire

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestARenderedRequestArrivesAsMeantAndItsAnswerIsRead(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.RequestURI() != "/logs?ack=synced" || r.Header.Get("Content-Type") != "text/csv" || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("got %s %s %v", r.Method, r.URL, r.Header)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(append([]byte("got "), body...))
	}))
	defer srv.Close()
	c, err := Dial(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	for range 3 {
		status, body, err := c.Do(Render("/logs?ack=synced", "text/csv", "gzip", []byte("a body")), 5*time.Second)
		if err != nil || status != http.StatusAccepted || string(body) != "got a body" {
			t.Errorf("status %d, body %q, error %v", status, body, err)
		}
	}
}

func TestAConnectionCutBeforeTheAnswerIsAnError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	c, err := Dial(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	if status, _, err := c.Do(Render("/", "", "", nil), 5*time.Second); err == nil {
		t.Errorf("status %d and no error", status)
	}
}
