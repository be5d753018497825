package daemon_test

import (
	"reflect"
	"testing"

	"github.com/veerdns/veer/cmd/veer/config"
	"github.com/veerdns/veer/cmd/veer/daemon"
)

// TestEveryKindHasAChecker requires that no kind that a config can have is
// forgotten where checkers are made.
func TestEveryKindHasAChecker(t *testing.T) {
	none, err := daemon.Checker(config.Monitor{})
	if err == nil {
		t.Fatalf("a monitor without a kind has the checker %T", none)
	}
	kinds := 0
	for i := range reflect.TypeFor[config.Monitor]().NumField() {
		var m config.Monitor
		field := reflect.ValueOf(&m).Elem().Field(i)
		if field.Kind() != reflect.Pointer {
			continue
		}
		kinds++
		field.Set(reflect.New(field.Type().Elem()))
		// An empty config may be refused, but by the kind itself.
		if _, refused := daemon.Checker(m); refused != nil && refused.Error() == err.Error() {
			t.Errorf("%s: %v", field.Type(), refused)
		}
	}
	if kinds < 10 {
		t.Errorf("%d kinds were tried", kinds)
	}
}
