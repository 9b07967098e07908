package deploy

// The packages, installed, started, upgraded and removed as an operator would.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// run runs a command in dir and returns what it printed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// release makes a release of this architecture into a directory of the test.
func release(t *testing.T, version string) string {
	t.Helper()
	dist := t.TempDir()
	run(t, root, "make", "-s", "release", "VERSION="+version, "ARCHS="+runtime.GOARCH, "DIST="+dist)
	return dist
}

// one returns the only file of dist that matches.
func one(t *testing.T, dist, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in the release: %v, %v", pattern, found, err)
	}
	return found[0]
}

// Ensure that a release has what it promises, that its checksums are true, and
// that the same commit gives the same packages.
func TestRelease_HasBinaryPackagesSBOMAndChecksums(t *testing.T) {
	dist := release(t, "v0.8.0")
	binary := filepath.Join(t.TempDir(), "logforge")
	archive := one(t, dist, "logforge_0.8.0_linux_"+runtime.GOARCH+".tar.gz")
	run(t, filepath.Dir(binary), "tar", "-xzf", archive, "--strip-components=1")
	if out := run(t, "", binary, "version"); !strings.Contains(out, "v0.8.0") {
		t.Errorf("the binary says %q of itself", out)
	}
	if out, err := exec.Command("ldd", binary).CombinedOutput(); err == nil {
		t.Errorf("the binary is not static: %s", out)
	}
	sums, err := os.ReadFile(filepath.Join(dist, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	if len(lines) != 4 {
		t.Errorf("%d files with checksums, want archive, deb, rpm and SBOM:\n%s", len(lines), sums)
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		content, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != want {
			t.Errorf("the checksum of %s is not that of the file", name)
		}
	}
	var sbom struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version string }
	}
	text, err := os.ReadFile(one(t, dist, "*.sbom.json"))
	if err == nil {
		err = json.Unmarshal(text, &sbom)
	}
	if err != nil || sbom.BOMFormat != "CycloneDX" {
		t.Fatalf("the SBOM: %v, %s", err, sbom.BOMFormat)
	}
	found := false
	for _, c := range sbom.Components {
		found = found || c.Name == "github.com/valyala/fasthttp" && c.Version != ""
	}
	if !found {
		t.Errorf("the SBOM does not name fasthttp among %d components", len(sbom.Components))
	}
	if again, err := os.ReadFile(filepath.Join(release(t, "v0.8.0"), "checksums.txt")); err != nil || string(again) != string(sums) {
		t.Errorf("the same commit gave other bytes (%v):\n%s\n%s", err, sums, again)
	}
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Fatal("rpm is missing (check.sh installs it)")
	}
	rpm := run(t, "", "rpm", "-qpl", "--nosignature", one(t, dist, "*.rpm"))
	for _, file := range []string{"/usr/bin/logforge", "/etc/logforge/logforge.yaml", "/usr/lib/systemd/system/logforge.service"} {
		if !strings.Contains(rpm, file+"\n") {
			t.Errorf("the rpm has no %s:\n%s", file, rpm)
		}
	}
}

// Ensure that systemd takes the unit as it is, and finds nothing to harden that
// a network service of its kind can do without.
func TestPackage_UnitIsValidAndHardened(t *testing.T) {
	unit := filepath.Join(root, "config/deploy/packaging/logforge.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"StateDirectory=", "LimitNOFILE=", "ExecReload=", "TimeoutStopSec="} {
		if !strings.Contains(string(text), "\n"+want) {
			t.Errorf("the unit does not say %s", want)
		}
	}
	// The binary has to be where the unit says, or verify complains.
	local := strings.ReplaceAll(string(text), "/usr/bin/logforge", "/bin/true")
	copied := filepath.Join(t.TempDir(), "logforge.service")
	if err := os.WriteFile(copied, []byte(local), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "", "systemd-analyze", "verify", "--man=no", copied); strings.Contains(out, "logforge") {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	// 0 is hardened, 100 is not at all.
	run(t, "", "systemd-analyze", "security", "--offline=true", "--threshold=25", copied)
}

// Ensure that dpkg installs, upgrades, removes and purges the package, that the
// service runs as its user meanwhile, that an edited configuration survives an
// upgrade, and that logs survive everything.
func TestPackage_IsInstalledStartedUpgradedAndRemoved(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("CI") != "true" && os.Getenv("LOGFORGE_TEST_PACKAGES") == "" {
		t.Skip("installs a package on this machine: as root, with LOGFORGE_TEST_PACKAGES=1 (CI does it)")
	}
	if exec.Command("dpkg", "-s", "logforge").Run() == nil {
		t.Fatal("a package logforge is installed on this machine: remove it first")
	}
	older, newer := one(t, release(t, "v0.8.0"), "*.deb"), one(t, release(t, "v0.8.1"), "*.deb")
	t.Cleanup(func() {
		_ = exec.Command("dpkg", "--purge", "logforge").Run()
		_ = exec.Command("userdel", "logforge").Run()
		_ = os.RemoveAll("/var/lib/logforge")
	})
	const config, state = "/etc/logforge/logforge.yaml", "/var/lib/logforge"

	run(t, "", "dpkg", "-i", older)
	if out := run(t, "", "stat", "-c", "%U:%G %a", state); strings.TrimSpace(out) != "logforge:logforge 750" {
		t.Errorf("%s is %s", state, out)
	}
	addr := "127.0.0.1:" + freePort(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "#addr: :8082", "addr: "+addr, 1)
	if edited == string(text) {
		t.Fatalf("the packaged configuration has no commented server.addr:\n%s", text)
	}
	if err := os.WriteFile(config, []byte(edited), 0o640); err != nil {
		t.Fatal(err)
	}
	serve := func() *process {
		t.Helper()
		// What the unit says, by hand: systemd need not run here.
		cmd := exec.Command("setpriv", "--reuid=logforge", "--regid=logforge", "--init-groups", "--no-new-privs",
			"/usr/bin/logforge", "-config", config)
		cmd.Dir = state
		p := start(t, cmd)
		eventually(t, "the service answers", func() bool { return get("http://"+addr+"/ready") == 200 })
		return p
	}
	p := serve()
	batch := `[{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"t"}]`
	if status := post(t, "http://"+addr, batch); status != 202 {
		t.Fatalf("POST /logs: %d", status)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if status := post(t, "http://"+addr, batch); status != 202 {
		t.Fatalf("POST /logs after a reload: %d", status)
	}
	p.stop(t)

	run(t, "", "dpkg", "--force-confold", "-i", newer)
	if kept, err := os.ReadFile(config); err != nil || string(kept) != edited {
		t.Errorf("the upgrade changed the edited configuration (%v)", err)
	}
	if out := run(t, "", "logforge", "version"); !strings.Contains(out, "v0.8.1") {
		t.Errorf("after the upgrade: %s", out)
	}
	p = serve()
	if status := post(t, "http://"+addr, batch); status != 202 {
		t.Fatalf("POST /logs after the upgrade: %d", status)
	}
	p.stop(t)

	run(t, "", "dpkg", "--remove", "logforge")
	if _, err := os.Stat("/usr/bin/logforge"); !os.IsNotExist(err) {
		t.Errorf("the binary is there after the removal: %v", err)
	}
	if _, err := os.Stat(config); err != nil {
		t.Errorf("the configuration went with a removal: %v", err)
	}
	run(t, "", "dpkg", "--purge", "logforge")
	if _, err := os.Stat(config); !os.IsNotExist(err) {
		t.Errorf("the configuration is there after a purge: %v", err)
	}
	lines, err := os.ReadFile(filepath.Join(state, "logs/2026-02-09/15.log.json"))
	if err != nil || strings.Count(string(lines), "\n") != 3 {
		t.Errorf("the logs after all that: %v, %q", err, lines)
	}
}
