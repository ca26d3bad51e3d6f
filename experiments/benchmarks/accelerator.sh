#!/bin/sh
# Measures the accelerator of this machine within 8 minutes; accelerator.py explains how.
#     bash experiments/benchmarks/accelerator.sh --out accelerator.json
folder=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$folder/../..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$folder/accelerator.py" "$@"
