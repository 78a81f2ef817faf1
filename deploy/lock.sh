#!/bin/sh
# Resolves the project with all extras that run in one environment (vllm brings its own torch
# and is pinned in pyproject.toml; of the extra ray, dev has what runs on actors) and writes constraints.txt.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
# shellcheck disable=SC2086  # PIP_ARGS is a list of words
"$folder/venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-compile ${PIP_ARGS:-} \
    -c constraints.in -e '.[bench,dev,k8s,quality]'
{
    echo "# Written by \`make lock\`: every package of the runtime and of the extras bench, dev, k8s and quality,"
    echo "# resolved together under constraints.in. Change that file or pyproject.toml, not this one."
    "$folder/venv/bin/python" -m pip freeze --exclude-editable |
        # The build of a package (torch's +cpu) and where it came from are the machine's business.
        sed -E 's/^([A-Za-z0-9._-]+) @ .*[/]\1-([0-9][0-9a-z.]*).*/\1==\2/; s/\+[a-z0-9.]+$//' |
        # CUDA libraries follow torch and exist for some platforms only.
        grep -viE '^(nvidia-|cuda-|triton)'
} > "$folder/constraints.txt"
mv "$folder/constraints.txt" constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) packages"
