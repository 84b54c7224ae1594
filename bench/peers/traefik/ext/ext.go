// Package ext stands in for the one that Traefik's own go.mod replaces by a folder, and that its module does not have:
// fields that vendors add to its HTTP configuration. No TCP router reads them.
package ext

// HTTP is embedded in Traefik's HTTP configuration.
type HTTP struct{}

// Router is embedded in that of an HTTP router.
type Router struct{}
