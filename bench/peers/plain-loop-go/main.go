// A worker in Go as it is often written first: BRPOP, then two UPDATEs, one order at a time. A crash loses the order that it
// has in hand. Built with Debian's golang-github-gomodule-redigo-dev and golang-github-lib-pq-dev.
package main

import (
	"database/sql"
	"encoding/json"
	"log"
	"os"
	"strconv"

	"github.com/gomodule/redigo/redis"
	_ "github.com/lib/pq"
)

type order struct {
	OrderID int `json:"order_id"`
}

func main() {
	orders, err := strconv.Atoi(os.Getenv("ORDERS"))
	check(err)
	queue, err := redis.DialURL(os.Getenv("REDIS_URL"))
	check(err)
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL")+"?sslmode=disable")
	check(err)
	begin, err := db.Prepare(os.Getenv("BEGIN_SQL"))
	check(err)
	conclude, err := db.Prepare(os.Getenv("CONCLUDE_SQL"))
	check(err)
	for i := 0; i < orders; i++ {
		message, err := redis.ByteSlices(queue.Do("BRPOP", "fulfillment_queue", 0))
		check(err)
		var o order
		check(json.Unmarshal(message[1], &o))
		_, err = begin.Exec(o.OrderID)
		check(err)
		// Here it would be fulfilled.
		_, err = conclude.Exec(o.OrderID)
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
