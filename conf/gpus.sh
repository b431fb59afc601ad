#!/bin/sh
# The GPUs of this machine as Spark asks for them: {"name": "gpu", "addresses": ["0", "1"]}.
# Addresses are torch's numbers: places among those that are visible to this process.
if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
  count=$(printf '%s' "$CUDA_VISIBLE_DEVICES" | tr ',' '\n' | grep -c .)
else
  count=$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | grep -c .)
fi
addresses=$(seq -s ', ' 0 $((count - 1)) | sed 's/[0-9][0-9]*/"&"/g')
[ "$count" -gt 0 ] || addresses=
printf '{"name": "gpu", "addresses": [%s]}\n' "$addresses"
