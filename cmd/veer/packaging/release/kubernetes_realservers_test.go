//go:build realservers

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The configuration that the manifests hold is one that Veer takes.
func TestManifestsHoldAValidConfig(t *testing.T) {
	_, objects := manifests(t)
	dir := t.TempDir()
	for name, text := range find[corev1.ConfigMap](t, objects)[0].Data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(prepared(t, "v1.0.0"), "veer"), "validate", "-c", filepath.Join(dir, "veer.yaml"))
	cmd.Env = append(os.Environ(), "VEER_REGION=eu-west")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
