package router_test

import (
	"context"
	"net"
	"testing"
	"time"

	"lattice/router"
)

// Ways of a request through the router.
type way int

const (
	byLoop      way = iota // as all requests begin
	byGoroutine            // as those go on that are not common
	byLibrary              // HTTP/2 and what goes to it
)

// tested is the way that serve takes at the moment. Tests of this package don't run
// in parallel.
var tested way

// serve serves ln by the way that is tested at the moment.
func serve(ctx context.Context, r *router.Router, ln net.Listener, drain time.Duration) error {
	return serveBy(ctx, tested, r, ln, drain)
}

func serveBy(ctx context.Context, w way, r *router.Router, ln net.Listener, drain time.Duration) error {
	switch w {
	case byGoroutine:
		r.WithoutLoops()
	case byLibrary:
		return r.ServeLibrary(ctx, ln, drain)
	}
	return r.Serve(ctx, ln, drain)
}

// TestOtherWays runs the tests of the data path once more: which way a request
// goes must not show, but for the strictness of our own parser.
func TestOtherWays(t *testing.T) {
	defer func() { tested = byLoop }()
	for name, w := range map[string]way{"Goroutine": byGoroutine, "Library": byLibrary} {
		tested = w
		t.Run(name, func(t *testing.T) {
			for name, test := range testsOfAllWays() {
				t.Run(name, test)
			}
		})
	}
}

func testsOfAllWays() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"Conversations":                TestConversations,
		"HeadersToTheApp":              TestHeadersToTheApp,
		"RequestLineIsPassedOnAsItIs":  TestRequestLineIsPassedOnAsItIs,
		"AnswersArePassedOnAsTheyAre":  TestAnswersArePassedOnAsTheyAre,
		"Upgrade":                      TestUpgrade,
		"StreamsAreNotHeldBack":        TestStreamsAreNotHeldBack,
		"CancelReachesTheApp":          TestCancelReachesTheApp,
		"BrokenAnswerBreaks":           TestBrokenAnswerBreaksForTheClientToo,
		"LargeBodiesAreStreamed":       TestLargeBodiesAreStreamed,
		"BothDirectionsAtOnce":         TestBothDirectionsAtOnce,
		"EarlyAnswer":                  TestEarlyAnswer,
		"Trailers":                     TestTrailers,
		"EarlyHints":                   TestEarlyHints,
		"RoundRobin":                   TestRoundRobinIsEvenAndSurvivesSwaps,
		"Refusals":                     TestRefusals,
		"DeadInstanceIsPassedOver":     TestDeadInstanceIsPassedOver,
		"AllOutGetAnotherChance":       TestAllOutGetAnotherChance,
		"InstanceThatAppears":          TestInstanceThatAppearsDuringARetryIsUsed,
		"DialTimeoutIs504":             TestDialTimeoutIs504,
		"KilledInMidRun":               TestKilledInMidRun,
		"OnlyWhatIsSafeIsSentAgain":    TestOnlyWhatIsSafeIsSentAgain,
		"BodyReachesTheSecondInstance": TestBodyReachesTheSecondInstanceWhenTheFirstIsDead,
		"ConnectionsAreNotInherited":   TestConnectionsAreNotInherited,
		"SwapUnderLoad":                TestSwapUnderLoad,
		"EveryRequestIsTold":           TestEveryRequestIsTold,
		"ServeLetsRequestsEnd":         TestServeLetsRequestsEnd,
	}
}
