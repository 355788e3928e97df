// Package api is the border between the processes: the HTTP server of the
// brain (gin), the client that the command line and the cells use, and the one
// table that turns errors into statuses and back.
//
// Every path is under /api/v1. A user sends "Authorization: Bearer TOKEN" and
// may call everything except what is said to be for cells. One with the role of
// a viewer may only GET, sees **** for values of environments, and neither users
// nor tokens. A browser logs in for a session cookie, which does in place of a
// token where no other site can be behind the request: with it, all but GET need
// the header "X-Lattice: 1". A cell joins with a
// join token and gets a certificate for it; with that, shown in TLS, it may call
// the paths of its own ID and no others. GET /api/v1/ping is for everybody.
//
//	GET    /api/v1/ping                 {}
//	GET    /api/v1/info                 Info
//	POST   /api/v1/apps                 app.App → 201 app.App
//	GET    /api/v1/apps                 []app.Status; ?watch=true
//	GET    /api/v1/apps/NAME            app.Status; ?watch=true
//	PUT    /api/v1/apps/NAME            UpdateRequest → app.App
//	PUT    /api/v1/apps/NAME/instances  {"instances":N} → app.App
//	GET    /api/v1/apps/NAME/revisions  []app.Revision, newest first
//	POST   /api/v1/apps/NAME/rollback   {"revision":N} → app.App; 0: the revision before the current
//	POST   /api/v1/apps/NAME/restart    {"index":N} → app.App; without index: all instances
//	POST   /api/v1/apps/NAME/stop       → app.App; its instances stop after the answer
//	POST   /api/v1/apps/NAME/start      → app.App
//	POST   /api/v1/apps/NAME/promote    → app.App; a canary that is paused goes on
//	DELETE /api/v1/apps/NAME            204; the instances stop after the answer; ?volumes=true: and its volumes are deleted then
//	GET    /api/v1/apps/NAME/logs       stream of app.LogLine; ?lines=N (default 100, -1: all kept) &follow=true; also of tasks
//	GET    /api/v1/apps/NAME/exec       WebSocket: a session in instance ?index=N, or any that runs; see below
//	POST   /api/v1/tasks                app.Task → 201 app.Task; without name it gets one
//	GET    /api/v1/tasks                []app.Task, the newest first, without results; ?watch=true
//	GET    /api/v1/tasks/NAME           app.Task; ?watch=true
//	POST   /api/v1/tasks/NAME/cancel    → app.Task; what runs of it stops after the answer
//	DELETE /api/v1/tasks/NAME           204; what runs of it stops after the answer
//	GET    /api/v1/tasks/NAME/exec      WebSocket: a session in the task's container
//	POST   /api/v1/builds               app.BuildRequest → 201 app.Task, which waits for its source
//	GET    /api/v1/builds               []app.Task that build images, the newest first; ?watch=true
//	PUT    /api/v1/builds/NAME/source   a tar stream, packed with gzip → 204 when the build has taken it
//	POST   /api/v1/schedules            app.Schedule → 201 app.Schedule
//	GET    /api/v1/schedules            []app.Schedule; ?watch=true
//	GET    /api/v1/schedules/NAME       app.Schedule; ?watch=true
//	DELETE /api/v1/schedules/NAME       204; the tasks it made stay
//	GET    /api/v1/routes               []app.RouteStatus: the router's table
//	GET    /api/v1/events               stream of app.Event; ?app= &task= &cell= &kind= &since=SEQ &lines=N (default 100, with since all; -1: all kept) &follow=true
//	GET    /api/v1/doctor               []app.Finding of the brain's host and process
//	GET    /api/v1/support              map of names of files to their content (base64), for a support bundle; no secrets
//	GET    /api/v1/debug-logs           stream of app.LogLine of lattice itself, on all nodes; ?lines= &follow= as above
//	GET    /api/v1/clients/OS/ARCH      the program for such a system; its SHA-256 in hex is the ETag
//	GET    /api/v1/cells                []CellStatus; ?watch=true
//	PUT    /api/v1/cells/ID/drain       {"max_in_flight":N} → 204; also for the cell itself
//	DELETE /api/v1/cells/ID/drain       204; also for the cell itself
//	GET    /api/v1/rebalance            app.Rebalancing; what a rebalancing would move, or has yet to
//	POST   /api/v1/rebalance            {"max_in_flight":N} → app.Rebalancing; it goes on after the answer
//	DELETE /api/v1/rebalance            204; moves nothing more
//	GET    /api/v1/strays               []app.Instance
//	POST   /api/v1/strays/adopt         {"app":NAME} → []app.Instance that are managed now; "": all
//	POST   /api/v1/strays/discard       {"app":NAME} → []app.Instance that will be stopped; "": all
//	POST   /api/v1/cells/ID/revoke      → Revocation; puts the cell out of the cluster
//	POST   /api/v1/session              LoginRequest → Session and its cookie; for everybody
//	GET    /api/v1/session              Session: who asks
//	DELETE /api/v1/session              204; logs out
//	POST   /api/v1/session/link         → 201 LoginLink
//	GET    /api/v1/live                 server-sent events of LiveState
//	GET    /api/v1/history              Series; ?app=NAME or ?cell=ID
//	GET    /api/v1/users                []UserStatus
//	POST   /api/v1/users                UserRequest → 201 NewUser
//	PUT    /api/v1/users/NAME           UserChange → NewUser; without a password another token
//	DELETE /api/v1/users/NAME           204; what the user has open is closed
//	GET    /api/v1/ssh-keys             []SSHKey, that open the SSH port
//	POST   /api/v1/ssh-keys             SSHKeyRequest → 201 SSHKey
//	DELETE /api/v1/ssh-keys/NAME        204
//	GET    /api/v1/registries           []app.Registry, without passwords
//	PUT    /api/v1/registries/HOST      app.Registry → 204; with ?check=true it is greeted first
//	DELETE /api/v1/registries/HOST      204
//	GET    /api/v1/images               []app.StoredImage, that the brain's registry has
//	GET    /api/v1/images/allowed       Allowed: which images may run
//	PUT    /api/v1/images/allowed       Allowed → 204
//	POST   /api/v1/images/prune         PruneRequest → app.Pruning
//	GET    /api/v1/volumes              []app.VolumeStatus, of named volumes
//	DELETE /api/v1/volumes/ID           204; the cell deletes it after the answer
//	GET    /api/v1/features             []app.Feature
//	PUT    /api/v1/features/NAME        {"enabled":BOOL} → app.Feature
//	GET    /api/v1/tokens               []TokenStatus, of join tokens
//	POST   /api/v1/tokens               TokenRequest → 201 NewToken
//	DELETE /api/v1/tokens/ID            204
//	POST   /api/v1/gossip/rotate        → Rotation; replaces the key of gossip, answers when that is done
//	GET    /api/v1/store                desired state as a bbolt file, for a backup
//
// For cells:
//
//	POST   /api/v1/join                 JoinRequest → JoinReply; by join token
//	POST   /api/v1/cells/ID/certificate Renewal → Renewal
//	GET    /api/v1/cells/ID/membership  stream of Membership
//	POST   /api/v1/cells/ID/ring        Confirmation → 204
//	GET    /api/v1/cells/ID/work        stream of app.Work
//	POST   /api/v1/cells/ID/report      app.Report → 204
//	GET    /api/v1/cells/ID/routing     stream of app.Routing, for a cell that is a router
//	POST   /api/v1/cells/ID/router      app.RouterReport → 204
//	POST   /api/v1/cells/ID/apps-certificate Renewal → Renewal, for names of apps
//	GET    /api/v1/cells/ID/sessions    stream of []app.Session, that the cell is to come for
//	GET    /api/v1/cells/ID/sessions/SID WebSocket: the cell's end of a session
//	POST   /api/v1/cells/ID/logs        lines as app.AppendLogLine writes them → 204
//	POST   /api/v1/cells/ID/log-cursors []string of GUIDs → map of GUID to the last Seq the brain has
//
// Bodies are JSON of at most 1 MiB (a cell's: 16 MiB). What a user sends must
// not have unknown fields; what a cell sends may, so that brain and cell can
// be of different versions. An app that is posted has one instance and 128 MiB
// unless it says otherwise, and else the defaults of app.App.WithDefaults.
//
// With ?dry_run=true a POST or PUT of an app, or of its number of instances,
// changes nothing and is answered with an app.Rehearsal: what would be placed
// where, and what would fit nowhere. Its errors are those of the real thing.
//
// Who posts an app, a task or a schedule, or puts an app, may send with it what its
// image is pulled with: X-Registry-Authorization, which is as the Authorization of
// basic authentication. It must be good for the image. It is kept encrypted as
// long as what it came with, and never shown.
//
// An update is the whole new app, which gets defaults as a new one does. Its
// revision must be the one that was seen: if the app has another by now, the
// answer is conflict. Changes that need new containers begin a rollout, which
// goes on after the answer; app.App's Rollout says how far it is. The values of
// the environment of an app and of its revisions are secrets; those of a task
// are never shown, and of its callback_url only the host is.
//
// A build makes an image of source, with a Dockerfile or with buildpacks, and is
// a task: its log, its end and its cancelling are those of one. Its result is an
// app.BuildOutcome in JSON. The values of its args are secrets. The source goes
// through the brain to the cell and is kept nowhere else; a build that gets none
// for 10 minutes fails.
//
// What a task runs is its spec, an app of which name, instances, checks and
// routes are left out. When it has ended and has a callback_url, the task is sent
// there by POST, as GET shows it. An answer of 2xx ends that; else it is tried
// again, up to 10 times within half an hour. The same call may come twice.
//
// An error is {"error":{"code":"not_found","message":"…"}}; errors.go has the
// codes. A message that tells several things has them on a line each.
//
// A stream is one JSON value a line, and an empty line every 15 s while there
// is nothing to say. With watch=true, and for work, the value is sent at once
// and whenever it has changed; who reads slowly misses values in between but
// never the newest. Routing is told in differences to what was sent before, none
// of which is left out. A stream that can't go on, because the app was removed or
// the brain stops, ends with an error as its last line; one that ends without
// was cut off, but for logs that don't follow. Events come as server-sent events
// to who accepts text/event-stream: resumed after Last-Event-ID, the error that
// ends them of the type end.
//
// # Sessions
//
// A session is a program that runs inside a container, or a connection into it.
// It is a WebSocket on which both sides send frames: binary messages of which the
// first byte is the channel (app.Channel).
//
//	0  to the instance: standard input; an empty frame is its end
//	1  from it: standard output; likewise
//	2  from it: standard error; likewise. With a terminal it is part of 1
//	3  control, as JSON; an empty frame is a sign of life and means nothing
//	4  from it, the last frame: {"code":N}, or {"code":N,"reason":"…"} when it is
//	   not that the program ended by itself
//
// The client's first frame is an app.SessionRequest on channel 3; a terminal for
// a shell is
//
//	{"kind":"shell","tty":true,"term":"xterm-256color","size":{"cols":80,"rows":24}}
//
// and after it come {"resize":{"cols":100,"rows":30}} and {"signal":"INT"}. What
// is wrong with the address or the caller is answered in HTTP; all that goes wrong
// later comes as channel 4. A frame that is sent has at most 32 KiB, one that is
// received may have 1 MiB. Who reads slowly slows the program down. The program is
// killed when the client goes; the session ends when its caller isn't welcome any
// more, its cell dies or is put out, the brain stops, or after 24 hours. A
// browser's page must be the brain's own (Origin).
package api
