package daemon

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testToken = "canary-5f3a0d0a77b14c1d"

// TestHostileTokens: nobody comes in but with the very token, and no reply
// tells of it.
func TestHostileTokens(t *testing.T) {
	reached := 0
	h := tokenOnly(testToken, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	ask := func(header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics?token="+testToken, nil)
		for _, v := range header {
			r.Header.Add("Authorization", v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, header := range [][]string{
		nil, {""}, {"Bearer"}, {"Bearer "}, {testToken}, {"bearer " + testToken}, {"Basic " + testToken},
		{"Bearer " + testToken[1:]}, {"Bearer " + testToken[:len(testToken)-1]}, {"Bearer " + testToken + " "}, {"Bearer  " + testToken},
		{"Bearer " + testToken + "\x00"}, {"Bearer " + strings.Repeat("a", 8000)}, {"Bearer x", "Bearer " + testToken},
	} {
		w := ask(header...)
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%.60q: status %d", header, w.Code)
		}
		if strings.Contains(w.Body.String(), testToken) {
			t.Errorf("%.60q: the reply tells the token", header)
		}
	}
	if reached > 0 {
		t.Fatalf("%d came in", reached)
	}
	if w := ask("Bearer " + testToken); w.Code != http.StatusOK || reached != 1 {
		t.Errorf("the token itself: status %d", w.Code)
	}
}

// TestTokens: bad ones are refused at the start, by an error without them.
func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for text, ok := range map[string]bool{
		testToken + "\n": true, testToken: true, strings.Repeat("x", tokenMost): true,
		"": false, "short": false, "fifteen-letters": false, "a token with spaces in it": false, strings.Repeat("x", tokenMost+1): false,
		"zeile-1-canary-aaaa\nzeile-2-canary": false, "canary-\x00-0123456789": false, "canary-ü-0123456789ab": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := tokenFrom("host.http", file, "")
		if (err == nil) != ok || ok && got != strings.TrimSpace(text) {
			t.Errorf("%.40q: %q, %v", text, got, err)
		}
		if err != nil && text != "" && (strings.Contains(err.Error(), strings.TrimSpace(text)) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("the error tells the token: %v", err)
		}
		t.Setenv("VEERTEST_TOKEN", strings.ReplaceAll(text, "\x00", " "))
		if _, err := tokenFrom("host.http", "", "VEERTEST_TOKEN"); (err == nil) != ok {
			t.Errorf("%.40q from the environment: %v", text, err)
		}
	}
}

// The token that was read last is the one that counts.
func TestTokenIsReplaced(t *testing.T) {
	d := &daemon{}
	h := d.guarded(testToken, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(token string) int {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(w, r)
		return w.Code
	}
	another := "another-token-0123456789"
	if ask(testToken) != http.StatusOK || ask(another) != http.StatusUnauthorized {
		t.Error("the first token does not count")
	}
	d.token.Store(&another)
	if ask(testToken) != http.StatusUnauthorized || ask(another) != http.StatusOK {
		t.Error("the token of before counts on")
	}
}
