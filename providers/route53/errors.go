package route53

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// priorWait and maxPriorWait are how long, at first and at last, to let a prior
// request of the same zone complete before the next is tried again.
const (
	priorWait    = time.Second
	maxPriorWait = 4 * time.Second
)

// precondition matches what InvalidChangeBatch says where the zone is not as
// the request expects; all else it says is about the request itself
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html).
// Assumption: the API's texts, known from replies that were published; the
// proof of the swap fails in a zone where they are others.
var precondition = regexp.MustCompile(`(?i)^tried to (delete resource record set .* but (it was not found|the values provided do not match)|create resource record set .* but it already exists)`)

// answer is what became of a request that failed.
type answer struct {
	// nothing: surely nothing was written.
	nothing bool
	// busy: it may be tried again; after is for how long not to, at least.
	busy  bool
	after time.Duration
	// refused: the zone is not as the request expects.
	refused bool
	// stale: the credentials are to be had anew.
	stale bool
	// advice says what to do; empty: wait.
	advice string
}

// judge tells errors apart, for a request of the action about the zone.
func judge(err error, action, zone, id string) answer {
	var signing *v4.SigningError
	var batch *types.InvalidChangeBatch
	var api smithy.APIError
	var busy *providers.BusyError
	switch {
	case errors.As(err, &busy):
		return answer{nothing: true, busy: true, after: busy.After}
	case errors.As(err, &signing), isCredentials(err):
		return answer{nothing: true, advice: "no credentials could be had: set the environment, profile, credentials_file, role_arn or web_identity_token_file"}
	case errors.As(err, &batch):
		for _, m := range messages(batch) {
			if precondition.MatchString(strings.TrimSpace(m)) {
				return answer{nothing: true, refused: true, advice: strings.Join(messages(batch), "; ")}
			}
		}
		return answer{nothing: true, advice: "the API takes no such records: " + strings.Join(messages(batch), "; ")}
	case errors.As(err, &api):
		if a, ok := judgeCode(api, action, zone, id); ok {
			return a
		}
	}
	// 4xx: the API has refused the request, whatever it calls that. 5xx, a cut
	// connection, a reply that cannot be read: it may have been done.
	status := statusOf(err)
	return answer{nothing: status >= 400 && status < 500 && status != http.StatusRequestTimeout}
}

// judgeCode tells the API's codes apart
// (https://docs.aws.amazon.com/Route53/latest/APIReference/CommonErrors.html).
func judgeCode(err smithy.APIError, action, zone, id string) (answer, bool) {
	switch err.ErrorCode() {
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "TooManyRequestsException":
		return answer{nothing: true, busy: true, advice: "the account's rate limit is used up, by others too: lower rate and burst to leave them room, or raise the quota"}, true
	case "PriorRequestNotComplete":
		return answer{nothing: true, busy: true, after: 2 * maxPriorWait, advice: "another request for the zone was being processed"}, true
	case "NoSuchHostedZone":
		return answer{nothing: true, advice: fmt.Sprintf("the account has no hosted zone %s: correct the id of zone %s, or use credentials of its account", id, zone)}, true
	case "AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation":
		return answer{nothing: true, advice: denied(action, zone, id)}, true
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired":
		return answer{nothing: true, busy: true, stale: true, advice: "the credentials have expired (or the clock is wrong): they are fetched anew for the next request; if that does not help, renew them"}, true
	case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "InvalidAccessKeyId", "AuthFailure", "OptInRequired":
		return answer{nothing: true, stale: true, advice: "AWS does not accept the credentials: check the key, its secret, the region and the clock"}, true
	}
	return answer{}, false
}

// denied names what must be allowed for the action.
func denied(action, zone, id string) string {
	on := "arn:aws:route53:::hostedzone/" + id
	switch action {
	case actGetChange:
		on = "arn:aws:route53:::change/*"
	case actByName:
		on = "*"
	}
	advice := fmt.Sprintf("allow route53:%s on %s", action, on)
	if action == actChange {
		advice += fmt.Sprintf(", and where the policy has conditions (%s), for every name and type of this Veer in %s, its _veer and _veer-* names included", strings.Join([]string{keyNames, keyTypes, keyActions}, ", "), zone)
	}
	return advice + "; `veer iam-policy` prints the whole policy"
}

// messages are those of an InvalidChangeBatch, whichever form it came in.
func messages(batch *types.InvalidChangeBatch) []string {
	if len(batch.Messages) > 0 {
		return batch.Messages
	}
	// One text may hold the list as "[first, second]".
	text := strings.TrimSpace(batch.ErrorMessage())
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	out := strings.Split(text, ", Tried to ")
	for i := range out[1:] {
		out[i+1] = "Tried to " + out[i+1]
	}
	return out
}

// isCredentials reports whether the error is one of fetching credentials, which
// comes before anything is sent to Route 53.
func isCredentials(err error) bool {
	var op *smithy.OperationError
	for errors.As(err, &op) {
		if op.ServiceID != "Route 53" {
			return true // STS, SSO
		}
		err = op.Err
	}
	return strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "get identity: ")
}

func statusOf(err error) int {
	var reply *smithyhttp.ResponseError
	if errors.As(err, &reply) {
		return reply.HTTPStatusCode()
	}
	return 0
}

// failed explains an error of the action, and says by its kind what it means
// for a write: see fenced.API's Swap.
func (a *api) failed(ctx context.Context, err error, action, zone, id string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", action, errors.Join(ctx.Err(), err))
	}
	j := judge(err, action, zone, id)
	if j.stale {
		a.forget()
	}
	text := fmt.Errorf("%s: %w", action, err)
	if j.advice != "" {
		text = fmt.Errorf("%w; %s", text, j.advice)
	}
	switch {
	case j.refused:
		return fmt.Errorf("%w: %w", fenced.ErrRefused, text)
	case j.busy:
		a.log.Debug().Str("zone", zone).Str("action", action).Err(err).Msg("Route 53 asks to wait; nothing was done")
		return &providers.BusyError{After: j.after, Err: text}
	case j.nothing && action == actChange:
		return fmt.Errorf("%w: %w", fenced.ErrNothing, text)
	case j.nothing && statusOf(err) != 0 && !isCredentials(err):
		return fmt.Errorf("%w: %w", fenced.ErrUnread, text)
	}
	return text
}
