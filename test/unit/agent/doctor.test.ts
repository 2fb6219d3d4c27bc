/** What `doctor` finds. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { handOver, pruning } from "../../../src/agent/doctor.ts";

test.each([
  ["6.18.44-fc-v782", "the kernel"],
  ["6.9.0", "the kernel"],
  ["7.0.1", "the kernel"],
  ["6.8.0-45-generic", "in memory"],
  ["5.10.0-30-amd64", "in memory"],
])("on Linux %s, the next agent gets requests from: %s", (version, where) => {
  expect(handOver(version)).toMatchObject({ state: "good", detail: expect.stringContaining(where) as string });
});

const PLOCATE = '# PRUNENAMES=".git"\nPRUNEPATHS="/tmp"\nPRUNEFS="NFS afs fuse.sshfs tmpfs"\n';

test.each([
  ["the configuration that plocate installs", PLOCATE],
  ["an empty list", 'PRUNEFS = ""\n'],
  ["no list", 'PRUNEPATHS="/tmp"\n'],
  ["a list that is a comment", '# PRUNEFS="fuse.syncline"\n'],
  ["another type that begins the same", 'PRUNEFS="fuse.syncline2"\n'],
])("with %s, updatedb walks through mounts, and skips them once the advice is followed", async (_what, conf) => {
  const finding = pruning(conf);
  expect(finding.state).toBe("limited");
  const path = join(await temporaryFolder(), "updatedb.conf");
  writeFileSync(path, conf);
  const [, command = ""] = /^As root: (.*)$/.exec(finding.advice ?? "") ?? [];
  expect(spawnSync("sh", ["-c", command.replace("/etc/updatedb.conf", path)]).status).toBe(0);
  expect(pruning(readFileSync(path, "utf8")).state).toBe("good");
});
