#!/usr/bin/env bash
# Packs an environment for spark-submit --archives: artrec and its packages, without Spark.
#
#   docker/pack.sh [OUT]          OUT: artrec-environment.tar.gz, unless given
#
# Read: PYTHON (else python3), which the machines of the cluster must have at the same path;
# TORCH=no leaves torch and CUDA out, for the hand-made encoder alone; ANNOY_COMPILER_ARGS.
# Exit status: 0 packed, 1 an installation failed or the packed environment does not start, 2 usage.
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
out=${1:-artrec-environment.tar.gz}
case $#:$out in [01]:[!-]*) ;; *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" >&2; exit 2 ;; esac
case $out in /*) ;; *) out=$PWD/$out ;; esac
work=$(mktemp -d "${TMPDIR:-/tmp}/artrec-pack.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
say() { printf 'pack: %s\n' "$*" >&2; }

# Spark brings its own pyspark, in the version of the cluster.
without='pyspark; python_version < "3"'
if [ "${TORCH:-yes}" = no ]; then without="$without
torch; python_version < \"3\""; fi
printf '%s\n' "$without" >"$work/without.txt"
flags=-O3,-ffast-math,-fno-associative-math,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD,-fpermissive
export ANNOY_COMPILER_ARGS="${ANNOY_COMPILER_ARGS:-$flags}" # code for any processor of this kind

say 'installing'
"${PYTHON:-python3}" -m venv --copies "$work/environment"
# uv then writes programs that look for their Python beside them, not where it is now.
printf 'relocatable = true\n' >>"$work/environment/pyvenv.cfg"
"${PYTHON:-python3}" -m venv "$work/installer"
cd "$root"
"$work/installer/bin/pip" install -q -c docker/constraints-modern.txt uv
"$work/installer/bin/uv" pip install -q --python "$work/environment/bin/python" --link-mode copy \
  -c docker/constraints-modern.txt --override "$work/without.txt" .
rm -rf -- "$work/environment"/lib/python3*/site-packages/{pip,pip-*}
rm -f -- "$work/environment"/bin/{pip*,activate*,Activate.ps1} # they name this folder

say 'packing'
tar -C "$work/environment" --owner=0 --group=0 -czf "$work/packed.tar.gz" .
mv -- "$work/environment" "$work/elsewhere" # as on a machine of the cluster
"$work/elsewhere/bin/python" -c 'import artrec.cli, annoy, pandas, pyarrow, PIL'
"$work/elsewhere/bin/artrec" --version >/dev/null
mv -- "$work/packed.tar.gz" "$out"
say "$out: $(du -h "$out" | cut -f1), unpacked $(du -sh "$work/elsewhere" | cut -f1)"
