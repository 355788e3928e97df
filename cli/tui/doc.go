// Package tui is the full-screen views of the terminal: the cells as boxes with
// their instances as dots, and the instances that use the most. A view is drawn
// from what the brain tells as it changes; it asks for nothing on a tick.
package tui
