package route53_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/veerdns/veer/providers/route53"
	"github.com/veerdns/veer/providers/route53/route53test"
)

const roleARN = "arn:aws:iam::123456789012:role/veer"

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCredentials: each member of the chain gives credentials that sign for
// the service and region, which the server checks.
func TestCredentials(t *testing.T) {
	keys := "aws_access_key_id = " + route53test.AccessKey + "\naws_secret_access_key = " + route53test.SecretKey + "\n"
	wrong := "[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n"
	for _, test := range []struct {
		name  string
		setup func(t *testing.T, c *route53.Config)
		sts   string // the action that STS is asked for
		fails string // part of the error, where there must be one
	}{
		{"environment", func(t *testing.T, _ *route53.Config) {
			t.Setenv("AWS_ACCESS_KEY_ID", route53test.AccessKey)
			t.Setenv("AWS_SECRET_ACCESS_KEY", route53test.SecretKey)
		}, "", ""},
		{"shared file", func(t *testing.T, _ *route53.Config) {
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file(t, "credentials", "[default]\n"+keys))
		}, "", ""},
		{"a file of its own, before the environment", func(t *testing.T, c *route53.Config) {
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
			c.CredentialsFile = file(t, "credentials", "[default]\n"+keys)
		}, "", ""},
		{"profile", func(t *testing.T, c *route53.Config) {
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file(t, "credentials", wrong+"[prod]\n"+keys))
			c.Profile = "prod"
		}, "", ""},
		{"profile that is not there", func(_ *testing.T, c *route53.Config) { c.Profile = "prod" }, "", "prod"},
		{"assumed role", func(t *testing.T, c *route53.Config) {
			c.CredentialsFile = file(t, "credentials", "[default]\n"+keys)
			c.RoleARN, c.ExternalID = roleARN, "veer-7"
		}, "AssumeRole", ""},
		{"assumed role, wrong external id", func(t *testing.T, c *route53.Config) {
			c.CredentialsFile = file(t, "credentials", "[default]\n"+keys)
			c.RoleARN, c.ExternalID = roleARN, "veer-8"
		}, "AssumeRole", "no credentials could be had"},
		{"web identity", func(t *testing.T, c *route53.Config) {
			c.RoleARN, c.WebIdentityTokenFile = roleARN, file(t, "token", "a.jwt.token")
		}, "AssumeRoleWithWebIdentity", ""},
		{"web identity, wrong token", func(t *testing.T, c *route53.Config) {
			c.RoleARN, c.WebIdentityTokenFile = roleARN, file(t, "token", "forged")
		}, "AssumeRoleWithWebIdentity", "no credentials could be had"},
		{"web identity from the environment", func(t *testing.T, c *route53.Config) {
			t.Setenv("AWS_ROLE_ARN", roleARN)
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "token", "a.jwt.token"))
			t.Setenv("AWS_ENDPOINT_URL_STS", c.STSEndpoint)
		}, "AssumeRoleWithWebIdentity", ""},
		{"none", func(*testing.T, *route53.Config) {}, "", "no credentials could be had"},
		{"wrong keys", func(t *testing.T, c *route53.Config) { c.CredentialsFile = file(t, "credentials", wrong) }, "", "check the key"},
		{"a region for STS, that is not Route 53's", func(t *testing.T, c *route53.Config) {
			c.CredentialsFile, c.Region = file(t, "credentials", "[default]\n"+keys), "eu-west-1"
		}, "", ""},
	} {
		bubble := func(t *testing.T) { // for a token that is refused is sent again
			server := newServer(t, func(o *route53test.Options) {
				o.Roles = map[string]route53test.Role{roleARN: {ExternalID: "veer-7", Token: "a.jwt.token"}}
			})
			c := route53.Config{Zones: []route53.Zone{{Name: zone, ID: route53test.ZoneID}}, Endpoint: "http://route53.test", STSEndpoint: "http://sts.test"}
			test.setup(t, &c)
			p, err := route53.New(c, route53.Options{Owner: "shop", Transport: server, Log: zerolog.Nop()})
			if err == nil {
				_, err = p.Read(t.Context(), zone)
			}
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got %v, want %q", err, test.fails)
			}
			if test.sts != "" && server.Calls()[test.sts] == 0 {
				t.Errorf("STS was not asked for %s: %v", test.sts, server.Calls())
			}
			if err != nil && strings.Contains(err.Error(), route53test.SecretKey) {
				t.Errorf("the secret is in %v", err)
			}
		}
		t.Run(test.name, func(t *testing.T) { synctest.Test(t, bubble) })
	}
}

// TestExpired: credentials that AWS takes for expired are fetched anew, and the
// write that met them says to try later.
func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t, func(o *route53test.Options) {
			o.Roles = map[string]route53test.Role{roleARN: {}}
			o.Session = time.Hour
		})
		c := route53test.Config(t, zone)
		c.RoleARN = roleARN
		b := &bench{t: t, server: server, Provider: route53test.Provider(t, c, "shop", server)}
		b.must(a("app", "192.0.2.1"))
		server.Expire()
		if _, err := b.Read(t.Context(), zone); err == nil || !strings.Contains(err.Error(), "credentials have expired") {
			t.Errorf("expired: %v", err)
		}
		b.must(a("app", "192.0.2.2"))
		// Those that end by themselves are renewed before.
		time.Sleep(59 * time.Minute)
		b.must(a("app", "192.0.2.3"))
		time.Sleep(2 * time.Hour)
		b.must(a("app", "192.0.2.4"))
	})
}

// TestEndpoints: FIPS is another host; an endpoint of one's own is taken as it
// is; over a real connection all works, and a redirect is not followed.
func TestEndpoints(t *testing.T) {
	var host, scope string
	spy := roundTripper(func(req *http.Request) (*http.Response, error) {
		host, scope = req.URL.Host, req.Header.Get("Authorization")
		return &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: http.NoBody, Request: req}, nil
	})
	for want, edit := range map[string]func(*route53.Config){
		"route53.amazonaws.com":        func(*route53.Config) {},
		"route53-fips.amazonaws.com":   func(c *route53.Config) { c.FIPS = true },
		"route53.us-gov.amazonaws.com": func(c *route53.Config) { c.Region = "us-gov-west-1" },
		"vpce-1.route53.example":       func(c *route53.Config) { c.Region, c.Endpoint = "eu-west-1", "https://vpce-1.route53.example" },
	} {
		c := route53test.Config(t, zone)
		c.Endpoint = ""
		edit(&c)
		if _, err := route53test.Provider(t, c, "shop", spy).Read(t.Context(), zone); err == nil {
			t.Errorf("%s: a redirect was taken for a listing", want)
		}
		if host != want {
			t.Errorf("asked %s, want %s", host, want)
		}
		if region := map[bool]string{true: "us-gov-west-1", false: "us-east-1"}[strings.Contains(want, "gov")]; !strings.Contains(scope, "/"+region+"/route53/aws4_request") {
			t.Errorf("%s: signed %.100s, want the region %s", want, scope, region)
		}
	}
	server := newServer(t, nil)
	web := httptest.NewServer(server)
	defer web.Close()
	c := route53test.Config(t, zone)
	c.Endpoint = web.URL
	p, err := route53.New(c, route53.Options{Owner: "shop", Log: zerolog.Nop()}) // the SDK's own transport
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, server: server, Provider: p}
	b.must(a("app", "192.0.2.1"), a("*.b", "192.0.2.2"))
}

// TestSecretsAreNotEchoed: not even an API that repeats what it was sent, Route
// 53 or STS, makes an error tell a token, wherever that one came from.
func TestSecretsAreNotEchoed(t *testing.T) {
	const token = "a.jwt/with+signs.0123456789"
	session := func(t *testing.T, _ *route53.Config) {
		t.Setenv("AWS_ACCESS_KEY_ID", route53test.AccessKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", route53test.SecretKey)
		t.Setenv("AWS_SESSION_TOKEN", token)
	}
	for name, setup := range map[string]func(t *testing.T, c *route53.Config){
		"session":                session,
		"session, assuming role": func(t *testing.T, c *route53.Config) { session(t, c); c.RoleARN = roleARN },
		"web identity": func(t *testing.T, c *route53.Config) {
			c.RoleARN, c.WebIdentityTokenFile = roleARN, file(t, "token", token)
		},
		"web identity of the environment": func(t *testing.T, _ *route53.Config) {
			t.Setenv("AWS_ROLE_ARN", roleARN)
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(t, "token", token))
		},
	} {
		t.Run(name, func(t *testing.T) {
			echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				form, err := url.ParseQuery(string(body))
				if err != nil {
					t.Error(err)
				}
				said := r.Header.Get("X-Amz-Security-Token") + form.Get("WebIdentityToken")
				if said != token {
					t.Errorf("%s is sent the token %q", r.URL, said)
				}
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, `<ErrorResponse><Error><Code>Echo</Code><Message>refused: %s, %s, %x</Message></Error></ErrorResponse>`, said, url.QueryEscape(said), said)
			}))
			defer echo.Close()
			t.Setenv("AWS_ENDPOINT_URL_STS", echo.URL)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			c := route53.Config{Zones: []route53.Zone{{Name: zone, ID: route53test.ZoneID}}, Endpoint: echo.URL, STSEndpoint: echo.URL}
			setup(t, &c)
			var log strings.Builder
			p, err := route53.New(c, route53.Options{Owner: "shop", Log: zerolog.New(&log)})
			if err == nil {
				_, err = p.Read(t.Context(), zone)
			}
			if err == nil || !strings.Contains(err.Error(), "refused: [secret], [secret], [secret]") {
				t.Errorf("the error is %v", err)
			}
			if said := fmt.Sprint(err) + log.String(); strings.Contains(said, token[:8]) {
				t.Errorf("a token is told: %s", said)
			}
		})
	}
}
