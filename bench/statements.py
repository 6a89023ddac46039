"""What an order's two transitions write. The ceiling and every peer write exactly this: the rows that the worker writes.

Where the timeline's columns change, EVENT and REST follow them (and SETUP, for rows that they refer to); nothing
is measured if an order's two transitions leave anything but two rows there.
"""

EVENT = (
    "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id, note)"
    " SELECT id, updated_at, '{state}', 1, {rest} FROM moved"
)
# Worker, correlation id and note: only the first entry of an attempt has the worker, only its last one the warehouse's reference.
REST = {
    "processing": "'0123456789abcdef', NULL, NULL",
    "fulfilled": "'', NULL, 'simulated-order-' || id || '-1795831397067669'",
}
SETUP = "SELECT 1"
NOTED = "SELECT count(*) FROM fulfillment.events"

# As many as the worker puts into one commit.
BATCH = 500
# The next of the batches that two connections take in turn, as pgbench counts them.
NEXT_BATCH = f"\\set first (:round * 2 + :client_id) * {BATCH} + 1\n\\set round :round + 1\n"
IN_BATCH = f"= ANY (ARRAY(SELECT generate_series(:first::int, :first::int + {BATCH - 1})))"


def transition(which, old, new, events=True):
    """One durable transition of the orders whose id is `which`, guarded by the state that it leaves; one statement, one commit."""
    move = f"UPDATE orders SET status = '{new}', updated_at = clock_timestamp() WHERE id {which} AND status = '{old}'"
    return f"WITH moved AS ({move} RETURNING id, updated_at) {EVENT.format(state=new, rest=REST[new])}" if events else move


def ceiling(events=True):
    """A script for pgbench: batch after batch, each transition a commit of its own, nothing else."""
    steps = [("pending", "processing"), ("processing", "fulfilled")]
    return NEXT_BATCH + "".join(f"{transition(IN_BATCH, old, new, events)};\n" for old, new in steps)


# For one order, the parameter: what a peer executes.
BEGIN = transition("= $1", "pending", "processing")
CONCLUDE = transition("= $1", "processing", "fulfilled")
