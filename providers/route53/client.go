package route53

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	"github.com/rs/zerolog"
)

const (
	// readAttempts is how often a request that reads is sent, at most, and
	// readBackoff how long is waited in between, at most.
	readAttempts = 5
	readBackoff  = 20 * time.Second
	// maxReply bounds one reply, in bytes. A page is at most 300 sets; this is
	// room for 400 addresses in each.
	maxReply = 16 << 20
)

// connect makes the client with its credentials.
func (a *api) connect(transport http.RoundTripper) error {
	load, err := config.LoadDefaultConfig(context.Background(), a.loadOptions(transport)...)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	load.HTTPClient = bounded{load.HTTPClient}
	if a.config.RoleARN != "" {
		a.assume(&load)
	}
	a.credentials, _ = load.Credentials.(*aws.CredentialsCache)
	limits := newBuckets(a.config, a.log)
	a.client = sdk.NewFromConfig(load, func(o *sdk.Options) {
		if a.config.Endpoint != "" {
			// The SDK signs for an endpoint of one's own with the config's region;
			// Route 53 has one in each partition.
			o.BaseEndpoint, o.Region = &a.config.Endpoint, globalRegion(o.Region)
		}
		o.RetryMaxAttempts = 0 // whatever the environment says
		o.Retryer = retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts, s.MaxBackoff = readAttempts, readBackoff
		})
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			// Before each attempt, and before it is signed with the time.
			return stack.Finalize.Insert(throttle{limits}, "Retry", middleware.After)
		})
	})
	return nil
}

func (a *api) loadOptions(transport http.RoundTripper) []func(*config.LoadOptions) error {
	c := a.config
	options := []func(*config.LoadOptions) error{config.WithDefaultRegion(defaultRegion), config.WithAppID("veer"), config.WithLogger(sdkLog{a.log}),
		config.WithAPIOptions([]func(*middleware.Stack) error{unsaid{}.add})}
	add := func(set bool, o config.LoadOptionsFunc) {
		if set {
			options = append(options, o)
		}
	}
	profile := c.Profile
	if profile == "" && c.CredentialsFile != "" {
		profile = "default" // the file before the environment
	}
	add(c.Region != "", config.WithRegion(c.Region))
	add(profile != "", config.WithSharedConfigProfile(profile))
	add(c.CredentialsFile != "", config.WithSharedCredentialsFiles([]string{c.CredentialsFile}))
	add(c.FIPS, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	if transport == nil {
		// The SDK's own client, for it takes AWS_CA_BUNDLE.
		return append(options, config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(c.Timeout)))
	}
	return append(options, config.WithHTTPClient(&http.Client{
		Transport: transport, Timeout: c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
}

// sdkLog takes what the SDK says.
type sdkLog struct{ log zerolog.Logger }

// Logf implements logging.Logger.
func (l sdkLog) Logf(class logging.Classification, format string, args ...any) {
	event := l.log.Debug()
	if class == logging.Warn {
		event = l.log.Warn()
	}
	event.Msg("AWS SDK: " + fmt.Sprintf(format, args...))
}

// assume makes the config's credentials those of the role.
func (a *api) assume(load *aws.Config) {
	c := a.config
	client := sts.NewFromConfig(*load, func(o *sts.Options) {
		if c.STSEndpoint != "" {
			o.BaseEndpoint = &c.STSEndpoint
		}
	})
	session := "veer-" + a.owner
	var provider aws.CredentialsProvider
	if c.WebIdentityTokenFile != "" {
		provider = stscreds.NewWebIdentityRoleProvider(client, c.RoleARN, stscreds.IdentityTokenFile(c.WebIdentityTokenFile),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = session })
	} else {
		provider = stscreds.NewAssumeRoleProvider(client, c.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = session
			if c.ExternalID != "" {
				o.ExternalID = &c.ExternalID
			}
		})
	}
	load.Credentials = aws.NewCredentialsCache(provider)
}

// once has the SDK send a request one time.
func once(o *sdk.Options) { o.Retryer = aws.NopRetryer{} }

// throttle takes tokens before each attempt.
type throttle struct{ *buckets }

func (throttle) ID() string { return "VeerThrottle" }

func (t throttle) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	if err := t.wait(ctx, awsmiddleware.GetOperationName(ctx)); err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, err
	}
	if err := ctx.Err(); err != nil { // the wait may have been long
		return middleware.FinalizeOutput{}, middleware.Metadata{}, err
	}
	return next.HandleFinalize(ctx, in)
}

// bounded bounds the replies to a client's requests.
type bounded struct{ next aws.HTTPClient }

// errTooLong tells of a reply above maxReply.
var errTooLong = errors.New("the reply is longer than any that the API should give")

// Do implements aws.HTTPClient.
func (b bounded) Do(req *http.Request) (*http.Response, error) {
	reply, err := b.next.Do(req)
	if reply != nil && reply.Body != nil {
		reply.Body = &limited{reply.Body, maxReply}
	}
	return reply, err
}

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLong
	}
	n, err := l.ReadCloser.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
