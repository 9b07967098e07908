package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"logforge/config"
)

// authority signs certificates for tests and writes them into a directory.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, dir, name string) *authority {
	a := &authority{t: t, dir: dir, file: filepath.Join(dir, name+".pem")}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) write(file, kind string, der []byte) {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes a certificate for 127.0.0.1 and its key.
func (a *authority) issue(name string) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	a.write(certFile, "CERTIFICATE", cert)
	a.write(keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

func (a *authority) client(certs ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, Certificates: certs}
}

func TestTLSServesFromVersion12On(t *testing.T) {
	ca := newAuthority(t, t.TempDir(), "ca")
	cert, key := ca.issue("server")
	f := start(t, func(c *config.Config) { c.Server.TLS = config.TLS{CertFile: cert, KeyFile: key} })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: ca.client()}}
	defer client.CloseIdleConnections()
	for range 3 {
		res, err := client.Post("https://"+f.addr+"/logs", "application/json", strings.NewReader(array(2000)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 202 || res.TLS.Version < tls.VersionTLS12 {
			t.Errorf("%d %s, TLS %x", res.StatusCode, body, res.TLS.Version)
		}
	}
	if n := f.sink.records(); n != 6000 {
		t.Errorf("%d records stored", n)
	}
	old := ca.client()
	old.MaxVersion = tls.VersionTLS11
	if c, err := tls.Dial("tcp", f.addr, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}

	// Closing the TLS stream between two chunks must not end the body: there is
	// no end of the TCP connection to notice then.
	c, err := tls.Dial("tcp", f.addr, ca.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f.sink.lines = nil
	_, _ = fmt.Fprintf(c, "POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(line1), line1)
	_ = c.CloseWrite()
	if answer, closed := f.readAll(c); !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !closed || f.sink.text() != "" {
		t.Errorf("closed: %v, stored %q, answer: %q", closed, f.sink.text(), answer)
	}
}

func TestAClientHasToShowItsCertificateWhereAnAuthorityIsSet(t *testing.T) {
	dir := t.TempDir()
	ca, clients := newAuthority(t, dir, "ca"), newAuthority(t, dir, "clients")
	cert, key := ca.issue("server")
	f := start(t, func(c *config.Config) {
		c.Server.TLS = config.TLS{CertFile: cert, KeyFile: key, ClientCAFile: clients.file}
	})
	get := func(certs ...tls.Certificate) (int, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: ca.client(certs...)}}
		defer client.CloseIdleConnections()
		res, err := client.Get("https://" + f.addr + "/health")
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		return res.StatusCode, nil
	}
	pair := func(a *authority, name string) tls.Certificate {
		p, err := tls.LoadX509KeyPair(a.issue(name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if status, err := get(pair(clients, "known")); err != nil || status != 200 {
		t.Errorf("a known client: %d %v", status, err)
	}
	if status, err := get(); err == nil {
		t.Errorf("without a certificate: %d", status)
	}
	if status, err := get(pair(ca, "stranger")); err == nil {
		t.Errorf("with another authority's: %d", status)
	}
}

func TestTLSErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	cert, key := ca.issue("server")
	_, other := ca.issue("other")
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails := func(c config.TLS, names ...string) {
		t.Helper()
		_, err := newTLS(c)
		for _, name := range names {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%+v: %v, want %s in it", c, err, name)
			}
		}
	}
	fails(config.TLS{CertFile: "/no/cert", KeyFile: key}, "server.tls.certFile", "/no/cert")
	fails(config.TLS{CertFile: cert, KeyFile: "/no/key"}, "server.tls.keyFile", "/no/key")
	fails(config.TLS{CertFile: cert, KeyFile: other}, "server.tls.certFile", cert, other, "does not match")
	fails(config.TLS{CertFile: empty, KeyFile: key}, empty)
	fails(config.TLS{CertFile: cert}, "server.tls.keyFile is not set")
	fails(config.TLS{KeyFile: key}, "server.tls.certFile is not set")
	fails(config.TLS{ClientCAFile: ca.file}, "server.tls.certFile is not set")
	fails(config.TLS{CertFile: cert, KeyFile: key, ClientCAFile: "/no/ca"}, "server.tls.clientCAFile", "/no/ca")
	fails(config.TLS{CertFile: cert, KeyFile: key, ClientCAFile: empty}, "server.tls.clientCAFile", empty)
	if c, err := newTLS(config.TLS{}); c != nil || err != nil {
		t.Errorf("off: %v %v", c, err)
	}

	cfg := settings()
	cfg.Server.TLS.CertFile = "/no/cert"
	cfg.Server.TLS.KeyFile = key
	if _, err := New(&cfg, null{}, nil, nil, Build{}, nil, nil); err == nil || !strings.Contains(err.Error(), "/no/cert") {
		t.Errorf("New: %v", err)
	}
}
