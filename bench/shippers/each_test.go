//go:build shippers

package shippers

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"logforge/bench/child"
)

// program returns the path of one that install.sh installs.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if !filepath.IsAbs(name) {
			name = filepath.Join(tools, name)
		}
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	t.Fatalf("%s is missing: run bench/shippers/install.sh", names[0])
	return ""
}

// Each shipper with the configuration of docs/shippers.md: every line of the log
// is in the files, once, or set aside.
func TestShipper_Curl(t *testing.T) {
	s := newSite(t)
	s.foreground(exec.Command("sh", "-c", s.fragment("TestShipper_Curl", s.write(lines))))
	s.check(lines)
}

func TestShipper_CurlWithAFormAndACompressedFile(t *testing.T) {
	s := newSite(t)
	log := s.write(lines[:1000])
	url := "http://" + net.JoinHostPort(s.host, s.port) + "/ingest"
	s.foreground(exec.Command("curl", "-sSf", "-F", "file=@"+log, url))
	if err := os.Rename(s.write(lines[1000:]), log+".1"); err != nil {
		t.Fatal(err)
	}
	s.foreground(exec.Command("gzip", "-k", log+".1"))
	s.foreground(exec.Command("curl", "-sSf", "--data-binary", "@"+log+".1.gz", url))
	s.check(lines)
}

func TestShipper_Hey(t *testing.T) {
	s := newSite(t)
	cmd := exec.Command("sh", "-c", s.fragment("TestShipper_Hey", s.write(lines)))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t, "hey"))+":"+os.Getenv("PATH"))
	s.foreground(cmd)
	s.check(lines)
}

func TestShipper_SyslogNG(t *testing.T) {
	s := newSite(t)
	sent := sent(true)
	conf := s.config("syslog-ng.conf", "@version: 3.38\n"+s.fragment("syslog-ng", s.write(sent)))
	stop := s.background(exec.Command(program(t, "/usr/sbin/syslog-ng"), "--foreground", "--no-caps", "--cfgfile="+conf,
		"--persist-file="+s.dir+"/persist", "--control="+s.dir+"/ctl", "--pidfile="+s.dir+"/pid"))
	s.waitFor(len(sent))
	stop()
	s.check(sent)
}

func TestShipper_Rsyslog(t *testing.T) {
	s := newSite(t)
	root := filepath.Join(tools, "rsyslog")
	libraries := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	conf := s.config("rsyslog.conf", fmt.Sprintf("global(workDirectory=%q)\n", s.dir)+s.fragment("rsyslog", s.write(lines)))
	cmd := exec.Command(program(t, "rsyslog/usr/sbin/rsyslogd"), "-n", "-f", conf, "-i", s.dir+"/pid", "-M", filepath.Join(libraries, "rsyslog"))
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
	stop := s.background(cmd)
	s.waitFor(len(lines))
	stop()
	s.check(lines)
}

func TestShipper_OpenTelemetryCollector(t *testing.T) {
	s := newSite(t)
	conf := s.config("otelcol.yaml", s.fragment("otelcol", s.write(lines)))
	stop := s.background(exec.Command(program(t, "otelcol"), "--config="+conf))
	s.waitFor(len(lines))
	stop()
	s.check(lines)
}

func TestShipper_OpenTelemetryCollectorWithJSON(t *testing.T) {
	s := newSite(t)
	text := strings.Replace(s.fragment("otelcol", s.write(lines)), "  otlphttp:\n", "  otlphttp:\n    encoding: json\n", 1)
	stop := s.background(exec.Command(program(t, "otelcol"), "--config="+s.config("otelcol.yaml", text)))
	s.waitFor(len(lines))
	stop()
	s.check(lines)
}

func TestShipper_Telegraf(t *testing.T) { newSite(t).telegraf(nil) }

// Telegraf sends Influx line protocol unless it is told otherwise.
func TestShipper_TelegrafWithInfluxLines(t *testing.T) {
	newSite(t).telegraf(func(conf string) string { return strings.Replace(conf, `data_format = "json"`, "", 1) })
}

func (s *site) telegraf(change func(string) string) {
	s.t.Helper()
	// Its grok drops what it cannot parse itself: the line that is broken off.
	whole := make([]string, 0, len(lines))
	for _, line := range lines {
		if combined.MatchString(line) {
			whole = append(whole, line)
		}
	}
	conf := "[agent]\n  flush_interval = \"1s\"\n  metric_buffer_limit = 100000\n" + s.fragment("telegraf", s.write(whole))
	if change != nil {
		conf = change(conf)
	}
	stop := s.background(exec.Command(program(s.t, "telegraf"), s.config("telegraf.conf", conf)))
	s.waitFor(len(whole))
	stop()
	s.check(whole)
}

func TestShipper_Benthos(t *testing.T) {
	s := newSite(t)
	sent := sent(true)
	conf := s.config("benthos.yaml", "http: { enabled: false }\n"+s.fragment("benthos", s.write(sent)))
	s.foreground(exec.Command(program(t, "benthos"), "-c", conf))
	s.check(sent)
}

func (s *site) python(name string, sent []string) {
	s.t.Helper()
	s.foreground(exec.Command(program(s.t, "python/bin/python"), s.config(name+".py", s.fragment(name, s.write(sent)))))
	s.check(sent)
}

func TestShipper_ElasticsearchClientForPython(t *testing.T) {
	newSite(t).python("elasticsearch-py", lines)
}

func TestShipper_OpenSearchClientForPython(t *testing.T) { newSite(t).python("opensearch-py", lines) }
func TestShipper_OpenTelemetryForPython(t *testing.T) {
	newSite(t).python("opentelemetry-python", lines)
}
func TestShipper_SplunkHandlerForPython(t *testing.T) { newSite(t).python("splunk-handler", lines) }
func TestShipper_DatadogClientForPython(t *testing.T) {
	newSite(t).python("datadog-api-client", lines)
}

func TestShipper_PythonLoggingLoki(t *testing.T) {
	newSite(t).python("python-logging-loki", sent(true))
}

func (s *site) node(name string, sent []string) {
	s.t.Helper()
	cmd := exec.Command("node", s.config(name+".js", s.fragment(name, s.write(sent))))
	cmd.Env = append(os.Environ(), "NODE_PATH="+program(s.t, "node/node_modules"))
	s.foreground(cmd)
	s.waitFor(len(sent))
	s.check(sent)
}

func TestShipper_ElasticsearchClientForJavaScript(t *testing.T) {
	newSite(t).node("elasticsearch-js", lines)
}

func TestShipper_WinstonLoki(t *testing.T) { newSite(t).node("winston-loki", lines) }
func TestShipper_Winston(t *testing.T)     { newSite(t).node("winston", lines) }

func TestShipper_Pino(t *testing.T) {
	s := newSite(t)
	cmd := exec.Command("sh", "-c", s.fragment("TestShipper_Pino", s.write(lines)))
	cmd.Dir = filepath.Dir(program(t, "node/node_modules"))
	s.foreground(cmd)
	s.waitFor(len(lines))
	s.check(lines)
}

func freePort(t *testing.T) string {
	t.Helper()
	addr, err := child.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// waitHTTP waits until something answers at the port.
func waitHTTP(t *testing.T, url string, status int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == status {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer %d: %v %v", url, status, resp, err)
		}
	}
}

// nginxConf is what nginx needs around a server block to run from a directory of
// its own.
func nginxConf(dir, port, inServer string) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // another one may not look into a directory of a test
	}
	return fmt.Sprintf(user+`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server { listen 127.0.0.1:%[2]s; root %[1]s/www;
%[3]s } }
`, dir, port, inServer)
}

func TestShipper_ThroughNginx(t *testing.T) {
	s := newSite(t)
	port := freePort(t)
	conf := s.config("nginx.conf", nginxConf(s.dir, port, s.fragment("nginx", "")))
	s.background(exec.Command(program(t, "/usr/sbin/nginx"), "-c", conf, "-e", s.dir+"/error.log"))
	waitHTTP(t, "http://127.0.0.1:"+port+"/health", 200)
	s.foreground(exec.Command("curl", "-sSf", "--data-binary", "@"+s.write(lines), "http://127.0.0.1:"+port+"/ingest"))
	s.check(lines)
}

func TestShipper_ThroughHAProxy(t *testing.T) {
	s := newSite(t)
	port := freePort(t)
	conf := s.config("haproxy.cfg", "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"+
		"frontend in\n  bind 127.0.0.1:"+port+"\n  default_backend logforge\n"+s.fragment("haproxy", ""))
	s.background(exec.Command(program(t, "/usr/sbin/haproxy"), "-f", conf, "-db"))
	time.Sleep(5 * time.Second) // two checks, by which it would be marked down
	waitHTTP(t, "http://127.0.0.1:"+port+"/health", 200)
	s.foreground(exec.Command("curl", "-sSf", "--data-binary", "@"+s.write(lines), "http://127.0.0.1:"+port+"/ingest"))
	s.check(lines)
}

// A log that an nginx of the test writes, of requests of all kinds.
func TestShipper_TheLogOfARealNginx(t *testing.T) {
	s := newSite(t)
	port := freePort(t)
	log := filepath.Join(s.dir, "nginx-access.log")
	if err := os.MkdirAll(filepath.Join(s.dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "www/index.html"), []byte("ok\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	conf := s.config("nginx.conf", nginxConf(s.dir, port, "access_log "+log+" combined;\n"))
	stop := s.background(exec.Command(program(t, "/usr/sbin/nginx"), "-c", conf, "-e", s.dir+"/error.log"))
	waitHTTP(t, "http://127.0.0.1:"+port+"/", 200)
	requests := []string{
		"GET /blog/tags/puppet?flav=rss20 HTTP/1.1\r\nHost: x\r\nUser-Agent: UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/\r\nConnection: close\r\n\r\n",
		"\x16\x03\x01\x00\xee\x01\x00\x00\xea\x03\x03" + strings.Repeat("\x00", 40) + "\r\n\r\n",
		"\x03\x00\x00/*\xe0\x00\x00\x00\x00\x00Cookie: mstshash=Administr\r\n\r\n",
		"GET\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET /a?b=c%20d&e=\xc3\xa9 HTTP/1.1\r\nHost: x\r\nUser-Agent: \xd1\x82\xd0\xb5\xd1\x81\xd1\x82 \"q\" \\x\r\nConnection: close\r\n\r\n",
		"GET /sp/ HTTP/1.1\r\nHost: x\r\nUser-Agent: \r\nConnection: close\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /caf\xe9 HTTP/1.0\r\nUser-Agent: Windows-1252 \x93quoted\x94\r\n\r\n",
		"GET /" + strings.Repeat("x", 7000) + " HTTP/1.0\r\nUser-Agent: long\r\n\r\n",
	}
	for range 20 {
		for _, request := range requests {
			conn, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(request)); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			buf := make([]byte, 64<<10)
			for {
				if _, err := conn.Read(buf); err != nil {
					break
				}
			}
			conn.Close()
		}
	}
	stop() // the log is written
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	written := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(written) < 20*len(requests) {
		t.Fatalf("nginx has written %d lines for %d requests", len(written), 20*len(requests))
	}
	s.foreground(exec.Command("curl", "-sSf", "--data-binary", "@"+log, "http://"+net.JoinHostPort(s.host, s.port)+"/ingest"))
	s.check(written)
}
