package route53

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/veerdns/veer/checks"
	"github.com/veerdns/veer/providers/internal/redact"
)

// maxError bounds a reply that is an error.
const maxError = 1 << 20

// unsaid takes out of errors what the requests had of secrets, before the SDK
// makes texts of them. It stands next to the HTTP client, of Route 53 and of
// what credentials come from.
type unsaid struct{}

func (unsaid) ID() string { return "VeerUnsaid" }

// add is one of the config's APIOptions.
func (u unsaid) add(stack *middleware.Stack) error { return stack.Deserialize.Add(u, middleware.After) }

func (unsaid) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, meta, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, meta, redact.Error(err, sent(in.Request)...) // net/http quotes what it cannot read
	}
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || reply.StatusCode < http.StatusMultipleChoices {
		return out, meta, nil
	}
	body, err := io.ReadAll(&limited{reply.Body, maxError})
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		return out, meta, fmt.Errorf("reading an error of status %d: %w", reply.StatusCode, err)
	}
	text := checks.Redact(string(body), sent(in.Request)...)
	reply.Body, reply.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return out, meta, nil
}

// sent are the secrets that a request has in it: the token of a session, and the
// one that STS gives a session for. The key is not: it signs.
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html)
func sent(request any) []string {
	r, ok := request.(*smithyhttp.Request)
	if !ok {
		return nil
	}
	secrets := []string{r.Header.Get("X-Amz-Security-Token")}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.RewindStream() != nil {
		return secrets
	}
	if body, err := io.ReadAll(io.LimitReader(r.GetStream(), maxError)); err == nil {
		form, _ := url.ParseQuery(string(body))
		secrets = append(secrets, form.Get("WebIdentityToken"))
	}
	return secrets
}
