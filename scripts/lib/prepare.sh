# Shared by scripts/start, test and bench: makes a checkout ready to run. Sourced, not run.
# Says what it installs before it installs it; installs Debian packages as root or through sudo only.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
misused() { say "error: $*"; exit 2; }

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
  "${run[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { "${run[@]}" apt-get update -q >/dev/null && "${run[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null; } ||
    fail "apt could not install ${missing[*]}: run 'apt-get install ${missing[*]}' by hand and look at what it says."
}

# Node.js must be there and new enough; everything else this script can bring.
need_node() {
  command -v node >/dev/null 2>&1 || fail "Node.js is missing: install Node.js 20.19 or newer."
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js $(node -v) is too old: install 20.19 or newer."
}

# Addons compile against the headers that came with Node.js, where it brought some; else node-gyp fetches them.
use_node_headers() {
  local prefix
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [ -f "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir=$prefix; fi
}

# True when the stamp file $1 holds the fingerprint $2.
is_fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

prepare() {
  cd "$here" || exit 1
  PATH=$here/node_modules/.bin:$PATH
  need_node
  need_commands g++:g++ make:make python3:python3
  use_node_headers
  local lock native
  lock="$(node -p 'process.version + process.arch') $(sha256sum <package-lock.json)"
  if ! is_fresh node_modules/.syncline-stamp "$lock"; then
    say "Installing npm packages (better-sqlite3 may compile: about a minute) …"
    # Not `npm ci`: it wants optional packages of every platform in the lock, and registries do not all carry them.
    npm install --no-update-notifier --no-save --no-audit --no-fund --loglevel=error >&2 || fail "npm install failed: see the lines above."
    printf '%s' "$lock" >node_modules/.syncline-stamp
  fi
  if [ "$(uname -s)" = Linux ]; then
    native="$(node -p 'process.version + process.arch') $(cat native/*.cc native/*.h native/binding.gyp 2>/dev/null | sha256sum)"
    if ! is_fresh native/build/.syncline-stamp "$native"; then
      say "Compiling the FUSE addon …"
      node-gyp rebuild --directory native >native-build.log 2>&1 || { tail -n 30 native-build.log >&2; fail "the addon did not compile: see native-build.log."; }
      rm -f native-build.log
      printf '%s' "$native" >native/build/.syncline-stamp
    fi
  fi
  say "Compiling TypeScript …"
  tsc -p tsconfig.build.json >&2 || fail "TypeScript did not compile."
  rolldown -c rolldown.config.ts >/dev/null || fail "the command line was not bundled: see the lines above."
  chmod +x dist/main.js
}
