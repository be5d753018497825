package hook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/veerdns/veer/checks"
)

const canary = "canary-7d1f0c55a1b24e"

func TestAlerts(t *testing.T) {
	got, err := Alerts([]byte(`{"version": "4", "receiver": "veer", "status": "firing", "truncatedAlerts": 0, "alerts": [
		{"status": "firing", "labels": {"alertname": "InstanceDown", "instance": "192.0.2.10:9100"}, "annotations": {"summary": "it is\n\u001b[31m gone"}},
		{"status": "resolved", "labels": {"instance": "192.0.2.10:9100", "alertname": "InstanceDown"}, "startsAt": "2026-01-01T00:00:00Z"}]}`))
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if !got[0].Firing || got[1].Firing || got[0].Key != got[1].Key || got[0].Why != "InstanceDown: it is [31m gone" || got[0].Labels["instance"] != "192.0.2.10:9100" {
		t.Errorf("%+v", got)
	}
	if other, err := Alerts([]byte(`{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"InstanceDow","n":"instance"}}]}`)); err != nil || other[0].Key == got[0].Key {
		t.Errorf("another alert: %v %v", other, err)
	}
	if none, err := Alerts([]byte(`{"version":"4","alerts":[]}`)); err != nil || len(none) != 0 {
		t.Errorf("a sign of life: %v %v", none, err)
	}
}

// TestHostileBodies: each is refused, by an error that repeats nothing of it.
func TestHostileBodies(t *testing.T) {
	many := strings.Repeat(`{"status":"firing","labels":{"a":"b"}},`, MaxAlerts) + `{"status":"firing","labels":{"a":"b"}}`
	labels := ""
	for i := range maxLabels + 1 {
		labels += fmt.Sprintf(`,"l%d":"v"`, i)
	}
	alerts := func(b []byte) error { _, err := Alerts(b); return err }
	said := func(b []byte) error { _, err := Statements(b); return err }
	beat := func(b []byte) error { _, err := ParseBeat(b); return err }
	for _, c := range []struct {
		read func([]byte) error
		body string
		want string
	}{
		{alerts, ``, "not whole JSON"}, {alerts, canary, "not whole JSON"}, {alerts, `{"version":"4"`, "not whole JSON"}, {alerts, `[]`, "another type"},
		{alerts, `{"version":"4"} {}`, "more than one"}, {alerts, `{"version":"` + canary + `"}`, "version is not"}, {alerts, `{"version":4}`, "another type"},
		{alerts, `{"version":"4","alerts":[{"status":"` + canary + `","labels":{"a":"b"}}]}`, "alert 1 has another status"},
		{alerts, `{"version":"4","alerts":[{"status":"firing"}]}`, "0 labels"},
		{alerts, `{"version":"4","alerts":[{"status":"firing","labels":{"a":"b"` + labels + `}}]}`, "66 labels"},
		{alerts, `{"version":"4","alerts":[{"status":"firing","labels":{"a":"` + canary + strings.Repeat("x", maxLabel) + `"}}]}`, "a label is longer"},
		{alerts, `{"version":"4","alerts":[` + many + `]}`, "1001 alerts"},
		{said, `{}`, `no "data"`}, {said, `{"data":{"endpoints":[{"health":"` + canary + `"}]}}`, "a health that is none of"}, {said, `{"data":{"endpoints":[{"health":"down"}]}}`, "endpoint 1: expected a service"},
		{said, `{"data":{"endpoints":[{"service":"` + canary + strings.Repeat("x", maxLabel) + `"}]}}`, "endpoint 1: expected"},
		{beat, `{"health":"unknown"}`, "health is unknown"}, {beat, `{"health":1}`, "another type"}, {beat, "\xff", "not whole JSON"},
	} {
		err := c.read([]byte(c.body))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.60s: %v, expected %q", c.body, err, c.want)
		}
	}
}

func TestBeats(t *testing.T) {
	for body, want := range map[string]Beat{
		"": {Health: checks.Up}, " \n": {Health: checks.Up}, `{}`: {Health: checks.Up},
		`{"health": "degraded", "why": " queue\tis long "}`: {checks.Degraded, "queue is long"}, `{"health":"down"}`: {Health: checks.Down},
	} {
		if got, err := ParseBeat([]byte(body)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
	if long := Line(strings.Repeat("ü", 500)); len(long) > maxWhy || strings.ContainsRune(long, '?') {
		t.Errorf("%q", long)
	}
}

// The example of Standard Webhooks' own libraries; its signature was made anew by
// another program.
const (
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	testBody   = `{"test": 2432232314}`
	testSign   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func signed(id, at, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", signature)
	return h
}

func TestVerify(t *testing.T) {
	secret, err := ParseSecret(testSecret + "\n")
	if err != nil {
		t.Fatal(err)
	}
	const id, at = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
	for _, sign := range []string{testSign, "v1,bm9uZQ== " + testSign, testSign + " v1a,xxx"} {
		if s, err := Verify(secret, signed(id, at, sign), []byte(testBody)); err != nil || s != (Stamp{id, 1614265330}) {
			t.Errorf("%s: %v, %v", sign, s, err)
		}
	}
	for _, c := range []struct {
		id, at, sign, body, want string
	}{
		{id, at, testSign, testBody + " ", "no signature"}, {id + "x", at, testSign, testBody, "no signature"}, {id, "1614265331", testSign, testBody, "no signature"},
		{id, at, "v2," + testSign[3:], testBody, "no signature"}, {id, at, testSign[3:], testBody, "no signature"}, {id, at, "", testBody, "no signature"},
		{id, at, "v1,", testBody, "no signature"}, {id, at, testSign[:20], testBody, "no signature"}, {id, at, strings.Repeat(testSign+" ", 9), testBody, "9 signatures"},
		{"", at, testSign, testBody, "webhook-id"}, {strings.Repeat("x", 129), at, testSign, testBody, "webhook-id"}, {"a b", at, testSign, testBody, "webhook-id"},
		{id, "", testSign, testBody, "is missing"}, {id, "01614265330", testSign, testBody, "no number"}, {id, "-5", testSign, testBody, "no number"}, {id, "99999999999999999999", testSign, testBody, "no number"},
	} {
		if _, err := Verify(secret, signed(c.id, c.at, c.sign), []byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	other, err := ParseSecret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(other, signed(id, at, testSign), []byte(testBody)); err == nil || other.Name() == secret.Name() || strings.Contains(testSecret, secret.Name()) {
		t.Errorf("another secret: %v; names %s, %s", err, other.Name(), secret.Name())
	}
	for _, bad := range []string{"", "short", "whsec_", canary, "whsec_" + strings.Repeat("A", 120)} {
		if _, err := ParseSecret(bad); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzBody holds that whatever is read is within its bounds, and fit to print.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"version":"4","alerts":[{"status":"firing","labels":{"a":"b"},"annotations":{"summary":"x"}}]}`))
	f.Add([]byte(`{"data":{"endpoints":[{"service":"a","region":"b","address":"c","health":"down","why":"d"}]}}`))
	f.Add([]byte(`{"health":"degraded","why":"x"}`))
	fit := func(t *testing.T, why string) {
		if len(why) > maxWhy || strings.ContainsAny(why, "\n\r\x1b\x00") {
			t.Fatalf("not fit to print: %q", why)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if alerts, err := Alerts(body); err == nil {
			for _, a := range alerts {
				if fit(t, a.Why); a.Key == "" || len(a.Labels) == 0 || len(a.Labels) > maxLabels {
					t.Fatalf("%+v", a)
				}
			}
		}
		if said, err := Statements(body); err == nil {
			for _, s := range said {
				if fit(t, s.Why); s.Service == "" {
					t.Fatalf("%+v", s)
				}
			}
		}
		if b, err := ParseBeat(body); err == nil {
			if fit(t, b.Why); b.Health == checks.Unknown {
				t.Fatalf("%+v", b)
			}
		}
	})
}

// FuzzSignature holds that nothing but the true signature is believed.
func FuzzSignature(f *testing.F) {
	f.Add("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", testSign, testBody)
	f.Add("a", "1", "v1,AAAA v1,", "")
	f.Fuzz(func(t *testing.T, id, at, sign, body string) {
		secret, err := ParseSecret(testSecret)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{headerID: {id}, headerTimestamp: {at}, headerSignature: {sign}}
		if s, err := Verify(secret, h, []byte(body)); err == nil && (s.ID != id || fmt.Sprint(s.At) != at || len(sign) < len(testSign)) {
			t.Fatalf("%q %q %q %q is believed: %+v", id, at, sign, body, s)
		}
	})
}
