// Package logfile keeps the logs of a cell's instances on disk, bounded, from
// the moment a line was written until the brain has it.
//
// Each log has a folder of its own, named by its GUID:
//
//	LOGROOT/GUID/meta                       whose log it is and its limit
//	LOGROOT/GUID/00000000000000000001.log   lines, the first has Seq 1
//	LOGROOT/GUID/00000000000000052013.log   and so on; the oldest go first
//
// meta and the segments are lines as app.AppendLogLine writes them; in segments
// the fields that meta knows are left empty. One process, a Writer, appends
// and drops the oldest segment when the log is full. It syncs nothing: what it
// wrote survives its own death, not that of the machine, and neither do the
// containers. A torn last line is cut off when the log is opened again; a
// Reader never takes a line for whole before its newline is there.
//
// A Shipper delivers all logs under LOGROOT. It keeps no books: it asks the
// brain what it has, and goes on from there.
package logfile
