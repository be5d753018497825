package route53test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// session is a pair of keys, temporary if it has a token.
type session struct {
	secret, token string
	ends          time.Time // zero: never
	role          string
}

// signed checks the signature of a request to the service.
func (s *Server) signed(r *request, service string) *apiError {
	if service == "sts" && r.action == "AssumeRoleWithWebIdentity" || !s.on(Signature) {
		return nil
	}
	text := r.Header.Get("Authorization")
	key, date, region, to, headers, ok := parseAuthorization(text)
	if !ok {
		return failed(http.StatusForbidden, "MissingAuthenticationToken", "Missing Authentication Token")
	}
	who, known := s.sessions[key]
	if !known || who.token != r.Header.Get("X-Amz-Security-Token") {
		return failed(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	if s.on(SessionExpiry) && !who.ends.IsZero() && time.Now().After(who.ends) {
		return failed(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	if s.on(SignatureScope) && (region != s.options.Region || to != service) {
		return failed(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to '"+s.options.Region+"/"+service+"', not '"+region+"/"+to+"'.")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format("20060102") != date {
		return failed(http.StatusForbidden, "SignatureDoesNotMatch", "Date in Credential scope does not match that of the request.")
	}
	if again := s.sign(r, key, who, to, region, at, headers); again != text {
		return failed(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}
	return nil
}

// parseAuthorization reads a SigV4 header.
func parseAuthorization(text string) (key, date, region, service string, headers []string, ok bool) {
	text, ok = strings.CutPrefix(text, "AWS4-HMAC-SHA256 ")
	fields := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if !ok || len(scope) != 5 || scope[4] != "aws4_request" || fields["Signature"] == "" {
		return "", "", "", "", nil, false
	}
	return scope[0], scope[1], scope[2], scope[3], strings.Split(fields["SignedHeaders"], ";"), true
}

// sign signs the request again, and returns the Authorization header.
func (s *Server) sign(r *request, key string, who session, service, region string, at time.Time, headers []string) string {
	again := r.Request.Clone(context.Background())
	again.Header = http.Header{}
	for name, values := range r.Header {
		if slices.Contains(headers, strings.ToLower(name)) && name != "Authorization" && name != "X-Amz-Security-Token" {
			again.Header[name] = values
		}
	}
	again.URL.Host = r.Host
	again.ContentLength = -1
	if slices.Contains(headers, "content-length") {
		again.ContentLength = int64(len(r.body))
	}
	sum := sha256.Sum256(r.body)
	credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: who.secret, SessionToken: who.token}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		return err.Error()
	}
	return again.Header.Get("Authorization")
}
