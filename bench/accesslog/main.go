// Command accesslog turns an Apache access log in the combined format into a
// body that POST /logs takes.
//
//	zcat access.log.gz | go run ./bench/accesslog -form csv > access.csv
package main

import (
	"flag"
	"fmt"
	"os"

	"logforge/bench/corpus"
)

func main() {
	form := flag.String("form", "ndjson", "form of the body: json, ndjson or csv")
	flag.Parse()
	if err := convert(*form); err != nil {
		fmt.Fprintln(os.Stderr, "accesslog:", err)
		os.Exit(1)
	}
}

func convert(form string) error {
	f, err := corpus.FormOf(form)
	if err != nil {
		return err
	}
	recs, err := corpus.ReadAccessLog(os.Stdin)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(f.Append(nil, recs))
	return err
}
