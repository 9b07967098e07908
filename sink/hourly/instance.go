package hourly

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
)

// Instance returns a random name made with the directory and kept in it for
// life: a consumer that uses it as its group instance id takes its own place
// again after a crash.
func (f *Files) Instance() (string, error) {
	name := filepath.Join(f.cfg.LogsDir, instanceName)
	file, err := f.disk.open(name, true)
	if err != nil {
		return "", err
	}
	id, err := readFrom(file, 0)
	if err == nil && len(id) != 2*len(TxID{}) {
		var raw TxID
		_, _ = rand.Read(raw[:]) // never fails
		id = []byte(hex.EncodeToString(raw[:]))
		if err = file.truncate(0); err == nil {
			err = writeAll(file, id)
		}
		if err == nil {
			err = file.sync()
		}
		if err == nil {
			err = f.disk.syncDir(f.cfg.LogsDir)
		}
	}
	if err := errors.Join(err, file.close()); err != nil {
		return "", fmt.Errorf("instance id: %w", err)
	}
	return string(id), nil
}
