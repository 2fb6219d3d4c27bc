/** What the kernel says of a thread, where /proc hides the processes of others. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isGone } from "../../../src/fuse/dying-thread.ts";

const canHide = process.platform === "linux" && process.getuid?.() === 0;

test("a thread is gone once it has ended, and never if its number is unknown", () => {
  const { pid } = spawnSync("true");
  expect([pid, process.pid, 0].map(isGone)).toEqual([true, false, false]);
});

test.skipIf(!canHide)("a thread that /proc hides (hidepid) is not gone", () => {
  const source = fileURLToPath(new URL("../../../src/fuse/dying-thread.ts", import.meta.url));
  const look = `
    import { existsSync } from "node:fs";
    const { isGone } = await import(${JSON.stringify(source)});
    console.log(existsSync("/proc/1"), isGone(1));
  `;
  const script = `mount -t proc -o hidepid=2 proc /proc && exec setpriv --regid 65534 --clear-groups --bounding-set -all "$@"`;
  const args = ["-m", "sh", "-ec", script, "sh", process.execPath, "--input-type=module", "-e", look];
  const { stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  expect(stdout, stderr).toBe("false false\n");
});
