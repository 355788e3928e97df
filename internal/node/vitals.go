package node

import (
	"lattice/app"
	"lattice/internal/doctor"
)

// vitals returns how this cell's host is.
func (c *cell) vitals() app.Vitals {
	var v app.Vitals
	free, total, files, err := doctor.DiskOf(c.cfg.DataDir)
	v.DiskFreeMB, v.DiskTotalMB, v.FilesFree = free, total, files
	if err != nil {
		v.Warnings = append(v.Warnings, "what is left on its disk can't be told: "+err.Error())
	}
	if w := c.net.Warning(); w != "" {
		v.Warnings = append(v.Warnings, "another firewall stands in the way: "+w)
	}
	if c.layersLn != nil {
		v.LayersPort = number(c.layersLn)
	}
	if cert := c.stay.certificate(); cert != nil && cert.Leaf != nil {
		v.CertificateEnds = cert.Leaf.NotAfter
	}
	return v
}
