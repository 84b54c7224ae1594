// A relay of Traefik's own TCP router, service and proxy, for a file of its own format: `entryPoints` as in its static
// configuration (one of them, and its address), `tcp` as in its dynamic one. The whole of Traefik does not build from its
// module alone. Ours is the accept loop, which does what its entry point does; what follows is imported, and as it is.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/traefik/paerser/file"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/config/runtime"
	"github.com/traefik/traefik/v3/pkg/safe"
	tcpmiddleware "github.com/traefik/traefik/v3/pkg/server/middleware/tcp"
	tcprouter "github.com/traefik/traefik/v3/pkg/server/router/tcp"
	tcpservice "github.com/traefik/traefik/v3/pkg/server/service/tcp"
	"github.com/traefik/traefik/v3/pkg/tcp"
	"github.com/traefik/traefik/v3/pkg/tls"
)

// Traefik's defaults, from packages that need all of it.
const (
	entryPointReadTimeout = 60 * time.Second
	entryPointKeepAlive   = 3 * time.Minute
)

type configuration struct {
	EntryPoints struct{ Edge struct{ Address string } }
	TCP         *dynamic.TCPConfiguration
}

func main() {
	zerolog.SetGlobalLevel(zerolog.ErrorLevel)
	if len(os.Args) != 2 {
		log.Fatal("usage: traefik-tcp FILE.yaml")
	}
	var config configuration
	if err := file.Decode(os.Args[1], &config); err != nil {
		log.Fatal(err)
	}
	router, err := newRouter(config.TCP)
	if err != nil {
		log.Fatal(err)
	}
	listen := net.ListenConfig{KeepAlive: entryPointKeepAlive}
	listener, err := listen.Listen(context.Background(), "tcp", config.EntryPoints.Edge.Address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Print(err)
			continue
		}
		safe.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(entryPointReadTimeout))
			router.ServeTCP(conn.(*net.TCPConn))
		})
	}
}

// As in Traefik's RouterFactory.
func newRouter(config *dynamic.TCPConfiguration) (*tcprouter.Router, error) {
	conf := runtime.NewConfig(dynamic.Configuration{TCP: config})
	dialers := tcp.NewDialerManager(nil)
	transport := &dynamic.TCPServersTransport{}
	transport.SetDefaults()
	dialers.Update(map[string]*dynamic.TCPServersTransport{"default@internal": transport})
	services := tcpservice.NewManager(conf, dialers)
	middlewares := tcpmiddleware.NewBuilder(conf.TCPMiddlewares)
	manager := tcprouter.NewManager(conf, services, middlewares, nil, nil, tls.NewManager(nil), nil)
	router := manager.BuildHandlers(context.Background(), []string{"edge"})["edge"]
	for name, info := range conf.TCPRouters {
		if len(info.Err) > 0 {
			return nil, fmt.Errorf("router %s: %v", name, info.Err)
		}
	}
	return router, nil
}
