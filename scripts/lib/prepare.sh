# Shared by scripts/start, test and bench: makes a checkout ready to run. Sourced, not run.
# Says what it installs before it installs it; installs Debian packages as root or through sudo only.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
misused() { say "error: $*"; exit 2; }
# As Node.js has it where HOME is not set.
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
. "$here/scripts/lib/node.sh"

# with_progress WHAT OUTPUT COMMAND …: runs a command that may take long, and says every 10 s that it still works. Its output goes to the
# file OUTPUT, or through to stderr where that is "-".
with_progress() {
  local what=$1 output=$2 status=0 ticker
  shift 2
  (
    waited=0
    # The sleep outlives the ticker, so it must hold no output open.
    while sleep 10 </dev/null >/dev/null 2>&1; do
      waited=$((waited + 10))
      say "  $what: still working, $waited s"
    done
  ) &
  ticker=$!
  if [ "$output" = - ]; then "$@" >&2 || status=$?; else "$@" >>"$output" 2>&1 || status=$?; fi
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  return "$status"
}

# need_commands PACKAGE:COMMAND … : installs the Debian packages whose command, or file, is missing.
need_commands() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair#*:}" >/dev/null 2>&1 || [ -f "${pair#*:}" ] || missing+=("${pair%%:*}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null 2>&1 || fail "these packages are missing: ${missing[*]}. There is no apt-get here: install them with your package manager, then run this again."
  say "Installing with apt: ${missing[*]}"
  local run=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "installing ${missing[*]} needs root: run 'apt-get install ${missing[*]}' as root, then run this again."
    run=(sudo)
  fi
  export DEBIAN_FRONTEND=noninteractive
  local log
  log=$(mktemp)
  with_progress apt "$log" "${run[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    { with_progress "apt-get update" "$log" "${run[@]}" apt-get update -q &&
      with_progress apt "$log" "${run[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"; } ||
    { tail -n 20 "$log" >&2; fail "apt could not install ${missing[*]}: see the lines above."; }
  rm -f "$log"
}

# Node.js itself: the command may be a link to a program that finds it, as of snap and Volta.
node_program() { node -p 'require("node:fs").realpathSync(process.execPath)'; }

# Addons compile against the headers that came with Node.js, where it brought some; else node-gyp fetches them.
use_node_headers() {
  local prefix
  prefix=$(dirname "$(dirname "$(node_program)")")
  if [ -f "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$prefix; fi
}

# True when the stamp file $1 holds the fingerprint $2.
is_fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# prepare [MAJOR]: a checkout that is ready to run, on the machine's Node.js or on that major version.
prepare() {
  cd "$here" || exit 1
  need_commands g++:g++ make:make python3:python3
  use_node "${1:-}"
  PATH=$here/node_modules/.bin:$PATH
  use_node_headers
  local platform packages native
  platform=$(node -p 'process.platform + process.arch')
  packages="$platform $(sha256sum <package-lock.json)"
  if ! is_fresh node_modules/.syncline-stamp "$packages"; then
    say "Installing npm packages …"
    with_progress npm - npm ci --no-update-notifier --no-audit --no-fund --loglevel=error || fail "npm ci failed: see the lines above."
    printf '%s' "$packages" >node_modules/.syncline-stamp
  fi
  if [ "$(uname -s)" = Linux ]; then
    native="$platform $(cat native/*.cc native/*.h native/binding.gyp 2>/dev/null | sha256sum)"
    if ! is_fresh native/build/.syncline-stamp "$native"; then
      say "Compiling the FUSE addon (about a minute) …"
      compile_addon || { tail -n 30 native-build.log >&2; fail "the addon did not compile: see native-build.log."; }
      rm -f native-build.log
      printf '%s' "$native" >native/build/.syncline-stamp
    fi
  fi
  say "Compiling TypeScript …"
  with_progress tsc - tsc -p tsconfig.build.json || fail "TypeScript did not compile."
  rolldown -c rolldown.config.ts >build.log 2>&1 || { cat build.log >&2; fail "the command line was not bundled: see the lines above."; }
  rm -f build.log
  chmod +x dist/main.js
  write_launcher
}

# compile_addon [FOLDER]: prints each file's name as it is compiled; the rest of the compiler's output is for whoever looks for an error.
compile_addon() {
  node-gyp rebuild --directory "${1:-native}" 2>&1 | tee native-build.log | sed -un 's|^  CXX(target) .*/\(.*\)\.o$|  \1|p' >&2
  return "${PIPESTATUS[0]}"
}

# dist/syncline runs the command line with the Node.js that was found here, whatever a shell finds later.
write_launcher() {
  local node
  node=$(node_program)
  printf '#!/bin/sh\n# Written by scripts/lib/prepare.sh.\nexec %s %s/dist/main.js "$@"\n' "$(quoted "$node")" "$(quoted "$here")" >dist/syncline.new
  chmod +x dist/syncline.new
  mv dist/syncline.new dist/syncline
}

# A path as it can be typed: as it is, or in quotes.
quoted() { case "$1" in *[!A-Za-z0-9_./:@%+=-]*) printf "'%s'" "${1//\'/\'\\\'\'}" ;; *) printf '%s' "$1" ;; esac; }
