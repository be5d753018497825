//go:build realservers

package daemon_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veerdns/veer/checks/checktest"
	"github.com/veerdns/veer/cmd/veer/api"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

const alertmanagerConfig = `route:
  receiver: veer
  group_by: ["..."]
  group_wait: 100ms
  group_interval: 1s
  repeat_interval: 2s
receivers:
  - name: veer
    webhook_configs:
      - {url: "http://%[1]s/v1/hooks/alerts", send_resolved: true, http_config: {authorization: {credentials_file: %[2]s}}}
      - {url: "http://%[1]s/v1/hooks/pager", send_resolved: true, http_config: {authorization: {credentials_file: %[2]s}}}
`

// TestAlertmanagerVotesAndDrains: Debian's Alertmanager sends what fires and what
// is resolved; its votes and its drain come and go with it.
func TestAlertmanagerVotesAndDrains(t *testing.T) {
	t.Parallel() // it waits more than it works
	l := calledLab(t)
	l.start("eu-west")
	l.start("us-east", daemon.RoleProber)
	l.start("ap-south", daemon.RoleProber)
	l.watch()
	l.answers("127.0.0.11")
	l.until("us-east listens", func() bool { return l.listening("us-east") != "" })

	target := checktest.Refused(t, "tcp", "127.0.0.1")
	address := fmt.Sprintf("127.0.0.1:%d", target.Port)
	l.write("alertmanager.yml", fmt.Sprintf(alertmanagerConfig, l.listening("us-east"), filepath.Join(l.dir, "alerts")))
	am := checktest.Start(t, target, "prometheus-alertmanager", "--config.file="+filepath.Join(l.dir, "alertmanager.yml"),
		"--storage.path="+filepath.Join(l.dir, "alertmanager"), "--web.listen-address="+address, "--cluster.listen-address=", "--log.level=warn")
	alert := func(name, instance string, ends time.Duration) {
		t.Helper()
		body := fmt.Sprintf(`[{"labels": {"alertname": %q, "instance": %q}, "annotations": {"summary": "no answer"}, "endsAt": %q}]`,
			name, instance, time.Now().Add(ends).UTC().Format(time.RFC3339Nano))
		resp, err := http.Post("http://"+address+"/api/v2/alerts", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("Alertmanager takes no alert: %s", resp.Status)
		}
	}

	alert("Watchdog", "none", time.Hour)
	alert("InstanceDown", "127.0.0.11:9100", time.Hour)
	l.votes("alerts", "web@127.0.0.11", "down")
	l.answers("127.0.0.12")
	l.status("us-east", func(st api.Status) bool {
		return len(st.Orders) == 1 && st.Orders[0].By == "hook pager" && st.Orders[0].Why == "InstanceDown: no answer"
	})
	alert("InstanceDown", "127.0.0.11:9100", -time.Second)
	l.orders("us-east", 0)
	l.answers("127.0.0.11")
	l.votes("alerts", "web@127.0.0.11", "up") // it gives signs of life, and says nothing
	am.Kill()
	l.votes("alerts", "web@127.0.0.11", "unknown")
}
