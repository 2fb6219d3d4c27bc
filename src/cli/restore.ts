/** `syncline restore`: makes a path what it was in an older root, as a new commit; history stays as it is. */
import { resolve, sep } from "node:path";
import { openCommandWriter, requirePublished } from "../agent/command-writer.ts";
import { canonicalMount, stateRoot } from "../agent/state-dir.ts";
import { SynclineError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { nameFromText } from "../base/names.ts";
import { findCommit } from "../bucket/history.ts";
import { locateBucket } from "./bucket-path.ts";
import type { BucketPath } from "./bucket-path.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { mountStates } from "./running-agents.ts";
import type { Runtime } from "./runtime.ts";
import { printPath } from "./text.ts";
import { loadWallet } from "./wallet.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "restore",
    arguments: [["<path>", "a path below a mount, or bucket/path"]],
    summary: "bring back an old state of a path, as a new commit",
    options: ["at"],
    required: ["at"],
    examples: [
      "syncline restore ~/bucket/photos --at 2026-01-31T12:00:00Z",
      "syncline restore file:///srv/bucket/notes.txt --at bafyr4i…",
    ],
    exits: [4, 5, 6],
    async run(call) {
      const { args, options, output, runtime } = call;
      const given = args[0] ?? "";
      const path = given.includes("://")
        ? await locateBucket(runtime, given)
        : belowMount(runtime, options.state, given);
      const { clock, random, env } = runtime;
      await using session = await openCommandWriter({
        address: path.address,
        stateRoot: stateRoot(env, options.state),
        wallet: async () => loadWallet(call),
        clock,
        random,
        log: silentLog,
      });
      const { bucket, writer } = session;
      const current = await bucket.current();
      if (current === undefined)
        throw new SynclineError("no_such_bucket", `The bucket at ${path.address} has no root.`);
      const from = await findCommit(bucket, current.commit, options.at ?? "");
      const { restored, removed } = await writer.restore(path.names, from);
      const { root, figures } = requirePublished(
        await writer.publish(`restore ${printPath(path.names)} from ${from.cid}`),
      );
      const value = { root: root.commit, version: root.version, from: from.cid, restored, removed, ...figures };
      output.result(value, `Restored ${restored}, removed ${removed}: root ${root.commit}`);
    },
  });
}

function belowMount(runtime: Runtime, state: string | undefined, given: string): BucketPath {
  const path = canonicalMount(resolve(given));
  const found = mountStates(runtime, state, undefined)
    .filter(({ mount }) => path === mount || path.startsWith(mount + sep))
    .toSorted((a, b) => b.mount.length - a.mount.length)[0];
  if (found === undefined) {
    throw new SynclineError("no_agent", `${given} is not below a mount of syncline.`, {
      hint: "Give bucket/path instead.",
    });
  }
  const names = path
    .slice(found.mount.length)
    .split(sep)
    .filter((name) => name !== "")
    .map(nameFromText);
  return { address: found.address, names, directory: false };
}
