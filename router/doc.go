// Package router leads HTTP requests to the instances of apps.
//
// Three parts, each of which can be replaced without the others:
//
//   - Table says what is routed where. Build makes it from apps and their
//     instances; it is a plain value that never changes.
//   - live and exchange decide which instance gets a request and, when that
//     goes wrong, whether another may have it. They know nothing of the way
//     bytes are moved.
//   - ServeHTTP is the data path: net/http's server, httputil.ReverseProxy,
//     and one http.Transport an instance. A faster path reads the same Table
//     and drives the same exchange.
//
// The router never waits for an app to become healthy and probes nothing: it
// learns of instances from the tables it is given, and of dead ones from
// connections that can't be made. Everything is safe for concurrent use.
package router
