package deploy

// The Kubernetes manifests: rendered by kustomize's own library, decoded strictly
// into the types of the API, and held against the program.

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"logforge/config"
)

// manifests is what one overlay renders to.
type manifests struct {
	deployments []*appsv1.Deployment
	stateful    []*appsv1.StatefulSet
	services    []*core.Service
	configs     []*core.ConfigMap
	budgets     []*policy.PodDisruptionBudget
	scalers     []*autoscaling.HorizontalPodAutoscaler
	monitors    []*monitoring.ServiceMonitor
}

// strict decodes one object; an unknown or repeated field is an error.
func strict[T any](t *testing.T, text []byte, into *[]*T) {
	t.Helper()
	object := new(T)
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		t.Errorf("%v in\n%s", err, text)
		return
	}
	*into = append(*into, object)
}

func render(t *testing.T, overlay string) manifests {
	t.Helper()
	dir := filepath.Join(root, "config/deploy/kubernetes", overlay)
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", overlay, err)
	}
	text, err := rendered.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var m manifests
	for _, one := range bytes.Split(text, []byte("\n---\n")) {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(one, &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.APIVersion + " " + kind.Kind {
		case "apps/v1 Deployment":
			strict(t, one, &m.deployments)
		case "apps/v1 StatefulSet":
			strict(t, one, &m.stateful)
		case "v1 Service":
			strict(t, one, &m.services)
		case "v1 ConfigMap":
			strict(t, one, &m.configs)
		case "policy/v1 PodDisruptionBudget":
			strict(t, one, &m.budgets)
		case "autoscaling/v2 HorizontalPodAutoscaler":
			strict(t, one, &m.scalers)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			strict(t, one, &m.monitors)
		default:
			t.Errorf("%s is of a kind that this test does not know", kind)
		}
	}
	return m
}

func TestKubernetes_ManifestsAreOfTheAPIAndFitTheProgram(t *testing.T) {
	for _, overlay := range []string{"base", "overlays/minimal", "overlays/production", "version1"} {
		t.Run(overlay, func(t *testing.T) {
			m := render(t, overlay)
			var pods []core.PodTemplateSpec
			for _, d := range m.deployments {
				pods = append(pods, d.Spec.Template)
				selects(t, d.Name, d.Spec.Selector.MatchLabels, d.Spec.Template.Labels)
			}
			for _, s := range m.stateful {
				pods = append(pods, s.Spec.Template)
				selects(t, s.Name, s.Spec.Selector.MatchLabels, s.Spec.Template.Labels)
				if len(s.Spec.VolumeClaimTemplates) != 1 {
					t.Errorf("%s: a writer without a volume of its own", s.Name)
				}
				if !slices.ContainsFunc(m.services, func(v *core.Service) bool { return v.Name == s.Spec.ServiceName }) {
					t.Errorf("%s: its Service %s is not there", s.Name, s.Spec.ServiceName)
				}
			}
			if len(pods) == 0 || len(m.configs) != 1 {
				t.Fatalf("%d kinds of pods, %d configurations", len(pods), len(m.configs))
			}
			cfg := load(t, m.configs[0].Data["logforge.yaml"])
			for _, pod := range pods {
				checkPod(t, pod, cfg, m.configs[0].Name)
			}
			for _, b := range m.budgets {
				selectsSome(t, "PodDisruptionBudget "+b.Name, b.Spec.Selector.MatchLabels, pods)
			}
			for _, s := range m.services {
				selectsSome(t, "Service "+s.Name, s.Spec.Selector, pods)
			}
			for _, h := range m.scalers {
				if !slices.ContainsFunc(m.deployments, func(d *appsv1.Deployment) bool { return d.Name == h.Spec.ScaleTargetRef.Name }) {
					t.Errorf("%s scales %s, which is not there", h.Name, h.Spec.ScaleTargetRef.Name)
				}
				if *h.Spec.MinReplicas > h.Spec.MaxReplicas {
					t.Errorf("%s: more replicas at least than at most", h.Name)
				}
			}
			for _, mon := range m.monitors {
				selectsSome(t, "ServiceMonitor "+mon.Name, mon.Spec.Selector.MatchLabels, servicesAsPods(m.services))
				for _, e := range mon.Spec.Endpoints {
					for _, s := range m.services {
						if !slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == e.Port }) {
							t.Errorf("Service %s has no port %s to be scraped", s.Name, e.Port)
						}
					}
				}
			}
		})
	}
}

// load reads a configuration of the manifests as the program does.
func load(t *testing.T, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "logforge.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return settingsOf(t, []string{"-config", file})
}

func checkPod(t *testing.T, pod core.PodTemplateSpec, cfg *config.Config, configMap string) {
	t.Helper()
	c := pod.Spec.Containers[0]
	port := ":" + strings.TrimPrefix(cfg.Server.Addr, ":")
	if got := c.Ports[0]; got.Name != "http" || port != ":"+strconv.Itoa(int(got.ContainerPort)) {
		t.Errorf("the container's port is %v, the configuration says %s", got, cfg.Server.Addr)
	}
	grace := cfg.Server.ShutdownTimeout + cfg.Server.DrainDelay
	if got := *pod.Spec.TerminationGracePeriodSeconds; float64(got) < grace.Seconds() {
		t.Errorf("%d seconds to stop, but the program may take %s", got, grace)
	}
	mounted := false
	for _, v := range c.VolumeMounts {
		mounted = mounted || v.MountPath == filepath.Dir(cfg.Storage.LogsDir)
	}
	if !mounted {
		t.Errorf("nothing is mounted where %s is", cfg.Storage.LogsDir)
	}
	if !slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == configMap }) {
		t.Errorf("the pod does not mount the configuration %s", configMap)
	}
	for _, e := range c.Env {
		known := false
		for s := range cfg.Settings() {
			known = known || s.Env == e.Name
		}
		if !known {
			t.Errorf("%s is no setting", e.Name)
		}
	}
	if s := c.SecurityContext; !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !*pod.Spec.SecurityContext.RunAsNonRoot {
		t.Error("the container may do more than it needs")
	}
	for name, p := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe} {
		if p == nil || p.HTTPGet.Path != name || p.HTTPGet.Port.String() != "http" {
			t.Errorf("the probe of %s is %v", name, p)
		}
	}
}

// selects reports a selector that does not match the labels beside it.
func selects(t *testing.T, name string, selector, labels map[string]string) {
	t.Helper()
	if !matches(selector, labels) {
		t.Errorf("%s selects %v, its pods are %v", name, selector, labels)
	}
}

func selectsSome(t *testing.T, name string, selector map[string]string, pods []core.PodTemplateSpec) {
	t.Helper()
	if !slices.ContainsFunc(pods, func(p core.PodTemplateSpec) bool { return matches(selector, p.Labels) }) {
		t.Errorf("%s selects %v: nothing has these labels", name, selector)
	}
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// servicesAsPods lends services' labels to selectsSome.
func servicesAsPods(services []*core.Service) (pods []core.PodTemplateSpec) {
	for _, s := range services {
		pods = append(pods, core.PodTemplateSpec{ObjectMeta: s.ObjectMeta})
	}
	return pods
}
