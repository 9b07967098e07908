package shippers

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Document is where the fragments are that the tests run.
const Document = "../../docs/shippers.md"

// What a fragment says for the log and for the server; a test puts its own there.
const (
	documentLog  = "/var/log/nginx/access.log"
	documentHost = "localhost"
	documentPort = "8082"
)

// Fragments returns the code blocks of the document by the name that is
// behind their language: ```yaml otelcol, or ```sh by=TestShipper_Curl.
func Fragments(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	fragments := map[string]string{}
	name, text := "", ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		fence, info, isFence := strings.Cut(line, "```")
		switch {
		case isFence && fence == "" && name != "":
			if _, twice := fragments[name]; twice {
				return nil, fmt.Errorf("%s has two fragments %s", file, name)
			}
			fragments[name], name, text = text, "", ""
		case isFence && fence == "":
			if words := strings.Fields(info); len(words) == 2 {
				name = strings.TrimPrefix(words[1], "by=")
			}
		case name != "":
			text += line + "\n"
		}
	}
	return fragments, lines.Err()
}

// Point makes a fragment one that reads log and sends to the server at host:port.
func Point(fragment, log, host, port string) string {
	return strings.NewReplacer(documentLog, log, documentHost, host, documentPort, port).Replace(fragment)
}
