# For scripts/start: what is mounted. Sourced, not run; after prepare.sh.

# bucket_at DIR [BUCKET]: the bucket that an agent shows at DIR; nothing if there is none. With BUCKET: nothing if it is another
# one, in whatever form BUCKET is written.
bucket_at() {
  "$here/dist/syncline" status "${2:-$1}" --json 2>/dev/null | node -e '
    const text = require("node:fs").readFileSync(0, "utf8");
    const agents = text.trim() === "" ? [] : JSON.parse(text).agents;
    console.log(agents.find(({ mount }) => mount === process.argv[1])?.bucket ?? "");' "$1"
}
