package deploy

// The Dockerfile, done by hand: what no engine is needed for.

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// image is what following the Dockerfile has made.
type image struct {
	root       string // the final stage's file system
	user       uint32
	env        []string
	entrypoint []string
	health     []string
	exposed    []string
	workdir    string
}

func dockerfile(t *testing.T) []instructions.Stage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 || stages[0].Name != "build" {
		t.Fatalf("%d stages", len(stages))
	}
	return stages
}

// sendContext copies to dir what an engine would be sent: what .dockerignore
// leaves.
func sendContext(t *testing.T, dir string) {
	t.Helper()
	text, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close() //nolint:errcheck // only read
	patterns, err := ignorefile.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			if name == ".git" || strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if out, err := ignored.MatchesOrParentMatches(name); err != nil || out {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, body, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// build follows the Dockerfile: the context at /src, the commands of the build
// stage with /out in a temporary place, the copies of the final stage.
func build(t *testing.T) image {
	t.Helper()
	stages := dockerfile(t)
	src, out, final := t.TempDir(), t.TempDir(), t.TempDir()
	sendContext(t, src)

	env := os.Environ()
	for _, command := range stages[0].Commands {
		switch c := command.(type) {
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				env = append(env, pair.String())
			}
		case *instructions.ArgCommand:
			for _, a := range c.Args {
				env = append(env, a.Key+"="+a.ValueString())
			}
		case *instructions.RunCommand:
			line := strings.ReplaceAll(strings.Join(c.CmdLine, " "), "/out/", out+"/")
			run := exec.Command("/bin/sh", "-c", line)
			run.Dir, run.Env = src, env
			if text, err := run.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", line, err, text)
			}
		}
	}

	im := image{root: final}
	for _, command := range stages[1].Commands {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			from := filepath.Join(src, c.SourcePaths[0])
			if c.From == "build" {
				from = filepath.Join(out, strings.TrimPrefix(c.SourcePaths[0], "/out/"))
			}
			owner, _, _ := strings.Cut(c.Chown, ":")
			copyTree(t, from, filepath.Join(final, c.DestPath), owner)
		case *instructions.UserCommand:
			user, _, _ := strings.Cut(c.User, ":")
			im.user = uint32(atoi(t, user)) // a number: Kubernetes can tell that it is not root
		case *instructions.EnvCommand:
			for _, pair := range c.Env {
				im.env = append(im.env, pair.String())
			}
		case *instructions.EntrypointCommand:
			im.entrypoint = c.CmdLine
		case *instructions.HealthCheckCommand:
			im.health = c.Health.Test
		case *instructions.ExposeCommand:
			im.exposed = append(im.exposed, c.Ports...)
		case *instructions.WorkdirCommand:
			im.workdir = c.Path
		}
	}
	return im
}

func copyTree(t *testing.T, from, to, owner string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
		} else {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(target, body, info.Mode()); err != nil {
				return err
			}
		}
		if owner != "" && os.Geteuid() == 0 {
			id := atoi(t, owner)
			return os.Chown(target, id, id)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// command runs args in the image's file system as the image's user: by root
// with chroot, by anybody else in a user name space of its own.
func (im image) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append([]string{}, im.env...), env...)
	cmd.Dir = im.workdir
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: im.root, Credential: &syscall.Credential{Uid: im.user, Gid: im.user}}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(im.user), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(im.user), HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

func TestImage_RunsWithNothingButItsFilesAndNotAsRoot(t *testing.T) {
	im := build(t)
	if im.user == 0 {
		t.Error("the image runs as root")
	}
	binary, err := elf.Open(filepath.Join(im.root, im.entrypoint[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary is not static: it asks for a loader, which the image does not have")
		}
	}
	size := int64(0)
	_ = filepath.WalkDir(im.root, func(_ string, entry fs.DirEntry, _ error) error {
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	t.Logf("the image's own files: %.1f MB", float64(size)/1e6)

	v1 := stack(t).Services["app-v1"]
	port := freePort(t)
	// The port of the example may be taken here; the variable beats the file.
	env := []string{"LOGFORGE_SERVER_ADDR=127.0.0.1:" + port}
	server := start(t, im.command(env, append(im.entrypoint, v1.Command...)...))
	base := "http://127.0.0.1:" + port
	eventually(t, "the server in the image is ready", func() bool { return get(base+"/ready") == http.StatusOK })

	if im.health[0] != "CMD" || v1.HealthCheck.Test[0] != "CMD" {
		t.Fatalf("health checks need a shell: %v, %v", im.health, v1.HealthCheck.Test)
	}
	for _, check := range [][]string{im.health[1:], v1.HealthCheck.Test[1:]} {
		if text, err := im.command(env, check...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", check, err, text)
		}
		if err := im.command([]string{"LOGFORGE_SERVER_ADDR=127.0.0.1:" + freePort(t)}, check...).Run(); err == nil {
			t.Errorf("%v is content with a server that is not there", check)
		}
	}

	if status := post(t, base, `{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"image"}`); status != http.StatusAccepted {
		t.Errorf("POST /logs: %d", status)
	}
	server.stop(t)
	line, err := os.ReadFile(filepath.Join(im.root, "data/logs/2026-02-09/15.log.json"))
	if err != nil || !bytes.Contains(line, []byte(`"userAgent":"image"`)) {
		t.Errorf("the record is not in the volume: %q, %v", line, err)
	}
	if _, err := os.Stat(filepath.Join(im.root, "data/analytics/2026-02-09/summary_15.json")); err != nil {
		t.Errorf("nor its summary: %v", err)
	}
}

func TestImage_ExposesThePortsOfItsExamples(t *testing.T) {
	stages := dockerfile(t)
	var exposed []string
	for _, command := range stages[1].Commands {
		if c, ok := command.(*instructions.ExposeCommand); ok {
			exposed = append(exposed, c.Ports...)
		}
	}
	for _, name := range apps {
		_, port, err := net.SplitHostPort(settingsOf(t, stack(t).Services[name].Command).Server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(" "+strings.Join(exposed, " ")+" ", " "+port+" ") {
			t.Errorf("%s listens on %s, exposed are %v", name, port, exposed)
		}
	}
}

func TestImage_IsBuiltWithTheProjectsGo(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(mod), "\ngo ")
	version, _, _ := strings.Cut(after, "\n")
	if base := dockerfile(t)[0].BaseName; !strings.HasPrefix(base, "golang:"+version+"-") {
		t.Errorf("go.mod asks for Go %s, the image is built with %s", version, base)
	}
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startTimeout bounds every wait of these tests.
const startTimeout = 60 * time.Second
