// Orders as jobs of BullMQ. `enqueue` puts them into its queue in Redis, `work` works them off.

import { Queue, Worker } from "bullmq";
import pg from "pg";

const CONCURRENCY = 32;
const { ORDERS, REDIS_URL, DATABASE_URL, BEGIN_SQL, CONCLUDE_SQL } = process.env;
const connection = { url: REDIS_URL, maxRetriesPerRequest: null };
const orders = Number(ORDERS);

async function enqueue() {
  const queue = new Queue("orders", { connection });
  for (let first = 1; first <= orders; first += 1000) {
    const ids = Array.from({ length: Math.min(1000, orders - first + 1) }, (_, index) => first + index);
    await queue.addBulk(ids.map((order_id) => ({ name: "fulfill", data: { order_id } })));
  }
  await queue.close();
}

async function work() {
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: CONCURRENCY });
  let left = orders;
  const worker = new Worker(
    "orders",
    async ({ data: { order_id } }) => {
      await pool.query({ name: "begin", text: BEGIN_SQL, values: [order_id] });
      // Here it would be fulfilled.
      await pool.query({ name: "conclude", text: CONCLUDE_SQL, values: [order_id] });
    },
    { connection, concurrency: CONCURRENCY, removeOnComplete: { count: 1000 } },
  );
  worker.on("completed", async () => {
    left -= 1;
    if (left === 0) {
      await worker.close();
      await pool.end();
    }
  });
}

await (process.argv[2] === "enqueue" ? enqueue() : work());
