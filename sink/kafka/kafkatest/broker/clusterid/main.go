// Command clusterid asks the Kafka broker at an address for its cluster id and
// prints it. It is how broker.sh learns whose broker answers on a port:
//
//	clusterid HOST:PORT
//
// Exit status 1: nothing listens there. 2: something does, but it does not
// answer as Kafka does within three seconds.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 3 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: clusterid HOST:PORT")
		os.Exit(64)
	}
	addr := os.Args[1]
	if err := dial(addr); err != nil {
		fmt.Fprintln(os.Stderr, "clusterid:", err)
		os.Exit(1)
	}
	id, err := ask(addr)
	if err != nil {
		if dial(addr) != nil { // it was just ending
			fmt.Fprintln(os.Stderr, "clusterid:", err)
			os.Exit(1)
		}
		fmt.Fprintf(os.Stderr, "clusterid: %s does not answer as Kafka: %v\n", addr, err)
		os.Exit(2)
	}
	fmt.Println(id)
}

func dial(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	return conn.Close()
}

func ask(addr string) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := kadm.NewClient(client).BrokerMetadata(ctx)
	return m.Cluster, err
}
