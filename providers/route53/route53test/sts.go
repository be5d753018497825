package route53test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

type stsKeys struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type assumeReply struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	Keys    stsKeys  `xml:"AssumeRoleResult>Credentials"`
}

type webReply struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	Keys    stsKeys  `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
}

func stsAction(body []byte) string {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") == "" {
		return "unknown"
	}
	return form.Get("Action")
}

// sts gives temporary credentials.
func (s *Server) sts(r *request) any {
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return fail(http.StatusBadRequest, "MalformedQueryString", err.Error())
	}
	arn := form.Get("RoleArn")
	role, ok := s.options.Roles[arn]
	denied := fail(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: sts:"+r.action+" on resource: "+arn)
	switch {
	case form.Get("RoleSessionName") == "":
		return fail(http.StatusBadRequest, "ValidationError", "RoleSessionName is missing")
	case !ok:
		return denied
	case r.action == "AssumeRole":
		if s.on(ExternalID) && role.ExternalID != form.Get("ExternalId") {
			return denied
		}
		return assumeReply{Keys: s.open(arn)}
	case r.action == "AssumeRoleWithWebIdentity":
		if s.on(WebIdentity) && (role.Token == "" || role.Token != form.Get("WebIdentityToken")) {
			return fail(http.StatusBadRequest, "InvalidIdentityToken", "The ID Token provided is not valid")
		}
		return webReply{Keys: s.open(arn)}
	}
	return fail(http.StatusBadRequest, "InvalidAction", "The action is not emulated")
}

// open begins a session of the role.
func (s *Server) open(arn string) stsKeys {
	n := len(s.sessions)
	keys := stsKeys{
		AccessKeyID: fmt.Sprintf("ASIAEMULATOR%08d", n), SecretAccessKey: fmt.Sprintf("session/secret/%026d", n),
		SessionToken: fmt.Sprintf("session-token-%d", n),
	}
	ends := time.Now().Add(s.options.Session)
	keys.Expiration = ends.UTC().Format(time.RFC3339)
	s.sessions[keys.AccessKeyID] = session{secret: keys.SecretAccessKey, token: keys.SessionToken, ends: ends, role: arn}
	return keys
}

// Expire ends all sessions at once, as the revocation of a role's sessions
// does.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, who := range s.sessions {
		if who.token != "" {
			who.ends = time.Now().Add(-time.Second)
			s.sessions[key] = who
		}
	}
}
