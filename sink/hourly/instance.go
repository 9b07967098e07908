package hourly

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"logforge/sink/durable"
)

// Instance returns a random name made with the directory and kept in it for
// life: a consumer that uses it as its group instance id takes its own place
// again after a crash. While there is no room to keep it, it is another one
// after each start.
func (f *Files) Instance() (string, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	id, err := f.readInstance()
	if err != nil {
		return "", fmt.Errorf("instance id: %w", err)
	}
	if len(id) == 2*len(TxID{}) {
		return id, nil
	}
	var raw TxID
	_, _ = rand.Read(raw[:]) // never fails
	id = hex.EncodeToString(raw[:])
	err = durable.WriteFile(f.root, instanceName, func(w io.Writer) error {
		_, err := io.WriteString(w, id)
		return err
	})
	if err = f.classify(err, nil, 0); f.Err() != nil {
		return "", fmt.Errorf("instance id: %w", err)
	}
	return id, nil
}

func (f *Files) readInstance() (string, error) {
	file, err := f.root.Open(instanceName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id, err := io.ReadAll(io.LimitReader(durable.Reader(file, 0), 1<<10))
	return string(id), errors.Join(err, file.Close())
}
