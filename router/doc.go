// Package router leads HTTP requests to the instances of apps.
//
// Four parts, each of which can be replaced without the others:
//
//   - Table says what is routed where. Build makes it from apps and their
//     instances; it is a plain value that never changes.
//   - live and exchange know whose turn it is, who had a request already and
//     who is passed over. They know nothing of the way bytes are moved. A data
//     path drives them by aim, begin, next and end.
//   - A policy is what the options of a route come to (policy.go): who may come
//     and how often (guard.go), which instance is chosen (balance.go), what is
//     changed in headers, how long things may take. A route without options has
//     none. It asks both data paths the same few things, as a caller.
//   - Two data paths. Our own is for HTTP/1: heads read and written as bytes
//     (package wire, request.go, answer.go) and no timers: one watch looks after
//     all connections. A connection without TLS begins as a guest of a loop
//     (loop.go, guest.go, guestlink.go), a thread that serves many of them
//     without waiting for any. A request that is not common, because it needs an
//     option of its route, a large body, a second try or an upgrade, moves its
//     connection to a goroutine (handover.go, client.go, link.go, watch.go),
//     where it stays. The other path is net/http's server, httputil.ReverseProxy
//     and one http.Transport an instance and protocol (proxy.go, retry.go,
//     library.go). It has what the first does not speak: HTTP/2, on either side,
//     and whoever uses the Router as an http.Handler. What comes before the first
//     request, the PROXY protocol and TLS, is in open.go.
//
// The router never waits for an app to become healthy and probes nothing: it
// learns of instances from the tables it is given, and of dead ones from
// connections that can't be made. Everything is safe for concurrent use.
package router
