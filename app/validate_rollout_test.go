package app

import (
	"errors"
	"strings"
	"testing"
)

func TestRolloutOptionsValidate(t *testing.T) {
	for _, tt := range []struct {
		o    RolloutOptions
		want string // a part of each line; empty: valid
	}{
		{RolloutOptions{}, ""},
		{RolloutOptions{Rolling, 1}, ""},
		{RolloutOptions{Recreate, MaxInstances}, ""},
		{RolloutOptions{Canary, 0}, ""},
		{RolloutOptions{"Rolling", 0}, `the strategy "Rolling" does not exist`},
		{RolloutOptions{"", -1}, "-1 instances at the same time"},
		{RolloutOptions{"blue", MaxInstances + 1}, "does not exist: it can be rolling, recreate or canary|1001 instances"},
	} {
		err := tt.o.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: got %v, want %q", tt.o, err, tt.want)
			continue
		}
		for part := range strings.SplitSeq(tt.want, "|") {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%v: got %v, want %q in it", tt.o, err, part)
			}
		}
	}
}
