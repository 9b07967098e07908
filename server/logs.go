package server

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/server/dialect"
)

// The strict endpoint, POST /logs: exact member names, all or nothing.

// planLogs reads the format. The error is errType.
func planLogs(s *Server, ctx *fasthttp.RequestCtx) (w wants, err error) {
	if w.format, err = formatOf(ctx.Request.Header.ContentType()); err != nil {
		return w, err
	}
	w.setAside = s.setsAside
	if len(ctx.URI().QueryString()) > 0 {
		w.setAside, err = s.asideOf(ctx.QueryArgs().Peek("invalid"))
	}
	return w, err
}

// decodeLogs decodes a body, and sets records aside where the request or the
// configuration asks for that.
func decodeLogs(s *Server, in *intake, body []byte) error {
	if !in.setAside {
		return in.batch.DecodeWith(body, in.format, s.strict, in.at, nil)
	}
	w := dialect.GetWriter()
	in.writer = w
	w.Batch, w.Rules, w.Format = in.batch, s.strict, in.format
	w.SetAside = func(record []byte, e codec.RecordError) { in.aside.add(&in.usage, record, e) }
	in.request.Arrived = in.at
	var err error
	in.result, err = dialect.Strict.Decode(w, &in.request, body)
	return err
}

// answerLogs answers 202 with the number of records, and with what was set aside.
func answerLogs(_ *Server, ctx *fasthttp.RequestCtx, in *intake) {
	ctx.SetStatusCode(fasthttp.StatusAccepted)
	if in.setAside {
		a := dialect.Strict.Answer(nil, &in.request, in.result)
		ctx.SetContentType(a.ContentType)
		ctx.Response.SetBody(a.Body)
		return
	}
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
