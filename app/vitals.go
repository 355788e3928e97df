package app

import "time"

// Vitals is how the host of a cell is, as the cell tells with each report.
type Vitals struct {
	At              time.Time `json:"at,omitzero"` // by the cell's clock
	DiskFreeMB      int       `json:"disk_free_mb"`
	DiskTotalMB     int       `json:"disk_total_mb"`
	FilesFree       int64     `json:"files_free"`                // inodes; -1: no limit is known
	CertificateEnds time.Time `json:"certificate_ends,omitzero"` // of the cell's own
	Warnings        []string  `json:"warnings,omitempty"`        // what is wrong there, such as a firewall in the way

	LayersPort int `json:"layers_port,omitempty"` // where it gives layers of images to other cells; 0: nowhere

	// Set by the brain.
	Ahead Duration `json:"ahead"` // of the brain's clock, by what a report took at the most; negative: behind
}
