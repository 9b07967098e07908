// Package durable writes files so that they are there after a crash, and
// directories so that one process has them to itself. It is the only place that
// knows the rules of the file system; each was learned from lost data.
//
//   - A file is on disk after its own sync, its name after a sync of its
//     directory. A new directory is a name in its parent, and synced there.
//   - A file is replaced by a rename: the new content is written to a temporary
//     file beside the old one (a rename is atomic within one file system only),
//     synced, renamed, and the directory is synced. A crash leaves the old content
//     or the new, whole.
//   - After a failed sync nothing is tried again: the kernel may have marked the
//     pages clean, and the next sync would succeed over lost data. Whoever gets
//     a [SyncError] ends, and recovers in a new process. A directory that cannot
//     be opened to be synced is not a failed sync.
//   - A file is closed only after it was synced: an error of writing that the
//     kernel meets later would be reported to nobody.
//   - One process has a directory: it holds a flock of the directory itself, so
//     that removing the lock file lets nobody else in, and uses every file in it
//     relative to the directory that it has locked, so that it never writes into
//     another one that has taken the name.
//   - What is found in a directory may be anything. Only regular files are
//     opened, never a link, a pipe or a device, and opening never waits.
package durable
