package icmpcheck

import "slices"

// The defaults of fields that are not set, and the highest values that Check
// accepts.
const (
	DefaultCount   = 3
	DefaultMaxLoss = 50
	DefaultSize    = 56

	maxCount = 20
	minSize  = 16
	maxSize  = 8 << 10
)

// Config is how an ICMP check asks, and how much it may lose.
type Config struct {
	// Privileged is the kind of socket: "udp", which the group range of
	// net.ipv4.ping_group_range may open, "raw", which needs CAP_NET_RAW, or
	// "auto", the first of these that is permitted. "" is auto.
	Privileged string `yaml:"privileged,omitempty"`
	// Count is how many echoes one probe asks for; 0 is DefaultCount.
	Count int `yaml:"count,omitempty"`
	// MaxLoss is the part of them, in percent, that may stay unanswered; more
	// is down, as is the loss of all. nil is DefaultMaxLoss.
	MaxLoss *int `yaml:"max_loss,omitempty"`
	// WarnLoss is the part, in percent, above which the loss is degraded. nil
	// is never.
	WarnLoss *int `yaml:"warn_loss,omitempty"`
	// Size is how many bytes follow the ICMP header of an echo; 0 is
	// DefaultSize.
	Size int `yaml:"size,omitempty"`
}

// Check reports every problem of the config by the field's key path.
func (c Config) Check(bad func(field, format string, args ...any)) {
	if !slices.Contains([]string{"", "auto", "udp", "raw"}, c.Privileged) {
		bad("privileged", "%q is not a kind of socket; expected auto, udp or raw", c.Privileged)
	}
	if c.Count < 0 || c.Count > maxCount {
		bad("count", "%d echoes is out of range; expected 1 to %d, or 0 for %d", c.Count, maxCount, DefaultCount)
	}
	most := DefaultMaxLoss
	if c.MaxLoss != nil {
		most = *c.MaxLoss
	}
	switch {
	case most < 0 || most > 99:
		bad("max_loss", "%d is out of range; expected 0 to 99 percent", most)
	case c.WarnLoss != nil && (*c.WarnLoss < 0 || *c.WarnLoss >= most):
		bad("warn_loss", "%d is out of range; expected 0 or more percent and less than max_loss, %d, beyond which it is down", *c.WarnLoss, most)
	}
	if c.Size != 0 && (c.Size < minSize || c.Size > maxSize) {
		bad("size", "%d bytes is out of range; expected %d to %d, or 0 for %d", c.Size, minSize, maxSize, DefaultSize)
	}
}

func (c *Config) fill() {
	if c.Privileged == "" {
		c.Privileged = "auto"
	}
	if c.Count == 0 {
		c.Count = DefaultCount
	}
	if c.MaxLoss == nil {
		most := DefaultMaxLoss
		c.MaxLoss = &most
	}
	if c.Size == 0 {
		c.Size = DefaultSize
	}
}
