#!/usr/bin/env bash
# The nightly job on this machine, from an archive of pictures to a release.
#
#   jobs/demo.sh [ARCHIVE] [OPTION...]
#
# ARCHIVE, if given, comes first: a zip, a folder, or a URL. Without it a sample of procedural
# paintings is made and used. Everything is written to ./artrec-demo. Each OPTION goes to the job:
#
#   jobs/demo.sh wikiart.zip --set neighbors.k=20 --set store.root=/data/artrec
#
# The exit status is the job's: 0 done, 4 archive unreadable, 6 stopped (the same command goes on).
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
out=$PWD/artrec-demo

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

is_set() { # KEY ARGUMENT...: whether a --set among the arguments names KEY
  local key=$1 before='' argument
  shift
  for argument in "$@"; do
    case $before$argument in "--set$key="* | *"--set=$key="*) return 0 ;; esac
    before=$argument
  done
  return 1
}

make_sample() { # PATH; under another name until it is whole
  local unfinished=$out/unfinished.zip told
  mkdir -p -- "$out"
  rm -f -- "$unfinished"
  printf 'demo: making a sample of 600 pictures, %s\n' "$1" >&2
  told=$("$bin/artrec" sample "$unfinished" --images 600 --seed 1 --broken 6)
  mv -- "$unfinished" "$1"
  printf '%s%s\n' "$1" "${told#"$unfinished"}"
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  '' | -*) archive='' ;;
  *://* | /*) archive=$1 ;;
  *) archive=$PWD/$1 ;;
esac
if [ -n "$archive" ]; then shift; fi
case $archive in
  '' | *://*) ;;
  *)
    if [ ! -e "$archive" ]; then
      printf 'demo: no such archive: %s\n' "$archive" >&2
      exit 4
    fi
    ;;
esac

environment=$(bash "$root/docker/setup.sh")
eval "$environment"
bin=$(dirname -- "$PYSPARK_PYTHON")

if [ -z "$archive" ] && ! is_set sources.main.url "$@"; then
  # a look at the job should take a minute or two; one's own pictures are trained on as they deserve
  if ! is_set train.steps "$@"; then set -- --set train.steps=60 "$@"; fi
  archive=$out/sample.zip
  if [ ! -e "$archive" ]; then make_sample "$archive"; fi
fi
if ! is_set store.root "$@"; then set -- --set "store.root=$out/store" "$@"; fi
if [ -n "$archive" ]; then set -- --set "sources.main.url=$archive" "$@"; fi

exec "$bin/spark-submit" --master 'local[*,4]' --properties-file "$root/conf/spark-local.conf" \
  "$root/jobs/nightly.py" --config "$root/conf/local.yaml" "$@"
