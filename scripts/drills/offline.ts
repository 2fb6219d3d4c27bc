/**
 * The bucket's folder is renamed away (or its master is stopped); two agents write 100 files each, 50 names in common; the folder comes back: both
 * show one tree, and all 200 versions are there, under their name or as conflict copies.
 *   node scripts/drills/offline.ts [--master | --masters | --s3 | --s3=numbered]
 */
import { writeFileSync } from "node:fs";
import { agent, check, differences, fingerprint, join, report, storage, syncline, until, workspace } from "./lib.ts";
import { createHash } from "node:crypto";

const space = workspace("offline");
const { url, away, back } = await storage(space);
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const b = agent(space, "b", url);
if (away === undefined || back === undefined) throw new Error("this bucket cannot be taken away");
await away();

const versions = new Map<string, string>();
for (const [writer, { dir }] of [
  ["a", a],
  ["b", b],
] as const) {
  for (let index = 0; index < 100; index++) {
    const name = index < 50 ? `same-${index}.bin` : `${writer}-${index}.bin`;
    const text = `${name} by ${writer}`;
    writeFileSync(join(dir, name), text);
    versions.set(createHash("sha256").update(text).digest("hex"), `${name} by ${writer}`);
  }
}
await until(() => !a.status().online && !b.status().online, 20_000, "both agents to notice", 100);
const queued = a.flush({ expect: [3, 6] });
check(!queued.published, `flush on A while away says so: pending ${JSON.stringify(queued.pending)}`);
report(`lastError on A: ${JSON.stringify(a.status().lastError)}`);

await back();
await until(() => [a, b].every(({ status }) => status().pending.files === 0), 60_000, "both queues to drain", 100);
await until(() => a.status().base === b.status().base, 60_000, "one root on both", 100);
const onA = fingerprint(a.dir);
const onB = fingerprint(b.dir);
check(differences(onA, onB).length === 0, `one tree on both: ${onA.size} files`);
const held = new Set([...onA.values()].map((line) => line.split(" ").at(-1)));
const missing = [...versions].filter(([hash]) => !held.has(hash)).map(([, what]) => what);
check(
  versions.size === 200 && missing.length === 0,
  `all ${versions.size} versions are there (${missing.slice(0, 3).join(", ") || "none missing"})`,
);
const copies = [...onA.keys()].filter((path) => path.includes("(conflict ")).length;
// An epoch that is sealed between a file's creation and its first write holds the empty file as a version of its own.
check(copies >= 50 && copies <= 52, `${copies} conflict copies of 50 contested names`);
a.unmount();
b.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
