// Package cells is a cell's agent: it takes the whole set of instances the
// brain wants here, compares it with what runs, and leads each instance through
// its life: image, container, check, restart, stop.
//
// The agent outlives the brain: what it runs is on its disk, and while the brain
// is away it goes on checking and restarting. Containers outlive the agent:
// after a restart it takes them over. It runs containers through a Runtime and
// connects them through a Network; implementations are in the folders below.
package cells
