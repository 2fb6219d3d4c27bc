/** `syncline restore`: makes a path what it was in an older root, as a new commit; history stays as it is. */
import { resolve, sep } from "node:path";
import { askAgent } from "../agent/control.ts";
import { openCommandWriter, requirePublished } from "../agent/command-writer.ts";
import { canonicalMount, stateRoot } from "../agent/state-dir.ts";
import { SynclineError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import { nameFromText } from "../base/names.ts";
import { findCommit } from "../bucket/history.ts";
import { locateBucket } from "./bucket-path.ts";
import type { BucketPath } from "./bucket-path.ts";
import { addCommand } from "./command.ts";
import type { Call, Program } from "./command.ts";
import { accessOf, MASTER_OPTIONS, type MasterOption } from "./master-access.ts";
import { mountStates, servedStates } from "./running-agents.ts";
import type { MountState } from "./running-agents.ts";
import type { Runtime } from "./runtime.ts";
import { noteOf, printPath, printRest, printText } from "./text.ts";
import { loadWallet } from "./wallet.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "restore",
    arguments: [["<path>", "a path below a mount, or bucket/path"]],
    summary: "bring back an old state of a path, as a new commit",
    options: ["at", ...MASTER_OPTIONS],
    required: ["at"],
    examples: [
      "syncline restore ~/bucket/photos --at 2026-01-31T12:00:00Z",
      "syncline restore file:///srv/bucket/notes.txt --at bafyr4i…",
    ],
    exits: [3, 4, 5, 6, 8],
    run: restore,
  });
}

async function restore(call: Call<"at" | MasterOption>): Promise<void> {
  const { args, options, output, runtime } = call;
  const given = args[0] ?? "";
  const found = given.includes("://") ? undefined : await belowMount(runtime, options.state, given);
  const path = found ?? (await locateBucket(runtime, given));
  // What is written at the mount goes into history first: it is what restoring replaces, and it stays there to be restored.
  if (found?.served === true) await flushFirst(found.state);
  const { clock, random, env } = runtime;
  await using session = await openCommandWriter({
    address: path.address,
    stateRoot: stateRoot(env, options.state),
    wallet: () => loadWallet(call),
    access: accessOf(call),
    clock,
    random,
    log: silentLog,
  });
  const { bucket, writer } = session;
  const current = await bucket.current();
  if (current === undefined) throw new SynclineError("no_such_bucket", `The bucket at ${path.address} has no root.`);
  const from = await findCommit(bucket, current.commit, options.at ?? "");
  const { restored, removed } = await writer.restore(path.names, from);
  const note = noteOf(`restore ${printPath(path.names)} from ${from.cid}`);
  const { root, figures } = requirePublished(await writer.publish(note));
  // So that the mount shows it when this command has ended.
  if (found?.served === true) await askAgent<"flush">(found.state.stateDir, { call: "flush" });
  const value = { root: root.commit, version: root.version, from: from.cid, restored, removed, ...figures };
  output.result(value, `Restored ${restored}, removed ${removed}: root ${root.commit}`);
}

interface MountedPath extends BucketPath {
  readonly state: MountState;
  readonly served: boolean;
}

async function belowMount(runtime: Runtime, state: string | undefined, given: string): Promise<MountedPath> {
  const path = canonicalMount(resolve(given));
  const above = mountStates(runtime, state)
    .filter(({ mount }) => path === mount || path.startsWith(mount.endsWith(sep) ? mount : mount + sep))
    .toSorted((a, b) => b.mount.length - a.mount.length);
  const nearest = above.filter(({ mount }) => mount === above[0]?.mount);
  const served = await servedStates(nearest);
  const [found] = [...served, ...nearest];
  if (found === undefined) {
    throw new SynclineError("no_agent", `${printText(given)} is not below a mount of syncline.`, {
      hint: "Give bucket/path instead.",
    });
  }
  const names = path
    .slice(found.mount.length)
    .split(sep)
    .filter((name) => name !== "")
    .map(nameFromText);
  return { address: found.address, names, directory: false, state: found, served: served.includes(found) };
}

/** Throws `unpublished_data` when it cannot be published, and nothing is restored. */
async function flushFirst({ stateDir, mount }: MountState): Promise<void> {
  const { pending, error } = await askAgent<"flush">(stateDir, { call: "flush" });
  if (pending.files === 0) return;
  throw new SynclineError("unpublished_data", `${printText(mount)}: ${printRest(pending, error)}`, {
    hint: "Restore once they are: `syncline flush` tries again. Nothing was changed.",
  });
}
