/**
 * A full disk under the overlay is ENOSPC to the writer; a full disk under the bucket is a queue and a clear status. After space
 * returns everything drains. Needs root (two small tmpfs).
 *   node scripts/drills/disk-full.ts
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { systemCodeOf } from "../../src/base/system-errors.ts";
import { agent, check, join, report, run, syncline, until, workspace } from "./lib.ts";

const space = workspace("disk-full");
const small = (name: string, size: string) => {
  const path = join(space.path, name);
  mkdirSync(path);
  run("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
  space.mounts.add(path);
  return path;
};

// Under the overlay
{
  const disk = small("overlay-disk", "64m");
  const url = `file://${join(space.path, "bucket-1")}`;
  syncline(space, ["init", url]);
  const a = agent(space, "a", url, { state: join(disk, "state") });
  writeFileSync(join(a.dir, "before.bin"), "kept");
  const written = fill(join(a.dir, "big.bin"));
  check(written.code === "ENOSPC", `the writer gets ENOSPC after ${written.bytes >> 20} MiB`);
  check(readFileSync(join(a.dir, "before.bin"), "utf8") === "kept", "what was there is readable");
  const prefix = readFileSync(join(a.dir, "big.bin"));
  check(
    prefix.equals(written.data.subarray(0, prefix.length)) && prefix.length >= written.bytes,
    "what was answered is whole",
  );
  rmSync(join(a.dir, "big.bin"));
  check(true, "deleting works on the full disk");
  await until(() => a.flush({ expect: [0, 3] }).published, 30_000, "the queue to drain", 200);
  await until(() => writes(join(a.dir, "after.bin")), 5_000, "the space to come back", 50);
  check(a.flush().published, "after space is back writing and publishing go on");
  a.unmount();
  check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
}

// Under the bucket
{
  const disk = small("bucket-disk", "24m");
  const url = `file://${join(disk, "bucket")}`;
  syncline(space, ["init", url]);
  const a = agent(space, "b", url);
  writeFileSync(join(disk, "ballast"), Buffer.alloc(20 << 20));
  const data = randomBytes(6 << 20);
  writeFileSync(join(a.dir, "data.bin"), data);
  const flushed = a.flush({ expect: [3, 6] });
  check(!flushed.published && flushed.pending.files > 0, `flush says what waits: ${JSON.stringify(flushed.pending)}`);
  const { lastError } = a.status();
  check(lastError?.code === "disk_full", `status says why: ${JSON.stringify(lastError)}`);
  check(readFileSync(join(a.dir, "data.bin")).equals(data), "the file is readable meanwhile");
  rmSync(join(disk, "ballast"));
  await until(() => a.status().pending.files === 0, 60_000, "the queue to drain by itself", 200);
  check(a.status().lastError === null, "status is clear again");
  check(syncline(space, ["cat", `${url}/data.bin`], { input: "" }).stdout.length > 0, "the file is in the bucket");
  a.unmount();
  check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
}

/** Whether a MiB can be written. What was deleted gives its space back a moment later. */
function writes(path: string) {
  try {
    writeFileSync(path, randomBytes(1 << 20));
    return true;
  } catch {
    return false;
  }
}

/** Writes random MiBs until an error; answers it, and what was acknowledged. */
function fill(path: string) {
  const file = openSync(path, "w");
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const chunk = randomBytes(1 << 20);
      chunks.push(chunk);
      bytes += writeSync(file, chunk);
      if (bytes % (8 << 20) === 0) fsyncSync(file);
      if (bytes > 1 << 30) throw new Error("the disk does not fill");
    }
  } catch (error) {
    return { code: systemCodeOf(error), bytes, data: Buffer.concat(chunks) };
  } finally {
    try {
      closeSync(file);
    } catch (error) {
      report(`close: ${systemCodeOf(error)}`);
    }
  }
}
