package server

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"

	"logforge/codec"
)

// The strict door, POST /logs: exact member names, all or nothing.

// planLogs reads the format. The error is errType.
func planLogs(_ *Server, ctx *fasthttp.RequestCtx) (w wants, err error) {
	w.format, err = formatOf(ctx.Request.Header.ContentType())
	return w, err
}

func decodeLogs(s *Server, in *intake, body []byte) error {
	return in.batch.Decode(body, in.format, s.limits)
}

func answerLogs(_ *Server, ctx *fasthttp.RequestCtx, in *intake) {
	ctx.SetStatusCode(fasthttp.StatusAccepted)
	ctx.Response.Header.SetContentTypeBytes(jsonType)
	var answer [40]byte
	ctx.Response.AppendBody(append(strconv.AppendInt(append(answer[:0], `{"accepted":`...), int64(in.records), 10), '}'))
}

var jsonType = []byte("application/json")

// supportedTypes is what a 415 lists.
var supportedTypes = []string{"application/json", "application/x-ndjson", "text/csv"}

// formatOf reads a Content-Type, without its parameters. None, and those that
// say nothing about the content (what curl and k6 send when not told otherwise),
// leave it to the first byte. The error is errType.
func formatOf(contentType []byte) (codec.Format, error) {
	if bytes.Equal(contentType, jsonType) {
		return codec.JSON, nil
	}
	name, _, _ := bytes.Cut(contentType, []byte(";"))
	switch name = bytes.TrimSpace(name); {
	case bytes.EqualFold(name, jsonType):
		return codec.JSON, nil
	case bytes.EqualFold(name, []byte("application/x-ndjson")):
		return codec.NDJSON, nil
	case bytes.EqualFold(name, []byte("text/csv")):
		return codec.CSV, nil
	case len(name) == 0,
		bytes.EqualFold(name, []byte("text/plain")),
		bytes.EqualFold(name, []byte("application/octet-stream")),
		bytes.EqualFold(name, []byte("application/x-www-form-urlencoded")):
		return codec.Auto, nil
	}
	return codec.Auto, errType
}
