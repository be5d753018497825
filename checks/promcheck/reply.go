package promcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// reply is what the API answers, whatever the status
// (https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview).
type reply struct {
	Status    string   `json:"status"`
	ErrorType string   `json:"errorType"`
	Error     string   `json:"error"`
	Warnings  []string `json:"warnings"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// sample is one value of the result.
type sample struct {
	labels map[string]string // nil for a scalar
	value  float64
}

// answer is what an instant query gave.
type answer struct {
	samples  []sample
	warnings []string
}

// apiError is an error that Prometheus itself reports.
type apiError struct{ kind, text string }

func (e *apiError) Error() string { return e.kind + ": " + e.text }

// parseReply reads the body of an answer. Its errors are of type *apiError,
// or sentences without anything of the body.
func parseReply(body []byte) (answer, error) {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil || r.Status != "success" && r.Status != "error" {
		return answer{}, errors.New("what came is not the JSON of Prometheus' API")
	}
	if r.Status == "error" {
		return answer{}, &apiError{r.ErrorType, r.Error}
	}
	samples, err := parseResult(r.Data.ResultType, r.Data.Result)
	return answer{samples, r.Warnings}, err
}

// parseResult reads the value of an expression
// (https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats).
func parseResult(kind string, result json.RawMessage) ([]sample, error) {
	switch kind {
	case "scalar":
		value, err := parsePoint(result)
		if err != nil {
			return nil, err
		}
		return []sample{{nil, value}}, nil
	case "vector":
	case "matrix", "string":
		return nil, fmt.Errorf("the query gives a %s, which is no value to compare; expected a scalar or a vector", kind)
	default:
		return nil, errors.New("the result is of no type that is known")
	}
	var series []struct {
		Metric    map[string]string `json:"metric"`
		Value     json.RawMessage   `json:"value"`
		Histogram json.RawMessage   `json:"histogram"`
	}
	if err := json.Unmarshal(result, &series); err != nil {
		return nil, errors.New("the vector of the result is malformed")
	}
	samples := make([]sample, 0, len(series))
	for _, s := range series {
		if s.Histogram != nil {
			return nil, errors.New("the query gives a histogram, which is no value to compare; take histogram_quantile or another function of it")
		}
		value, err := parsePoint(s.Value)
		if err != nil {
			return nil, err
		}
		labels := s.Metric
		if labels == nil {
			labels = map[string]string{}
		}
		samples = append(samples, sample{labels, value})
	}
	return samples, nil
}

// parsePoint reads [time, "value"]. The time is that of the evaluation on
// Prometheus' clock, and says nothing of the sample's age.
func parsePoint(point json.RawMessage) (float64, error) {
	malformed := errors.New("a value of the result is malformed")
	var parts []json.RawMessage
	var text string
	if json.Unmarshal(point, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[1], &text) != nil {
		return 0, malformed
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, malformed
	}
	return value, nil
}

// name is the series as PromQL writes it.
func (s sample) name() string {
	if s.labels == nil {
		return "the scalar"
	}
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(s.labels)) {
		if label != "__name__" {
			pairs = append(pairs, label+"="+strconv.Quote(s.labels[label]))
		}
	}
	return s.labels["__name__"] + "{" + strings.Join(pairs, ", ") + "}"
}
