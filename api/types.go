// Package api is the border between the processes: the HTTP server of the
// brain (gin), the client that the command line and the cells use, and the one
// table that turns errors into statuses and back.
//
// Every path is under /api/v1 and wants a bearer token, but GET /api/v1/ping.
// A user's token may call everything except what is said to be for cells; the
// join token may call only what is for cells. Bodies are JSON and bounded.
// Streams are one JSON value a line, and an empty line every 15 s while there
// is nothing to say.
//
//	GET    /api/v1/ping                 {}
//	GET    /api/v1/info                 Info
//	POST   /api/v1/apps                 app.App → 201 app.App
//	GET    /api/v1/apps                 []app.Status
//	GET    /api/v1/apps/NAME            app.Status; ?watch=true streams one at each change
//	PUT    /api/v1/apps/NAME/instances  {"instances":N} → app.App
//	DELETE /api/v1/apps/NAME            204; the instances stop after the answer
//	GET    /api/v1/apps/NAME/logs       stream of app.LogLine; ?lines=N (default 100, -1: all kept) &follow=true
//	GET    /api/v1/cells                []CellStatus
//	GET    /api/v1/strays               []app.Instance
//
// For cells:
//
//	POST   /api/v1/join                 JoinRequest → JoinReply
//	GET    /api/v1/cells/ID/work        stream of app.Work, one at once and one at each change
//	POST   /api/v1/cells/ID/report      app.Report → 204
//	POST   /api/v1/cells/ID/logs        lines as app.AppendLogLine writes them → 204
//	POST   /api/v1/cells/ID/log-cursors []string of GUIDs → map of GUID to the last Seq the brain has
//
// An error is {"error":{"code":"not_found","message":"…"}}.
package api

import "lattice/app"

// Info is what a brain says of itself.
type Info struct {
	Version   string `json:"version"`
	Domain    string `json:"domain"`     // apps are at NAME.Domain
	RouterURL string `json:"router_url"` // http://DOMAIN[:PORT]
	Cluster   string `json:"cluster"`    // ID of the store
}

// CellStatus is a cell with what runs on it.
type CellStatus struct {
	app.Cell
	Running int `json:"running"` // instances in RUNNING
	Claimed int `json:"claimed"` // instances placed here and not yet running
}

// A JoinRequest is how a cell introduces itself.
type JoinRequest struct {
	Cell    string `json:"cell"` // its ID
	Version string `json:"version"`
}

// A JoinReply is what a cell needs to take part. It is a secret.
type JoinReply struct {
	Cluster   string   `json:"cluster"`    // ID of the store, also the gossip label
	GossipKey []byte   `json:"gossip_key"` // AES-256
	Gossip    []string `json:"gossip"`     // host:port of members to join
	Domain    string   `json:"domain"`
}
