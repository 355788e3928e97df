// Package router leads HTTP requests to the instances of apps.
//
// Three parts, each of which can be replaced without the others:
//
//   - Table says what is routed where. Build makes it from apps and their
//     instances; it is a plain value that never changes.
//   - live and exchange know whose turn it is, who had a request already and
//     who is passed over. They know nothing of the way bytes are moved.
//   - The data path is net/http's server, httputil.ReverseProxy and one
//     http.Transport an instance (retry.go, proxy.go). A faster one reads the
//     same Table and drives the same exchange: aim, begin, next, end.
//
// The router never waits for an app to become healthy and probes nothing: it
// learns of instances from the tables it is given, and of dead ones from
// connections that can't be made. Everything is safe for concurrent use.
package router
