"""Says whether a predecessor's worker was replaced: `docker compose config --format json` on standard input."""

import json
import sys

worker = json.load(sys.stdin)["services"]["worker"]
GONE = """build develop pull_policy platform entrypoint working_dir user volumes
cap_add privileged devices device_cgroup_rules group_add userns_mode cgroup pid ipc uts
mem_reservation memswap_limit cpus""".split()
wrong = [f"{key} is {worker[key]}" for key in GONE if worker.get(key)]
deploy = worker.get("deploy") or {}
wrong += [f"deploy.{key} is {deploy[key]}" for key in ("resources", "restart_policy") if deploy.get(key)]


def expect(name, found, expected):
    if found != expected:
        wrong.append(f"{name} is {found}, not {expected}")


expect("image", worker.get("image"), "fulfillment-worker:local")
expect("command", worker.get("command"), ["run"])
expect("healthcheck", worker["healthcheck"]["test"], ["CMD", "fulfillment-worker", "healthcheck"])
expect("read_only", worker.get("read_only"), True)
expect("cap_drop", worker.get("cap_drop"), ["ALL"])
expect("security_opt", worker.get("security_opt"), ["no-new-privileges:true"])
expect("mem_limit", int(worker["mem_limit"]), 512 << 20)
expect("pids_limit", worker.get("pids_limit"), 256)
expect("restart", worker.get("restart"), "unless-stopped")
expect("stop_grace_period", worker.get("stop_grace_period"), "30s")
# The other one's, which mean the same here.
expect("ports", [port["target"] for port in worker["ports"]], [2112])
expect("depends_on", sorted(worker["depends_on"]), ["postgres", "redis"])
for name in ("REDIS_URL", "POSTGRES_HOST", "POSTGRES_PASSWORD", "POSTGRES_DB", "SERVICE_NAME", "LOG_LEVEL"):
    if not worker["environment"].get(name):
        wrong.append(f"{name} is gone")
if wrong:
    sys.exit("error: deploy/compose.replace.yaml: " + "; ".join(wrong))
