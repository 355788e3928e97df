// Package app has the nouns of the platform: apps, instances, placements,
// cells, log lines, and the errors that cross package borders. It decides
// nothing and imports only the standard library. Values are plain data; a
// value that was handed to another package must not be changed any more.
package app
