package tutorial

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/veerdns/veer/cmd/internal/lab"
	"github.com/veerdns/veer/cmd/veer/api"
)

// TestInsist: an order that is refused is given again until it is taken; what
// else goes wrong ends it at once.
func TestInsist(t *testing.T) {
	refusal, gone := &api.Problem{What: "eu-west is unknown", Refused: true}, errors.New("gone")
	for name, c := range map[string]struct {
		answers []error // the last one again and again
		asked   int
		want    []error
	}{
		"taken at once":       {[]error{nil}, 1, nil},
		"taken at the third":  {[]error{refusal, refusal, nil}, 3, nil},
		"an error":            {[]error{refusal, gone}, 2, []error{gone}},
		"refused for so long": {[]error{refusal}, 0, []error{lab.ErrLate, refusal}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, asked := game{scene: &scene{}}, 0
				err := g.insist(t.Context(), func(context.Context, api.OrderRequest, bool) (api.OrderResult, error) {
					asked++
					return api.OrderResult{}, c.answers[min(asked, len(c.answers))-1]
				}, api.OrderRequest{})
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("%v, want %v", err, want)
					}
				}
				if err != nil && c.want == nil || c.asked > 0 && asked != c.asked {
					t.Errorf("%v after %d times, want %d", err, asked, c.asked)
				}
			})
		})
	}
}
