package router_test

import (
	"context"
	"net"
	"testing"
	"time"

	"lattice/router"
)

// libraryPath makes serve use net/http for every connection. Tests of this
// package don't run in parallel.
var libraryPath bool

// serve serves ln by the path that is tested at the moment.
func serve(ctx context.Context, r *router.Router, ln net.Listener, drain time.Duration) error {
	if libraryPath {
		return r.ServeLibrary(ctx, ln, drain)
	}
	return r.Serve(ctx, ln, drain)
}

// TestLibraryPath runs the tests of the data path once more: what a request
// goes through must not show, but for the strictness of the fast path.
func TestLibraryPath(t *testing.T) {
	libraryPath = true
	defer func() { libraryPath = false }()
	for name, test := range map[string]func(*testing.T){
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
	} {
		t.Run(name, test)
	}
}
