/**
 * A bucket's storage is copied, more is published, and the copy is put back: every command and every agent that starts refuses it
 * with `root_rolled_back` and changes nothing, until somebody says --accept. The same for another bucket of the same wallet in its
 * place, which is `foreign_bucket`. In a folder, and at a master with --master.
 *   node scripts/drills/put-back.ts [--master]
 */
import { cpSync, type Dirent, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { check, join, master, mkdirSync, report, syncline, workspace } from "./lib.ts";

const space = workspace("put-back");
const place = process.argv.includes("--master") ? await atMaster() : inFolder();
const { url } = place;
const file = join(space.path, "file");
writeFileSync(file, "contents");

syncline(space, ["init", url]);
syncline(space, ["put", file, `${url}/old`]);
const oldRoot = rootOf();
await place.save("old");
syncline(space, ["put", file, `${url}/new`]);
const newRoot = rootOf();
await place.save("new");

await place.putBack("old");
await refused("root_rolled_back", oldRoot);
await place.putBack("new");
check(
  syncline(space, ["ls", url, "--json"]).stdout.includes('"new"'),
  "the newer data is put back: everything goes on",
);

await place.putBack("old");
check(syncline(space, ["ls", url, "--accept"]).status === 0, "--accept takes the older state, once");
syncline(space, ["put", file, `${url}/later`]);
check(
  names().join() === "later,old",
  "from then on it is the one that is known: the next command needs no --accept, and what it writes is there",
);
await place.putBack("new");
await refused("root_rolled_back", newRoot);

await place.putBack(undefined);
const again = syncline(space, ["init", url, "--json"], { expect: [0, 4] });
check(codeOf(again) === "foreign_bucket", "init where a bucket was seen: foreign_bucket");
// Another user's view: a stranger to this state folder may make a bucket there.
syncline(space, ["init", url, "--state", join(space.path, "other-state")]);
await refused("foreign_bucket");
check(syncline(space, ["ls", url, "--accept"]).status === 0, "--accept takes the other bucket, once");
syncline(space, ["put", file, `${url}/f`]);
check(names().join() === "f", "from then on it is the one that is known");

/** Runs everything that opens the bucket. `root`: an old one that the bucket's storage holds. */
async function refused(code: string, root = newRoot) {
  const before = place.fingerprint();
  const folder = (name: string) => {
    const path = join(space.path, `${name}-${Math.random()}`);
    mkdirSync(path);
    return path;
  };
  const commands = [
    ["ls", url],
    ["ls", url, "--at", root],
    ["cat", `${url}/old`],
    ["get", `${url}/old`, join(space.path, "got")],
    ["log", url],
    ["verify", url],
    ["verify", url, "--repair"],
    ["conflicts", "list", url],
    ["conflicts", "show", `${url}/old`],
    ["conflicts", "diff", `${url}/old`],
    ["conflicts", "resolve", `${url}/old`, "--keep", "kept"],
    ["policy", "show", url],
    ["policy", "set", url, "text+=*.tex"],
    ["merge", "--dry-run", url, root, root, root],
    ["put", file, `${url}/f`],
    ["restore", `${url}/old`, "--at", root],
    ["gc", url],
    ["gc", url, "--dry-run"],
    ["sync", url, folder("sync")],
    ["sync", url, folder("sync"), "--once"],
    ["sync", url, folder("sync"), "--dry-run"],
    ["mount", url, folder("mount")],
    ["mount", url, folder("mount"), "--background"],
    ["mount", url, folder("mount"), "--read-only"],
    ["mount", url, folder("mount"), "--at", root],
    ["webdav", url, "--listen", "127.0.0.1:0", "--no-auth"],
  ];
  const wrong: (string | undefined)[] = [];
  for (const args of commands) {
    const result = syncline(space, [...args, "--json"], {
      expect: [0, 1, 2, 3, 4, 5, 6, 7, 8, 141, null],
      timeout: 20_000,
    });
    const said = codeOf(result);
    if (said === code && result.status === 4) continue;
    if (args.includes("--background") && result.status === 0)
      syncline(space, ["unmount", ...args.slice(2, 3)], { expect: [0, 3] });
    wrong.push(args[0]);
    report(
      `      ${args.map((arg) => arg.replace(url, "URL")).join(" ")}: ${result.status ?? result.signal} ${said ?? ""}`,
    );
  }
  check(wrong.length === 0, `${commands.length} commands answer ${code} with 4`);
  check(place.fingerprint() === before, "none of them changed anything in the storage");
}

function codeOf({ stderr }: { readonly stderr: string }) {
  const line = stderr
    .trim()
    .split("\n")
    .findLast((each) => each.startsWith("{") && each.includes('"code"'));
  return line === undefined ? undefined : (JSON.parse(line) as { code: string }).code;
}

function rootOf() {
  return syncline(space, ["log", url, "--json", "-n", "1"]).json<{ root: string }>().root;
}

function names() {
  const lines = syncline(space, ["ls", url, "--json"]).stdout.trim().split("\n");
  return lines.map((line) => (JSON.parse(line) as { name: string }).name).toSorted();
}

function inFolder() {
  const folder = join(space.path, "bucket");
  return { url: `file://${folder}`, fingerprint: () => fingerprintOf(folder), ...copiesOf(folder) };
}

/** Its data is copied and put back while it is ended, with what it kept for itself of other roots. */
async function atMaster() {
  const data = join(space.path, "master");
  const server = await master(space, { data, args: ["--accept-roots"] });
  const copies = copiesOf(data);
  const ended =
    <Name>(work: (name: Name) => void) =>
    async (name: Name) => {
      await server.stop();
      work(name);
      await server.start();
    };
  return {
    url: server.url(),
    save: ended(copies.save),
    putBack: ended(copies.putBack),
    fingerprint: () => JSON.stringify(syncline(space, ["log", server.url(), "--state", fresh(), "--json"]).stdout),
  };
}

/** A state folder that knows of nothing. */
function fresh() {
  return join(space.path, `fresh-${Math.random()}`);
}

function copiesOf(folder: string) {
  const at = (name: string) => join(space.path, `copy-${name}`);
  return {
    save: (name: string) => cpSync(folder, at(name), { recursive: true }),
    putBack: (name: string | undefined) => {
      rmSync(folder, { recursive: true });
      if (name !== undefined) cpSync(at(name), folder, { recursive: true });
    },
  };
}

function fingerprintOf(folder: string) {
  const hash = createHash("sha256");
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }).toSorted(byPath)) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path}\0`);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}

function byPath(a: Dirent, b: Dirent) {
  return join(a.parentPath, a.name) < join(b.parentPath, b.name) ? -1 : 1;
}
