package archivetest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// duckDB is the Python that has DuckDB, below the project's directory.
const duckDB = ".tools/duckdb-2.0.1/bin/python"

// DuckDB runs statements in DuckDB, an independent reader of what was written,
// and returns the rows of the last one, their values separated by tabs.
func DuckDB(t testing.TB, statements string) []string {
	t.Helper()
	root := filepath.Join(here, "..", "..", "..")
	python := filepath.Join(root, duckDB)
	if _, err := os.Stat(python); err != nil {
		if out, err := exec.Command("make", "-C", root, duckDB).CombinedOutput(); err != nil {
			leftOut(t, fmt.Sprintf("DuckDB is missing and could not be installed (make archive-tools): %s", out))
		}
	}
	const program = `
import duckdb, sys
c = duckdb.connect()
c.execute("SET TimeZone = 'UTC'")
for row in c.execute(sys.stdin.read()).fetchall():
    print("\t".join("NULL" if v is None else str(v) for v in row))
`
	cmd := exec.Command(python, "-c", program)
	cmd.Stdin = strings.NewReader(statements)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("DuckDB: %v\n%s\nof %s", err, errs.Bytes(), statements)
	}
	text := strings.TrimSuffix(out.String(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
