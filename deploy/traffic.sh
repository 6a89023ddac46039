#!/bin/sh
# Places orders without end, as an order API would: those of a file with the columns of tests/data, over and over, some
# each second. An outage is waited out.
# Usage: deploy/traffic.sh ORDERS.csv ORDERS_EACH_SECOND [OPTION OF submit ...]
# FULFILLMENT_WORKER_PROGRAM is the binary, where it is not on the path.
set -eu

file=$1
each=$2
shift 2
program=${FULFILLMENT_WORKER_PROGRAM:-fulfillment-worker}
orders=$(($(wc -l <"$file") - 1))
# The first process of a container gets no signal that it doesn't ask for.
trap 'exit 0' TERM INT

placed=0
while :; do
  { head -n 1 "$file" && tail -n +$((placed + 2)) "$file" | head -n "$each"; } |
    "$program" submit - --format csv --wait 5s --skip-invalid --column product=Description --column quantity=Quantity \
      --column price=UnitPrice --column correlation_id=InvoiceNo "$@" ||
    echo "no orders were placed this time; trying again" >&2
  placed=$(((placed + each) % orders))
  # In the background, so that a signal is heard at once.
  sleep 1 &
  wait $!
done
