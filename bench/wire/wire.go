// Package wire is the least HTTP client that can post batches: it writes
// requests that were rendered beforehand and reads of the answer what is
// needed to know its status. A load generator shares the machine with the
// server it loads; what it does not compute, the server can.
package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Render returns the bytes of one POST. The path may have a query. The content
// type and the encoding may be empty, and are then not sent.
func Render(path, contentType, encoding string, body []byte) []byte {
	req := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n", path, len(body))
	if contentType != "" {
		req = fmt.Appendf(req, "Content-Type: %s\r\n", contentType)
	}
	if encoding != "" {
		req = fmt.Appendf(req, "Content-Encoding: %s\r\n", encoding)
	}
	return append(append(req, "\r\n"...), body...)
}

// Conn is one kept-alive connection. It is not safe for concurrent use.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// Dial connects to a server.
func Dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return New(c), nil
}

// New uses a connection that is already there. Close closes it.
func New(c net.Conn) *Conn { return &Conn{conn: c, in: bufio.NewReader(c)} }

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Do sends a rendered request and returns the status of the answer and its
// body, which is valid until the next call. After an error nothing is known
// about the request, and the connection is of no more use.
func (c *Conn) Do(req []byte, within time.Duration) (status int, body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(within)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(req); err != nil {
		return 0, nil, err
	}
	return c.answer()
}

func (c *Conn) answer() (status int, body []byte, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, fmt.Errorf("odd status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, fmt.Errorf("odd status line %q", line)
	}
	length, chunked := -1, false
	if status == 204 { // has no body, and need not say so
		length = 0
	}
	for {
		line, err = c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		if len(name) == 0 {
			break
		}
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) && bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
			chunked = true
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, nil, fmt.Errorf("odd header %q", line)
			}
		}
	}
	if chunked {
		return status, nil, c.skipChunks()
	}
	if length < 0 {
		return 0, nil, errors.New("answer without Content-Length")
	}
	c.body = append(c.body[:0], make([]byte, length)...)
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return 0, nil, err
	}
	return status, c.body, nil
}

// skipChunks reads a chunked body, as other servers send it, and throws it away.
func (c *Conn) skipChunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return fmt.Errorf("odd chunk %q", line)
		}
		if _, err := c.in.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}
