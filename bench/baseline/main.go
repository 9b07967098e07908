package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/valyala/fasthttp"

	"logforge/config"
)

func main() {
	mode := flag.String("mode", "discard", "discard, append or simple; through Kafka: kafka-raw or kafka-simple")
	addr := flag.String("addr", "127.0.0.1:8090", "listen address")
	dir := flag.String("dir", ".", "directory of the files that append and simple write")
	var t topic
	flag.StringVar(&t.brokers, "brokers", "localhost:19092", "Kafka, host:port")
	flag.StringVar(&t.name, "topic", "baseline", "topic, which has to be there, and consumer group")
	flag.StringVar(&t.compression, "compression", "none", "none, lz4, snappy or zstd")
	flag.Parse()
	if err := run(*mode, *addr, *dir, t); err != nil {
		fmt.Fprintln(os.Stderr, "baseline:", err)
		os.Exit(1)
	}
}

func run(mode, addr, dir string, t topic) error {
	switch mode {
	case "discard":
		return serve(addr, discard)
	case "append":
		f, err := os.OpenFile(filepath.Join(dir, "bodies"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		return serve(addr, appendTo(f))
	case "simple":
		return http.ListenAndServe(addr, simple{dir})
	case "kafka-raw":
		return t.raw(addr, dir)
	case "kafka-simple":
		return t.simple(addr, dir)
	}
	return fmt.Errorf("no mode is called %q: use discard, append, simple, kafka-raw or kafka-simple", mode)
}

// serve runs a handler with the settings that logforge itself has.
func serve(addr string, h fasthttp.RequestHandler) error {
	cfg := config.Default().Server
	s := &fasthttp.Server{
		Handler:               h,
		Name:                  "baseline",
		ReadTimeout:           cfg.ReadTimeout,
		WriteTimeout:          cfg.WriteTimeout,
		IdleTimeout:           cfg.IdleTimeout,
		MaxRequestBodySize:    int(cfg.MaxBodyBytes),
		NoDefaultServerHeader: true,
	}
	return s.ListenAndServe(addr)
}

func discard(ctx *fasthttp.RequestCtx) {
	_ = ctx.PostBody()
	ctx.SetStatusCode(fasthttp.StatusAccepted)
}

// appendTo writes each body with one system call; O_APPEND keeps concurrent
// ones apart.
func appendTo(f *os.File) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if _, err := f.Write(ctx.PostBody()); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
			return
		}
		ctx.SetStatusCode(fasthttp.StatusAccepted)
	}
}
