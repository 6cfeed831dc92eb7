// Puts on etcd, for bench-peers.sh: CLIENTS connections, PIPELINE operations of each in flight, for SECONDS,
// 100-byte values on RECORDS keys; prints what `kvbench --json` would. Built against Debian's
// golang-etcd-server-dev; etcd has no C client.
package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
)

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: etcd-load ENDPOINT,... CLIENTS PIPELINE SECONDS RECORDS")
		os.Exit(2)
	}
	endpoints := strings.Split(os.Args[1], ",")
	clients, pipeline, seconds, records := number(2), number(3), number(4), number(5)
	var wait sync.WaitGroup
	var lock sync.Mutex
	var all []float64
	failed := 0
	value := strings.Repeat("v", 100)
	begin := time.Now()
	end := begin.Add(time.Duration(seconds) * time.Second)
	for c := 0; c < clients; c++ {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: endpoints[c%len(endpoints) : c%len(endpoints)+1], DialTimeout: 5 * time.Second})
		if err != nil {
			panic(err)
		}
		for p := 0; p < pipeline; p++ {
			wait.Add(1)
			go func(seed int64) {
				defer wait.Done()
				r := rand.New(rand.NewSource(seed))
				var mine []float64
				bad := 0
				for start := time.Now(); start.Before(end); start = time.Now() {
					key := fmt.Sprintf("user%d", r.Intn(records))
					if _, err := client.Put(context.Background(), key, value); err != nil {
						bad++
					} else {
						mine = append(mine, float64(time.Since(start).Microseconds()))
					}
				}
				lock.Lock()
				all = append(all, mine...)
				failed += bad
				lock.Unlock()
			}(int64(c*pipeline + p))
		}
	}
	wait.Wait()
	took := time.Since(begin).Seconds()
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "etcd-load: nothing worked")
		os.Exit(1)
	}
	sort.Float64s(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))] }
	fmt.Printf(`{"workload":"put","ops":%d,"ops_per_s":%f,"failures":{"any":%d},"update":{"p50_us":%.0f,"p99_us":%.0f}}`+"\n",
		len(all), float64(len(all))/took, failed, at(0.5), at(0.99))
}
