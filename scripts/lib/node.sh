# Which Node.js runs Syncline here. Sourced, not run; needs say, fail and need_commands.
# The machine's own is taken when it is new enough. Otherwise Node.js comes from npm, pinned, into a folder of the user; of root into one
# that every user can read, since services and tests run it as other users.

NODE_RECOMMENDED=24
NPM_PINNED=11.19.1

# The newest release of a major version that npm carries for x64 and arm64.
pinned_node() {
  case "$1" in
    22) echo 22.23.3 ;;
    24) echo 24.21.0 ;;
    26) echo 26.10.0 ;;
    *) return 1 ;;
  esac
}

# True when the Node.js on PATH can run Syncline and its scripts: 22.18 is the first of 22 that runs TypeScript, as the drills are.
node_suffices() {
  command -v node >/dev/null 2>&1 &&
    node -e 'process.exit(process.features.typescript && Number(process.versions.napi) >= 10 ? 0 : 1)' 2>/dev/null
}

# use_node [MAJOR]: puts a Node.js on PATH that can run Syncline, or that very major version, and its npm.
use_node() {
  local wanted=${1:-}
  if [ -z "$wanted" ]; then
    if node_suffices && command -v npm >/dev/null 2>&1; then return 0; fi
    wanted=$NODE_RECOMMENDED
  fi
  local version folder arch
  if node_suffices && [ "$(node -p 'parseInt(process.versions.node, 10)')" = "$wanted" ] && command -v npm >/dev/null 2>&1; then return 0; fi
  version=$(pinned_node "$wanted") || misused "Node.js $wanted is not one of those that are tested: 22, 24, 26."
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) arch=x64 ;;
    Linux-aarch64 | Linux-arm64) arch=arm64 ;;
    *) fail "install Node.js $NODE_RECOMMENDED, then run this again: only on Linux (x64, arm64) can this script bring it." ;;
  esac
  folder=${XDG_DATA_HOME:-$HOME/.local/share}/syncline/node/$version
  [ "$(id -u)" -ne 0 ] || folder=/usr/local/lib/syncline/node/$version
  [ -x "$folder/bin/node" ] || bring_node "$version" "$arch" "$folder"
  PATH=$folder/bin:$PATH
  hash -r
}

# Installs into a folder beside the final one, and moves it there whole.
bring_node() {
  local version=$1 arch=$2 folder=$3 part
  need_commands npm:npm
  if ! node_suffices; then say "Syncline's scripts need Node.js 22.18 or newer; here is $(node -v 2>/dev/null || echo none)."; fi
  say "Installing Node.js $version and npm $NPM_PINNED in $folder (from npm, 60 MB) …"
  mkdir -p "$(dirname "$folder")"
  part=$(mktemp -d "$folder.XXXXXX")
  chmod 755 "$part"
  with_progress "Node.js $version" - npm install --prefix "$part" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
    "node-linux-$arch@$version" "npm@$NPM_PINNED" ||
    { rm -rf "$part"; fail "npm could not install Node.js $version: see the lines above. Or install Node.js $NODE_RECOMMENDED yourself."; }
  mkdir "$part/bin"
  ln -s "../node_modules/node-linux-$arch/bin/node" "$part/bin/node"
  ln -s ../node_modules/npm/bin/npm-cli.js "$part/bin/npm"
  ln -s ../node_modules/npm/bin/npx-cli.js "$part/bin/npx"
  "$part/bin/node" -v >/dev/null || { rm -rf "$part"; fail "Node.js $version does not run on this machine: install Node.js $NODE_RECOMMENDED yourself."; }
  rm -rf "$folder"
  mv -T "$part" "$folder"
}
