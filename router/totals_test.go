package router

import (
	"testing"
	"time"
)

func TestTotalsTellRatesAndQuantiles(t *testing.T) {
	r := New(Options{})
	tr := &traffic{}
	r.traffic["web"] = tr
	for range 90 {
		tr.add(200, 3*time.Millisecond)
	}
	before := TotalsOf(r.Counts())["web"]
	for range 95 {
		tr.add(200, 7*time.Millisecond)
	}
	for range 5 {
		tr.add(503, time.Minute)
	}
	got := TotalsOf(r.Counts())["web"].Since(before)
	if got.Requests != 100 || got.Errors != 5 {
		t.Errorf("got %d requests and %d errors, want 100 and 5", got.Requests, got.Errors)
	}
	if p := got.Quantile(0.5); p < 5*time.Millisecond || p > 10*time.Millisecond {
		t.Errorf("the median is %v, want one within 5 to 10 ms", p)
	}
	if p := got.Quantile(0.99); p != 10*time.Second {
		t.Errorf("the 99th percentile is %v, want the last bound", p)
	}
	if p := (Totals{}).Quantile(0.5); p != 0 {
		t.Errorf("of no requests: %v", p)
	}
	if again := before.Since(got); again.Requests != before.Requests {
		t.Errorf("counts that began anew: %d, want all %d", again.Requests, before.Requests)
	}
}
