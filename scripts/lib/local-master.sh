# Shared by scripts/start and stop: this user's own master on loopback. Sourced, not run; after prepare.sh.

master_data=$(realpath -m "${XDG_DATA_HOME:-$HOME/.local/share}/syncline/master")
# Beside the states of mounts: where it listens, its process, its log.
master_run=$(realpath -m "${XDG_STATE_HOME:-$HOME/.local/state}/syncline/master")
MASTER_PORT=3600

MASTER_WAIT_S=60

master_port() { cat "$master_run/port" 2>/dev/null || echo "$MASTER_PORT"; }
master_origin() { echo "http://127.0.0.1:$(master_port)"; }

# The master's process if it runs: a number that another process may have by now does not count.
master_pid() {
  local pid
  pid=$(cat "$master_run/pid" 2>/dev/null) || return 1
  case "$(ps -ww -o args= -p "$pid" 2>/dev/null)" in *"main.js serve --data $master_data "*) echo "$pid" ;; *) return 1 ;; esac
}

master_answers() { node -e 'fetch(process.argv[1] + "/health", { signal: AbortSignal.timeout(2000) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$(master_origin)"; }

# Whether the master has said that it serves, behind the first $1 bytes of its log.
master_serves() { tail -c "+$(($1 + 1))" "$master_run/log" 2>/dev/null | grep -q "^Serving "; }

# start_master WALLET: starts the master for this wallet unless it runs; returns once it answers.
start_master() {
  mkdir -p "$master_data" "$master_run"
  chmod 700 "$master_data" "$master_run"
  # One at a time: of two that start a master only one gets the folder, and the other would note a process that is gone.
  exec 9>"$master_run/starting"
  flock -w "$MASTER_WAIT_S" 9 || fail "another scripts/start has been starting the master for $MASTER_WAIT_S s: see $master_run/log."
  if master_pid >/dev/null; then say "The master runs already: $(master_origin)"; exec 9>&-; return; fi
  # The port stays the same from then on: it is part of the bucket's address, and an agent's unpublished data goes by that.
  if [ ! -s "$master_run/port" ]; then
    node -e '
      const { createServer } = require("node:net");
      const listen = (port) => {
        const server = createServer().once("error", () => listen(0));
        server.listen(port, "127.0.0.1", () => { console.log(server.address().port); server.close(); });
      };
      listen(Number(process.argv[1]));' "$MASTER_PORT" >"$master_run/port"
  fi
  local said=0
  [ ! -e "$master_run/log" ] || said=$(wc -c <"$master_run/log")
  setsid "$here/dist/syncline" serve --data "$master_data" --listen "127.0.0.1:$(master_port)" --allow "$1" \
    </dev/null >>"$master_run/log" 2>&1 9>&- &
  local started=$! waited=0
  echo "$started" >"$master_run/pid"
  # What answers may be another user's master, which has the port.
  until master_serves "$said" && master_answers; do
    kill -0 "$started" 2>/dev/null || {
      tail -c "+$((said + 1))" "$master_run/log" >&2
      rm -f "$master_run/pid"
      fail "the master did not start at $(master_origin). The port stays the same, as it is part of its buckets' addresses: end what has it now."
    }
    [ "$waited" -lt $((MASTER_WAIT_S * 5)) ] || fail "the master does not answer at $(master_origin): see $master_run/log."
    waited=$((waited + 1))
    sleep 0.2
  done
  exec 9>&-
  say "Started a master at $(master_origin), data in $master_data"
}

# Ends the master unless an agent still uses it. It finishes what is under way.
stop_master() {
  local pid listed used
  pid=$(master_pid) || return 0
  if ! listed=$("$here/dist/syncline" status --json 2>/dev/null); then
    say "The master goes on: syncline status fails, so an agent may use it."
    return
  fi
  used=$(node -e '
    const ofMaster = ({ bucket }) => bucket.startsWith(process.argv[1] + "/");
    const doors = JSON.parse(process.argv[2]).agents.filter(ofMaster).flatMap(({ doors }) => doors);
    console.log(doors.map(({ mount, folder, url }) => mount ?? folder ?? url).join(" "));
  ' "$(master_origin)" "$listed")
  if [ -n "$used" ]; then say "The master goes on: it is used by $used"; return; fi
  kill -TERM "$pid"
  local waited=0
  while kill -0 "$pid" 2>/dev/null; do
    [ "$waited" -lt $((MASTER_WAIT_S * 5)) ] || fail "the master (process $pid) does not end: see $master_run/log."
    waited=$((waited + 1))
    sleep 0.2
  done
  rm -f "$master_run/pid"
  say "Stopped the master. Its data stays in $master_data"
}
