#!/usr/bin/env bash
# Runs the op's tests in several versions of torch with the one binary that is built.
#
#   PYTHON=.venv/bin/python tests/torch_versions.sh 2.11.0 2.13.0 2.14.1
#
# Each version gets an environment of its own under .venv-torch (about 5 GB for a CUDA build), kept
# for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

sha256sum ffdwv_fast/libffdwv_fast.so
for version in "$@"; do
  env=.venv-torch/$version
  if [ ! -e "$env/.installed" ]; then
    "$python" -m venv "$env"
    "$env/bin/pip" install --quiet "torch==$version" numpy pytest hypothesis
    touch "$env/.installed"
  fi
  echo "== torch $version"
  "$env/bin/python" -m pytest --quiet tests/loss tests/loss_variants
done
sha256sum ffdwv_fast/libffdwv_fast.so
