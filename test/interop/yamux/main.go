// The reference: hashicorp/yamux, in either role, over TCP or WebSocket, for our session to talk with.
//
//	yamux-peer -role server|client [-websocket]
//
// It listens on loopback, prints its port, and makes one session of each connection. A stream that it accepts begins with a
// line that says what it is to do:
//
//	echo             every byte back, until FIN
//	sum              SHA-256 of all bytes up to FIN, in hex
//	send N           N bytes, byte i being i*31>>3, then FIN
//	stall            reads nothing until the stream ends
//	close            FIN at once, and reads on; then "late" can't be sent, and all is well
//	open K N         opens K streams to us, each with N bytes and their echo compared; then "ok K" or what went wrong
//	ping             its round trip, in nanoseconds
//	goaway           tells us that it goes; the streams stay
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/yamux"
	"golang.org/x/net/websocket"
)

func pattern(from, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte((from + i) * 31 >> 3)
	}
	return out
}

func serve(session *yamux.Session, stream *yamux.Stream) {
	defer stream.Close()
	reader := bufio.NewReader(stream)
	line, err := reader.ReadString('\n')
	if err != nil {
		return
	}
	words := strings.Fields(line)
	number := func(i int) int {
		n, _ := strconv.Atoi(words[i])
		return n
	}
	switch words[0] {
	case "echo":
		io.Copy(stream, reader)
	case "sum":
		hash := sha256.New()
		io.Copy(hash, reader)
		fmt.Fprint(stream, hex.EncodeToString(hash.Sum(nil)))
	case "send":
		n := number(1)
		for at := 0; at < n; at += 100_000 {
			stream.Write(pattern(at, min(100_000, n-at)))
		}
	case "stall":
		<-session.CloseChan()
	case "close":
		stream.Close()
		io.Copy(io.Discard, reader)
	case "open":
		fmt.Fprint(stream, openMany(session, number(1), number(2)))
	case "ping":
		rtt, err := session.Ping()
		fmt.Fprint(stream, rtt.Nanoseconds(), err)
	case "goaway":
		fmt.Fprint(stream, session.GoAway())
	}
}

func openMany(session *yamux.Session, count, size int) string {
	var group sync.WaitGroup
	faults := make(chan string, count)
	for i := 0; i < count; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			stream, err := session.OpenStream()
			if err != nil {
				faults <- err.Error()
				return
			}
			sent := pattern(i, size)
			go func() {
				stream.Write(sent)
				stream.Close()
			}()
			got, err := io.ReadAll(stream)
			if err != nil || !bytes.Equal(got, sent) {
				faults <- fmt.Sprintf("stream %d: %d of %d bytes, %v", i, len(got), size, err)
			}
		}()
	}
	group.Wait()
	close(faults)
	for fault := range faults {
		return fault
	}
	return fmt.Sprintf("ok %d", count)
}

func run(conn io.ReadWriteCloser, role string) {
	config := yamux.DefaultConfig()
	config.LogOutput = os.Stderr
	var session *yamux.Session
	var err error
	if role == "server" {
		session, err = yamux.Server(conn, config)
	} else {
		session, err = yamux.Client(conn, config)
	}
	if err != nil {
		log.Fatal(err)
	}
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go serve(session, stream)
	}
}

func main() {
	role := flag.String("role", "server", "server or client, of yamux")
	overWebSocket := flag.Bool("websocket", false, "each connection is a WebSocket")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if *overWebSocket {
		log.Fatal(http.Serve(listener, websocket.Server{Handler: func(conn *websocket.Conn) {
			conn.PayloadType = websocket.BinaryFrame
			run(conn, *role)
		}}))
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go run(conn, *role)
	}
}
