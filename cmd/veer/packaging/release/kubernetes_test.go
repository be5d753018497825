package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// decodeManifests reads manifests as the API server's types have them: a field
// that they do not know, or that stands twice, is an error.
func decodeManifests(text []byte) ([]runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	defer documents.Close() //nolint:errcheck // it is only read
	var out []runtime.Object
	for {
		document := make([]byte, 1<<20)
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		object, _, err := decoder.Decode(document[:n], nil, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, object)
	}
}

// manifests are those of the repository, in the order in which kubectl takes them.
func manifests(t *testing.T) (text []byte, objects []runtime.Object) {
	t.Helper()
	files, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	slices.Sort(files)
	for _, file := range files {
		one, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := decodeManifests(one)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		text = append(append(text, "\n---\n"...), one...)
		objects = append(objects, decoded...)
	}
	return text, objects
}

func find[T any](t *testing.T, objects []runtime.Object) []*T {
	t.Helper()
	var out []*T
	for _, o := range objects {
		if is, ok := any(o).(*T); ok {
			out = append(out, is)
		}
	}
	if len(out) == 0 {
		t.Fatalf("there is no %T", *new(T))
	}
	return out
}

func TestManifests(t *testing.T) {
	text, objects := manifests(t)
	if t.Failed() {
		t.FailNow()
	}
	if problems := crossed(t, objects); len(problems) > 0 {
		t.Errorf("%q", problems)
	}
	// The checks see what they must.
	for what, change := range map[string][2]string{
		"a misspelt field":       {"readOnlyRootFilesystem", "readonlyRootFilesystem"},
		"another type":           {"replicas: 1 ", "replicas: one "},
		"a field in a bad place": {"  serviceName: veer\n", "  serviceName: veer\n  restartPolicy: Always\n"},
		"a field twice":          {"  serviceName: veer\n", "  serviceName: veer\n  serviceName: veer\n"},
		"a kind that is none":    {"kind: StatefulSet", "kind: StatefullSet"},
		"another selector":       {"matchLabels: {app.kubernetes.io/name: veer}\n  template", "matchLabels: {app.kubernetes.io/name: other}\n  template"},
		"a port that is none":    {"targetPort: dns-tcp", "targetPort: dns-tpc"},
		"a volume that is none":  {"configMap: {name: veer}", "configMap: {name: veers}"},
		"root":                   {"runAsUser: 65532", "runAsUser: 0"},
	} {
		planted := strings.Replace(string(text), change[0], change[1], 1)
		if planted == string(text) {
			t.Errorf("%s: %q is not in the manifests", what, change[0])
			continue
		}
		if objects, err := decodeManifests([]byte(planted)); err == nil && len(crossed(t, objects)) == 0 {
			t.Errorf("the check proves nothing: it takes %s", what)
		}
	}
}

// crossed says where the manifests do not fit each other, or are less strict than
// they say.
func crossed(t *testing.T, objects []runtime.Object) (problems []string) {
	t.Helper()
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	set := find[appsv1.StatefulSet](t, objects)[0]
	pod := set.Spec.Template
	selects := func(what string, selector map[string]string) {
		for key, value := range selector {
			if pod.Labels[key] != value {
				bad("%s selects %s=%s, which the pod is not", what, key, value)
			}
		}
	}
	selects("the set", set.Spec.Selector.MatchLabels)
	c := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	services := map[string]bool{}
	for _, s := range find[corev1.Service](t, objects) {
		services[s.Name] = true
		selects("the service "+s.Name, s.Spec.Selector)
		for _, p := range s.Spec.Ports {
			if !ports[p.TargetPort.StrVal] {
				bad("the service %s leads to the port %s, which the pod has not", s.Name, p.TargetPort.StrVal)
			}
		}
	}
	if !services[set.Spec.ServiceName] {
		bad("there is no service %s", set.Spec.ServiceName)
	}
	selects("the policy", find[networkingv1.NetworkPolicy](t, objects)[0].Spec.PodSelector.MatchLabels)
	for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		if !ports[p.TCPSocket.Port.StrVal] {
			bad("a probe asks the port %s, which the pod has not", p.TCPSocket.Port.StrVal)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil && v.ConfigMap.Name != find[corev1.ConfigMap](t, objects)[0].Name {
			bad("there is no config map %s", v.ConfigMap.Name)
		}
	}
	for _, v := range set.Spec.VolumeClaimTemplates {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			bad("%s is mounted, and is no volume", m.Name)
		}
	}
	// What the namespace enforces (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
	s, own := pod.Spec.SecurityContext, c.SecurityContext
	if !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*own.AllowPrivilegeEscalation || len(own.Capabilities.Drop) != 1 || len(own.Capabilities.Add) != 0 || !*own.ReadOnlyRootFilesystem {
		bad("the pod may do more than it needs")
	}
	return problems
}
