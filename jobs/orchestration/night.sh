#!/usr/bin/env bash
# One night, for cron or any scheduler that runs a command and looks at its exit code.
#
#   jobs/orchestration/night.sh [RELEASE]
#
# RELEASE is the night's name, else the UTC date. Silent when all is well, so that cron mails only
# what somebody has to read. Everything said is in NIGHT_LOGS/RELEASE.log. From the environment:
#
#   NIGHT_SUBMIT   what runs a job            spark-submit --properties-file conf/spark-local.conf
#   NIGHT_OPTIONS  the job's options          --config conf/local.yaml
#   NIGHT_LOGS     a folder for logs and lock ./artrec-logs
#   NIGHT_ROOT     the store, where the      (unset)
#                  driver runs elsewhere: the code is read from there
#   NIGHT_TRIES    tries in all               3
#   NIGHT_PAUSE    seconds between them       900
#
# Exit status: the job's. It is tried again after 1, 6, 8, 130, 137 and 143; after 2, 3, 4, 5 and 7
# somebody has to act first.
set -uof pipefail # f: local[*,4] is no pattern

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." || exit 1
release=${1:-$(date -u +%F)}
submit=${NIGHT_SUBMIT:-spark-submit --properties-file conf/spark-local.conf --master local[*,4]}
options=${NIGHT_OPTIONS:---config conf/local.yaml}
logs=${NIGHT_LOGS:-./artrec-logs}
mkdir -p -- "$logs" || exit 1
log=$logs/$release.log

exec 9>"$logs/lock"
if ! flock -n 9; then
  printf 'night: another night of this machine is still running (%s)\n' "$logs/lock" >&2
  exit 8
fi

code=1
for ((try = 1; try <= ${NIGHT_TRIES:-3}; try++)); do
  [ "$try" = 1 ] || sleep "${NIGHT_PAUSE:-900}"
  begun=$(date -u +%FT%TZ)
  printf 'night: %s, try %s, %s\n' "$release" "$try" "$begun" >>"$log"
  # shellcheck disable=SC2086 # both are words on purpose
  $submit jobs/nightly.py $options --release "$release" >>"$log" 2>&1 9>&-
  code=$?
  if [ "$code" != 0 ] && [ -n "${NIGHT_ROOT:-}" ]; then
    artrec outcome "$release" --root "$NIGHT_ROOT" --since "$begun" --exit >>"$log" 2>&1
    told=$?
    if [ "$told" != 2 ]; then code=$told; fi # 2: there is none
  fi
  case $code in
    0) exit 0 ;;
    1 | 6 | 8 | 130 | 137 | 143) ;;
    *) break ;;
  esac
done

printf 'night: %s ended with %s; the last lines of %s:\n\n' "$release" "$code" "$log" >&2
tail -n 20 -- "$log" >&2
exit "$code"
