#!/usr/bin/env bash
# Makes ready what both commands stand on: Python packages in .venv, Java, a C++ compiler.
#
#   docker/setup.sh [--test] [--line LINE]
#
# --test adds what the tests need. A line is a set of versions that work together, one of
# docker/constraints-*.txt: modern, unless given, or petastorm, which has petastorm too.
# Run it as often as you like; with nothing to do it takes a fraction of a second. Progress goes to
# stderr. On stdout it prints the environment for Spark, to be taken over by eval "$(...)".
# Read: ARTREC_VENV (default in the repository: .venv, for the line petastorm .venv-petastorm),
# PYTHON, JAVA_HOME, ANNOY_COMPILER_ARGS.
# Exit status: 0 ready, 1 an installation failed, 2 usage, 3 something is missing on this machine.
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
missing=''

say() { printf 'setup: %s\n' "$*" >&2; }

quiet() { "$@" >>"$log" 2>&1 </dev/null; }

works() { "$@" >/dev/null 2>&1 </dev/null; }

# What a failing installer said, without the credentials that an address may hold.
fail() {
  tail -n 40 "$log" | sed 's#://[^/@[:space:]]*@#://***@#g' >&2
  say "$*"
  exit 1
}

lacks() { # WHAT DEBIAN FEDORA MACOS
  missing="$missing
  $1
    Debian, Ubuntu: apt-get install $2
    Fedora:         dnf install $3
    macOS:          $4"
}

# Installs the first package that the machine's package manager knows; fails unless root.
system_install() { # APT DNF APK, each a list of candidates
  local manager packages package
  [ "$(id -u)" = 0 ] || return 1
  for manager in apt-get dnf yum apk ''; do
    if [ -n "$manager" ] && command -v "$manager" >/dev/null; then break; fi
  done
  case $manager in
    apt-get)
      packages=$1
      quiet env DEBIAN_FRONTEND=noninteractive apt-get update || true
      ;;
    dnf | yum) packages=$2 ;;
    apk) packages=$3 ;;
    *) return 1 ;;
  esac
  for package in $packages; do
    say "installing $package ($manager)"
    case $manager in
      apt-get)
        set -- env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends
        ;;
      apk) set -- apk add ;;
      *) set -- "$manager" install -y ;;
    esac
    if quiet "$@" "$package"; then return 0; fi
  done
  return 1
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && python=$(command -v "$candidate") &&
      works "$python" -c "import sys; sys.exit(not $pythons)"; then
      return 0
    fi
  done
  return 1
}

# Sets java_home when JAVA is from 17 to NEWEST. The property reads 1.8, 17, 21 in every build.
java_fits() { # JAVA NEWEST
  local settings version
  settings=$("$1" -XshowSettings:properties -version 2>&1 </dev/null) || return 1
  version=$(sed -n 's/^ *java\.specification\.version = \([0-9]*\).*/\1/p' <<<"$settings")
  java_home=$(sed -n 's/^ *java\.home = //p' <<<"$settings")
  [ "${version:-0}" -ge 17 ] && [ "$version" -le "$2" ] && [ -x "$java_home/bin/java" ]
}

# Spark 4 is made for 17 and 21; a newer one is taken where there is nothing else.
find_java() {
  local candidate newest
  for newest in 21 999; do
    for candidate in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java)" \
      /usr/lib/jvm/*/bin/java /opt/homebrew/opt/openjdk*/bin/java /usr/local/opt/openjdk*/bin/java \
      /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
      if [ -x "$candidate" ] && java_fits "$candidate" "$newest"; then return 0; fi
    done
  done
  return 1
}

has_compiler() {
  local candidate
  for candidate in g++ c++ clang++; do
    if works "$candidate" --version; then return 0; fi
  done
  return 1
}

has_headers() {
  works "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

has_venv() { works "$python" -c 'import ensurepip, venv'; }

# Python, and what a first installation needs besides: venv, a compiler and headers for annoy.
check_python() {
  local debian
  if ! find_python; then
    lacks "Python $python_words (or name one: PYTHON=/path/to/python3.11)" \
      'python3 python3-venv python3-dev' 'python3 python3-devel' 'brew install python@3.12'
    return 0
  fi
  debian=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  if ! has_venv; then
    if ! system_install "$debian-venv python3-venv" python3 python3 || ! has_venv; then
      lacks "the venv module of $python" "$debian-venv" python3 'brew install python@3.13'
    fi
  fi
  if ! has_compiler; then
    if ! system_install g++ gcc-c++ g++ || ! has_compiler; then
      lacks 'a C++ compiler (annoy is compiled here)' g++ gcc-c++ 'xcode-select --install'
    fi
  fi
  if ! has_headers; then
    if ! system_install "$debian-dev python3-dev" python3-devel python3-dev || ! has_headers; then
      lacks "the header files of $python" "$debian-dev" python3-devel 'brew install python@3.13'
    fi
  fi
}

check_java() {
  if find_java; then return 0; fi
  if ! system_install 'openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless' \
    'java-21-openjdk-headless java-17-openjdk-headless' \
    'openjdk17-jre-headless openjdk21-jre-headless' || ! find_java; then
    lacks 'Java 17 or newer (or set JAVA_HOME)' openjdk-17-jre-headless \
      java-21-openjdk-headless 'brew install openjdk@17'
  fi
}

# What opens the report's page in the tests; without it these are skipped, and say so.
check_browser() {
  local candidate
  for candidate in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$candidate" >/dev/null; then return 0; fi
  done
  system_install 'chromium chromium-browser' chromium chromium ||
    say 'no Chromium, and none could be installed: tests of the report in a browser are skipped'
}

# The S3 server of the tests, built once for this user; without it they are skipped, and say so.
make_s3_server() {
  local version=v1.8.0 folder
  folder=${XDG_CACHE_HOME:-$HOME/.cache}/artrec/versitygw-$version
  if [ -x "$folder/versitygw" ] || command -v versitygw >/dev/null; then return 0; fi
  if ! command -v go >/dev/null; then
    say 'no Go, so no S3 server can be built (versitygw): tests of S3 are skipped'
    return 0
  fi
  say "building the S3 server of the tests, versitygw $version (the first time: some minutes)"
  if ! quiet env GOBIN="$folder.part" GOFLAGS=-buildvcs=false \
    go install "github.com/versity/versitygw/cmd/versitygw@$version"; then
    say 'the S3 server could not be built (versitygw): tests of S3 are skipped'
    return 0
  fi
  mkdir -p -- "$folder" && mv -- "$folder.part/versitygw" "$folder/"
  rm -rf -- "$folder.part"
}

# The first is the default; this is where they differ, but for their versions.
choose_line() { # LINE
  line=$1
  constraints=docker/constraints-$line.txt # relative: uv would split a path at its spaces
  case $line in
    modern)
      venv=$root/.venv
      pythons='(3, 11) <= sys.version_info'
      python_words='3.11 or newer'
      ;;
    petastorm)
      venv=$root/.venv-petastorm
      pythons='(3, 11) <= sys.version_info < (3, 13)'
      python_words='3.11 or 3.12'
      ;;
    *) return 1 ;;
  esac
  venv=${ARTREC_VENV:-$venv}
  case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
  stamp=$venv/artrec-setup.stamp
  made_here=$venv/artrec-made-here
}

state() { # EXTRAS: what an installed environment was made from, and where
  local sources
  sources=$(cd "$root" && cat pyproject.toml "$constraints" docker/setup.sh | cksum)
  printf '%s\n' "$1 $line $sources" "$root" "$venv"
}

# An environment with the test packages serves the demo too.
is_installed() {
  local found
  [ -x "$venv/bin/python" ] && [ -x "$venv/bin/spark-submit" ] && [ -s "$stamp" ] || return 1
  found=$(cat "$stamp")
  [ "$found" = "$(state test)" ] || { [ "$extras" = run ] && [ "$found" = "$(state run)" ]; }
}

# A moved environment keeps its old paths, one whose Python is gone does not start, and one of
# another line would keep what this line does not name: made anew, but only where it was made here.
check_venv() {
  if has_pip && fits_stamp; then return 0; fi
  if [ -f "$made_here" ]; then
    say "$venv was moved, lost its Python or is of another line: making it anew"
    rm -rf -- "$venv"
  elif [ -n "$(ls -A -- "$venv" 2>/dev/null)" ]; then
    fail "$venv is no Python environment that works for the line $line:" \
      'remove it, or name another in ARTREC_VENV'
  fi
}

fits_stamp() {
  [ ! -f "$stamp" ] ||
    { [ "$(tail -n 1 "$stamp")" = "$venv" ] && [[ $(head -n 1 "$stamp") = *" $line "* ]]; }
}

has_pip() { works "$venv/bin/python" -m pip --version; }

make_venv() {
  if [ -x "$venv/bin/python" ]; then return 0; fi
  say "making $venv with $("$python" --version 2>&1)"
  mkdir -p -- "$venv"
  : >"$made_here"
  quiet "$python" -m venv "$venv" || fail "could not make $venv"
}

# Fast with uv, which links files out of its cache; pip is asked when a mirror or a certificate is
# set up for pip alone.
install_packages() {
  local wanted=duckdb
  if [ "$extras" = test ]; then wanted=test; fi
  if [ "$line" = petastorm ]; then wanted=$wanted,petastorm; fi
  cd "$root"
  portable_annoy
  say "installing packages into $venv (the first time: some minutes, 6 GB)"
  if quiet env PIP_USER=0 "$venv/bin/python" -m pip install -c "$constraints" uv &&
    quiet env UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}" "$venv/bin/python" -m uv pip install \
      --python "$venv/bin/python" -c "$constraints" -e ".[$wanted]"; then
    return 0
  fi
  say 'uv could not; trying pip'
  quiet env PIP_USER=0 "$venv/bin/python" -m pip install -c "$constraints" -e ".[$wanted]" ||
    fail 'the packages could not be installed; the lines above say why'
}

# Annoy's own default is code for this very processor, of no use to the next machine.
portable_annoy() {
  local flags=-O3,-ffast-math,-fno-associative-math,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD
  if [ "$(uname -s)" = Linux ]; then flags=$flags,-fpermissive; fi
  export ANNOY_COMPILER_ARGS="${ANNOY_COMPILER_ARGS:-$flags}"
}

# SPARK_HOME is named because spark-submit's own search for it stumbles over spaces in a path, and
# because another Spark's home would start that one.
print_environment() {
  printf 'export JAVA_HOME=%q\n' "$java_home"
  printf 'export PYSPARK_PYTHON=%q PYSPARK_DRIVER_PYTHON=%q\n' "$venv/bin/python" "$venv/bin/python"
  printf 'export SPARK_HOME=%q\n' "$venv"/lib/python3*/site-packages/pyspark
  printf 'export SPARK_LOCAL_IP=%q\n' "${SPARK_LOCAL_IP:-127.0.0.1}"
}

usage() {
  say 'usage: docker/setup.sh [--test] [--line modern|petastorm]'
  exit 2
}

extras=run
choose_line modern
while [ $# -gt 0 ]; do
  case $1 in
    --test) extras=test ;;
    --line)
      choose_line "${2:-}" || usage
      shift
      ;;
    *) usage ;;
  esac
  shift
done
log=$(mktemp "${TMPDIR:-/tmp}/artrec-setup.XXXXXX")
trap 'rm -f -- "$log"' EXIT

check_java
if [ "$extras" = test ]; then check_browser; fi
is_installed && installed=yes || installed=no
if [ "$installed" = no ]; then check_python; fi
if [ -n "$missing" ]; then
  say "missing on this machine:$missing"
  exit 3
fi
if [ "$installed" = no ]; then
  check_venv
  make_venv
  install_packages
  state "$extras" >"$stamp"
  say 'ready'
fi
if [ "$extras" = test ]; then make_s3_server; fi
print_environment
