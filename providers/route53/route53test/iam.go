package route53test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// policy is what the emulator knows of an IAM policy: Allow statements with
// ForAllValues:StringEquals conditions
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html).
type policy struct {
	Version   string
	Statement []struct {
		Sid, Effect string
		Action      []string
		Resource    []string
		Condition   map[string]map[string][]string
	}
}

func parsePolicy(text []byte) (*policy, error) {
	var p policy
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	for _, st := range p.Statement {
		if st.Effect != "Allow" {
			return nil, fmt.Errorf("policy: the emulator knows Allow alone, not %s", st.Effect)
		}
		for op := range st.Condition {
			if op != "ForAllValues:StringEquals" {
				return nil, fmt.Errorf("policy: the emulator does not know the condition %s", op)
			}
		}
	}
	return &p, nil
}

// authorized evaluates the policy: what no statement allows is denied.
func (s *Server) authorized(r *request) *apiError {
	if s.policy == nil || !s.on(Authorization) {
		return nil
	}
	action := "route53:" + r.action
	resource := "*"
	switch r.action {
	case "GetChange":
		resource = "arn:aws:route53:::change/" + r.zone
	case "ChangeResourceRecordSets", "ListResourceRecordSets", "GetHostedZone":
		resource = "arn:aws:route53:::hostedzone/" + r.zone
	}
	keys := s.contextKeys(r)
	for _, st := range s.policy.Statement {
		if matches(st.Action, action) && matches(st.Resource, resource) && allValues(st.Condition["ForAllValues:StringEquals"], keys) {
			return nil
		}
	}
	return failed(http.StatusForbidden, "AccessDenied", fmt.Sprintf("User: arn:aws:iam::%s:user/veer is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", Account, action, resource, action))
}

// contextKeys are the request's values of the condition keys of
// ChangeResourceRecordSets, names without the final dot.
func (s *Server) contextKeys(r *request) map[string][]string {
	if r.action != "ChangeResourceRecordSets" {
		return nil
	}
	var req changeRequest
	if xml.Unmarshal(r.body, &req) != nil {
		return nil
	}
	keys := map[string][]string{}
	add := func(key, value string) {
		key = "route53:ChangeResourceRecordSets" + key
		keys[key] = append(keys[key], value)
	}
	for _, c := range req.Changes {
		name, err := s.normalize(c.Set.Name)
		if err != nil {
			name = c.Set.Name
		}
		add("NormalizedRecordNames", strings.TrimSuffix(name, "."))
		add("RecordTypes", c.Set.Type)
		add("Actions", c.Action)
	}
	return keys
}

func matches(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, text)
		return p == "*" || err == nil && ok
	})
}

// allValues reports whether every value that the request has is listed.
func allValues(want, have map[string][]string) bool {
	for key, list := range want {
		for _, v := range have[key] {
			if !slices.Contains(list, v) {
				return false
			}
		}
	}
	return true
}
