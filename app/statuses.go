package app

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of what ParseStatuses reads.
const (
	maxStatusBytes = 256
	minStatus      = 100
	maxStatus      = 599
)

// Statuses is a set of HTTP status codes.
type Statuses []StatusRange

// A StatusRange is the codes From to To, both included.
type StatusRange struct{ From, To int }

// ParseStatuses reads codes and ranges of codes such as "200-299,401". No text
// is 200 to 399. Errors are ErrInvalid.
func ParseStatuses(text string) (Statuses, error) {
	if text == "" {
		return Statuses{{200, 399}}, nil
	}
	if len(text) > maxStatusBytes {
		return nil, Invalid("%s has %d bytes: at most %d are possible", quote(text), len(text), maxStatusBytes)
	}
	var all Statuses
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, ok1 := parseStatus(first)
		to, ok2 := parseStatus(last)
		if !ok1 || !ok2 || from > to {
			return nil, Invalid("%s is no list of HTTP status codes: write codes from %d to %d and ranges of them, as 200-299,401", quote(text), minStatus, maxStatus)
		}
		all = append(all, StatusRange{from, to})
	}
	return all, nil
}

// parseStatus reads a code: three digits and nothing else.
func parseStatus(text string) (int, bool) {
	text = strings.Trim(text, " ")
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && len(text) == 3 && n >= minStatus && n <= maxStatus
}

// Has reports whether code is in the set.
func (s Statuses) Has(code int) bool {
	for _, r := range s {
		if r.From <= code && code <= r.To {
			return true
		}
	}
	return false
}

// String writes s as ParseStatuses reads it.
func (s Statuses) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		if parts[i] = strconv.Itoa(r.From); r.To != r.From {
			parts[i] = fmt.Sprintf("%d-%d", r.From, r.To)
		}
	}
	return strings.Join(parts, ",")
}
