package route53

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/veerdns/veer/providers"
	"github.com/veerdns/veer/providers/internal/fenced"
)

// TestNames: names go to the API and come back as they were.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"app.example.com.":     "app.example.com.",
		"*.example.com.":       "*.example.com.",
		"a.*.example.com.":     `a.\052.example.com.`,
		`a\.b.example.com.`:    `a\056b.example.com.`,
		`\228\ b.example.com.`: `\344\040b.example.com.`,
		`\@\\.example.com.`:    `\100\134.example.com.`,
		"a_b-c.example.com.":   "a_b-c.example.com.",
	} {
		if got := toAPI(name); got != want {
			t.Errorf("%s is written %s, want %s", name, got, want)
		}
		if back, err := fromAPI(want); err != nil || back != name {
			t.Errorf("%s is read %s, %v, want %s", want, back, err, name)
		}
	}
	for text, want := range map[string]string{
		`\052.Example.COM`:  "*.example.com.",
		`\101.example.com.`: "a.example.com.",
		`\056.example.com`:  `\..example.com.`,
	} {
		if got, err := fromAPI(text); err != nil || got != want {
			t.Errorf("%s is read %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", `a\`, `\09.example.`, `\400.example.`, `\1`, strings.Repeat("a.", 600)} {
		if got, err := fromAPI(text); err == nil {
			t.Errorf("%q is read %s", text, got)
		}
	}
}

// TestTexts: the values of TXT records, of one string or several, are converted
// both ways.
func TestTexts(t *testing.T) {
	for value, want := range map[string]string{
		`"veer-owner owner=shop"`: "veer-owner owner=shop",
		`"one" "two"`:             "onetwo",
		`"a \"quoted\" \\ word"`:  `a "quoted" \ word`,
		`"\344\040\001"`:          "\xe4 \x01",
		`""`:                      "",
	} {
		data, err := textFromAPI(value)
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if text, err := fenced.Text(data); err != nil || text != want {
			t.Errorf("%s says %q, %v, want %q", value, text, err, want)
		}
		back, err := textFromAPI(textToAPI(data))
		if err != nil {
			t.Errorf("%s: %v", value, err)
		}
		if text, err := fenced.Text(back); err != nil || text != want {
			t.Errorf("%s comes back as %q, %v, want %q", value, text, err, want)
		}
	}
	if _, err := textFromAPI(`"` + strings.Repeat("x", 5000) + `"`); err == nil {
		t.Error("a text beyond the API's bound was read")
	}
}

// FuzzName: what is read is canonical, and goes to the API and back unchanged.
func FuzzName(f *testing.F) {
	for _, s := range []string{"app.example.com.", `\052.example.com`, `a\056b.c.`, `\\.x`, `\400`, "..", "\xff.x", `*.*.x.`, `\052a.x.`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := fromAPI(text)
		if err != nil {
			return
		}
		if name != providers.CanonicalName(name) {
			t.Fatalf("%q is read %q, which is not canonical", text, name)
		}
		written := toAPI(name)
		if strings.Trim(written, `abcdefghijklmnopqrstuvwxyz0123456789-_.\*`) != "" || strings.Count(written, "*") > 1 {
			t.Fatalf("%q is written %q", name, written)
		}
		if len(written) > maxName {
			return
		}
		if back, err := fromAPI(written); err != nil || back != name {
			t.Fatalf("%q is written %q and read %q, %v", name, written, back, err)
		}
	})
}

// FuzzText: a text goes to the API and back with the same bytes.
func FuzzText(f *testing.F) {
	for _, s := range []string{`"a" "b"`, `"\""`, `"\\"`, `"\344"`, `"\9"`, `x`, `"`, "\"\x00\xff\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		data, err := textFromAPI(value)
		if err != nil {
			return
		}
		text, err := fenced.Text(data)
		if err != nil {
			return
		}
		back, err := textFromAPI(textToAPI(data))
		if err != nil {
			if len(textToAPI(data)) > maxText {
				return
			}
			t.Fatalf("%q: %v", value, err)
		}
		if again, err := fenced.Text(back); err != nil || again != text {
			t.Fatalf("%q says %q and comes back as %q, %v", value, text, again, err)
		}
	})
}

// TestMessages: the texts of both forms of InvalidChangeBatch are told apart.
func TestMessages(t *testing.T) {
	const found = "Tried to delete resource record set [name='a.', type='A'] but it was not found"
	for _, batch := range []*types.InvalidChangeBatch{
		{Messages: []string{found, found}, Message: aws.String("ChangeBatch errors occurred")},
		{Message: aws.String("[" + found + ", " + found + "]")},
	} {
		got := messages(batch)
		if len(got) != 2 || got[0] != found || got[1] != found {
			t.Errorf("got %q", got)
		}
	}
}
