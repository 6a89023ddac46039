#!/usr/bin/env bash
# Searches for inputs that break a reader of other people's bytes: libFuzzer, guided by coverage, for each target of
# tests/fuzz. An input that fails is kept in tests/fuzz/__fuzz__/TARGET/crashes, where `cargo test` finds it, too.
# Usage: scripts/fuzz.sh EXECUTIONS SEED [TARGET ...]
#   EXECUTIONS  of all targets together, an equal share each
#   SEED        the same seed, corpus and build try the same inputs; 0 for another one each time
#   TARGET      a test of tests/fuzz by its name; all of them if there is none
# FUZZ_JOBS says how many targets at once (2). With FUZZ_KEEP=1, inputs that reach code which no input of the
# repository's corpus does are added to it afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

export total=${1:?how many executions} seed=${2:?a seed} keep=${FUZZ_KEEP:-0}
shift 2
output=${CARGO_TARGET_DIR:-target}/fuzz
export output
mkdir -p "$output/logs"

if ! command -v c++ >/dev/null; then
  echo "error: libFuzzer is built with a C++ compiler, and there is none: install g++, or Debian's build-essential" >&2
  exit 1
fi

# As cargo-bolero builds, but for the sanitizer: that needs a nightly compiler, and there is no unsafe code here for it to
# watch. cargo-bolero itself would build every test of the package. Cargo links the worker's binary for any test, and that
# one is never run: it has no libFuzzer, whose symbols the linker is not to ask for.
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="--cfg fuzzing --cfg fuzzing_libfuzzer -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
  -Clink-arg=-Wl,--unresolved-symbols=ignore-all"
build() {
  RUSTFLAGS="$coverage" BOLERO_FUZZER=libfuzzer cargo test --locked --profile fuzz --target "$host" \
    --target-dir "$output/build" --test fuzz --no-run "$@"
}
build
binary=$(build --message-format json 2>/dev/null | sed -n 's/.*"name":"fuzz".*"executable":"\([^"]*\)".*/\1/p')
export binary

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <("$binary" --list --format terse | sed -n 's/: test$//p')
fi
export executions=$((total / ${#targets[@]}))

# libfuzzer TARGET LOG ARGUMENT...: one process of it.
libfuzzer() {
  local target=$1 log=$2
  shift 2
  BOLERO_LIBFUZZER_ARGS="$*" "$binary" "$target" --exact --nocapture --test-threads 1 >"$log" 2>&1
}

# search TARGET: fails if an input does.
search() {
  local target=$1
  local log=$output/logs/$target.log known=tests/fuzz/__fuzz__/$target found=$output/corpus/$target status=ok
  # Begins with the repository's corpus alone, so that the seed stands for the same inputs.
  rm -rf "$found"
  mkdir -p "$found" "$known/crashes"
  libfuzzer "$target" "$log" "$found" "$known/corpus" "$known/crashes" "-runs=$executions" "-seed=$seed" -max_len=4096 \
    -timeout=10 -dict=tests/fuzz/dictionary "-artifact_prefix=$known/crashes/" -print_final_stats=1 || status=FAILED
  awk -v target="$target" -v status="$status" '
    $2 == "INITED" { before = $4 }
    $2 == "DONE" { executed = substr($1, 2); after = $4; features = $6; corpus = $8 }
    END { printf "%-66s %9d executions, coverage %4d -> %4d, %5d features, corpus %s: %s\n",
      target, executed, before, after, features, corpus, status }' "$log"
  rmdir "$known/crashes" 2>/dev/null || true
  if [ "$status" != ok ]; then
    tail -n 40 "$log"
    return 1
  fi
  if [ "$keep" = 1 ]; then
    libfuzzer "$target" "$output/logs/$target.merge.log" -merge=1 -use_counters=0 "$known/corpus" "$found"
  fi
}
export -f libfuzzer search

started=$SECONDS
printf '%s\n' "${targets[@]}" | xargs -P "${FUZZ_JOBS:-2}" -I '{}' bash -euo pipefail -c 'search "{}"' || failed=1
logs=("${targets[@]/#/$output/logs/}")
executed=$(cat "${logs[@]/%/.log}" | awk '/^stat::number_of_executed_units:/ { sum += $2 } END { print sum + 0 }')
if [ -n "${failed:-}" ]; then
  echo "an input fails; see above" >&2
  exit 1
fi
echo "$executed executions in $((SECONDS - started)) s with seed $seed: none fails"
