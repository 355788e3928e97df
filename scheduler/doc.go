// Package scheduler is the brain's core: it knows the apps, their placements
// and what the cells report, decides what runs where, and tells everybody who
// asks.
//
// The decision is the pure function Plan. Scheduler is the shell around it:
// a change is written to the store, the loop plans and writes the placements,
// and only then do cells see them in their Work. It learns who is alive from
// cluster through a function, and knows nothing of HTTP, gossip or containers.
package scheduler
