package aggregator

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// output replaces files so that a reader, or a restart after a crash at any
// moment, finds either the old content or the new, whole.
type output struct {
	dirs map[string]struct{} // whose entries have changed since the last syncDirs
	buf  *bufio.Writer
	step func(name string)         // called before each step; tests crash there
	sync func(file *os.File) error // tests let it fail, or do without
}

func newOutput() output {
	return output{dirs: map[string]struct{}{}, step: func(string) {}, sync: (*os.File).Sync}
}

// replace makes what write writes the content of path. It is written to a
// temporary file beside, synced and renamed; the new name itself is on disk
// after the next syncDirs. A crash before that leaves either content, which is
// as good: each is a summary with its own position.
func (o *output) replace(path string, write func(io.Writer) error) error {
	o.step("create")
	temp := temporary(path)
	file, err := create(temp)
	if errors.Is(err, fs.ErrNotExist) {
		// A new day, and the name of its folder is new in the one above.
		dir := filepath.Dir(path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		o.dirs[filepath.Dir(dir)] = struct{}{}
		file, err = create(temp)
	}
	if err != nil {
		return err
	}
	if err := o.fill(file, write); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", temp, err), file.Close(), os.Remove(temp))
	}
	o.step("close")
	if err := file.Close(); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	o.step("rename")
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	o.step("renamed")
	o.dirs[filepath.Dir(path)] = struct{}{}
	return nil
}

func create(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
}

// fill writes and syncs the content of a temporary file.
func (o *output) fill(file *os.File, write func(io.Writer) error) error {
	if o.buf == nil {
		o.buf = bufio.NewWriterSize(nil, 64<<10)
	}
	o.buf.Reset(file)
	o.step("write")
	if err := write(o.buf); err != nil {
		return err
	}
	o.step("flush")
	if err := o.buf.Flush(); err != nil {
		return err
	}
	o.step("sync")
	return o.sync(file)
}

// syncDirs puts the names of all files that were replaced on disk: one sync a
// folder, however many summaries of the day have changed.
func (o *output) syncDirs() error {
	var errs []error
	for _, dir := range slices.Sorted(maps.Keys(o.dirs)) {
		o.step("syncdir")
		errs = append(errs, o.syncDir(dir))
	}
	clear(o.dirs)
	return errors.Join(errs...)
}

func (o *output) syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(o.sync(dir), dir.Close())
}
