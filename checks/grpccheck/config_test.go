package grpccheck

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/checks/internal/attempt"
)

func TestBadConfig(t *testing.T) {
	no := false
	one := func(key string, v Value) Config { return Config{Metadata: map[string]Value{key: v}} }
	many := Config{Metadata: map[string]Value{}}
	for i := range 65 {
		many.Metadata[fmt.Sprint("k", i)] = Value{Value: "v"}
	}
	for i, c := range []struct {
		field  string
		config Config
	}{
		{"service", Config{Service: "a\nb"}},
		{"service", Config{Service: strings.Repeat("x", 257)}},
		{"authority", Config{Authority: "https://app"}},
		{"bearer", Config{Bearer: Bearer{File: "a", Env: "B"}}},
		{"metadata", many},
		{"metadata.X-Tenant", one("X-Tenant", Value{Value: "a"})},
		{"metadata.:authority", one(":authority", Value{Value: "a"})},
		{"metadata.", one("", Value{Value: "a"})},
		{"metadata.grpc-timeout", one("grpc-timeout", Value{Value: "1S"})},
		{"metadata.te", one("te", Value{Value: "trailers"})},
		{"metadata.host", one("host", Value{Value: "a"})},
		{"metadata.x-bin", one("x-bin", Value{Value: "a"})},
		{"metadata.a", one("a", Value{})},
		{"metadata.a", one("a", Value{Value: "a", File: "b"})},
		{"metadata.a", one("a", Value{Env: "a", File: "b"})},
		{"metadata.a.value", one("a", Value{Value: "a\r\nb: c"})},
		{"metadata.a.value", one("a", Value{Value: "é"})},
		{"metadata.authorization.value", one("authorization", Value{Value: "hunter2"})},
		{"metadata.x-api-key.value", one("x-api-key", Value{Value: "hunter2"})},
		{"metadata.authorization", Config{Bearer: Bearer{File: "a"}, Metadata: map[string]Value{"authorization": {File: "b"}}}},
		{"tls", Config{TLS: TLS{ServerName: "a.test"}}},
		{"tls.server_name", Config{Secure: true, TLS: TLS{ServerName: "a.test:443"}}},
		{"tls.ca_file", Config{Secure: true, TLS: TLS{CAFile: "ca.pem", Verify: &no}}},
		{"tls.cert_file", Config{Secure: true, TLS: TLS{KeyFile: "key.pem"}}},
	} {
		var fields []string
		c.config.Check(func(field, format string, args ...any) {
			fields = append(fields, field)
			if text := fmt.Sprintf(format, args...); strings.Contains(text, "%!") || strings.Contains(text, "hunter2") {
				t.Errorf("%d: %s", i, text)
			}
		})
		if len(fields) != 1 || fields[0] != c.field {
			t.Errorf("%d: problems at %q, expected one at %s", i, fields, c.field)
		}
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.field+": ") {
			t.Errorf("%d: New says %v, expected an error naming %s", i, err, c.field)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	missing, odd := filepath.Join(t.TempDir(), "missing"), filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte("hunter2 é"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{Secure: true, TLS: TLS{CAFile: missing}},
		{Secure: true, TLS: TLS{CAFile: odd}},
		{Secure: true, TLS: TLS{CertFile: odd, KeyFile: odd}},
		{Bearer: Bearer{File: missing}},
		{Bearer: Bearer{File: odd}},
		{Bearer: Bearer{Env: "VEER_TEST_NOT_SET"}},
		{Metadata: map[string]Value{"a": {File: odd}}},
		{Metadata: map[string]Value{"a": {Env: "VEER_TEST_NOT_SET"}}},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestAnyStatus has a server answer anything, and requires of the result what
// every result must hold.
func TestAnyStatus(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := &Prober{c: Config{Service: rapid.String().Draw(r, "service")}}
		serving := health.HealthCheckResponse_ServingStatus(rapid.Int32().Draw(r, "serving"))
		checktest.Valid(t, p.judge(attempt.Begin("gRPC health check"), serving))
		err := status.Error(codes.Code(rapid.Uint32Min(1).Draw(r, "code")), rapid.String().Draw(r, "message"))
		checktest.Valid(t, p.explain(attempt.Begin("gRPC health check"), err))
	})
}
