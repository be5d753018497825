package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// etcdLogger makes etcd and its client log to log: warnings and worse, one
// line an event, nothing else anywhere.
func etcdLogger(log zerolog.Logger, options ...zap.Option) *zap.Logger {
	return zap.New(zapToZero{log: log}, append(options, zap.ErrorOutput(zapcore.AddSync(discard{})))...)
}

// discard takes zap's reports about itself; its core never fails.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// zapToZero is a zapcore.Core that writes to zerolog.
type zapToZero struct {
	log    zerolog.Logger
	fields []zapcore.Field
}

func (z zapToZero) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (z zapToZero) With(fields []zapcore.Field) zapcore.Core {
	z.fields = append(slices.Clone(z.fields), fields...)
	return z
}

func (z zapToZero) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return c.AddCore(e, z)
	}
	return c
}

// expected starts the messages that etcd warns with although nothing is wrong:
// they come with every start, stop or wait of an embedded member.
func expected(message string) bool {
	for _, start := range []string{
		"simple token is not cryptographically signed",
		"Running http and grpc server on single port",
		"failed to publish local member",   // it is tried again
		"retrying of unary invoker failed", // the caller has the error
		// A new database has no version until its first entries are applied.
		"Failed to detect schema version",
		"failed to update storage version",
		"failed to apply request", // the caller has the error
	} {
		if strings.HasPrefix(message, start) {
			return true
		}
	}
	return false
}

func (z zapToZero) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := zerolog.WarnLevel
	switch {
	case expected(e.Message):
		level = zerolog.DebugLevel
	case e.Level > zapcore.WarnLevel:
		level = zerolog.ErrorLevel
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(z.fields, fields) {
		f.AddTo(enc)
	}
	ev := z.log.WithLevel(level).Str("from", "etcd")
	if level < z.log.GetLevel() {
		return nil
	}
	for _, k := range sortedKeys(enc.Fields) {
		if k != "stacktrace" {
			ev = ev.Str(k, fmt.Sprint(enc.Fields[k]))
		}
	}
	ev.Msg(e.Message)
	return nil
}

func (z zapToZero) Sync() error { return nil }
