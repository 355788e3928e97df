// Package images is the brain's registry: the one that users push to, and the
// way by which every image of other registries comes into the cluster. What it
// has fetched once it keeps, so layers come in once however many cells run them,
// and more instances start while the other registry is down. The names of images
// become digests here, once, so that all instances of an app run the same bits.
//
// It alone knows how registries are reached and with what credentials: cells
// ask the brain, and show their certificate.
package images
