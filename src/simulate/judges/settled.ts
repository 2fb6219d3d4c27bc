/** What must hold when all machines are at rest: one tree everywhere, nothing lost, an intact bucket. */
import { Bucket, type BucketChecks } from "../../bucket/bucket.ts";
import { verifyBucket } from "../../bucket/verify.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Ports } from "../../base/ports.ts";
import { RetryReader } from "../../blocks/retry-reader.ts";
import { homeOf, MACHINE_NAMES, SHARED_HOME } from "../beginning.ts";
import { type Tokens, tokensIn } from "./tokens.ts";
import type { Folders } from "../folder/folders.ts";
import type { KernelMount } from "../kernel-mount.ts";
import type { Machine } from "../machine.ts";
import type { Site } from "../site.ts";
import { differences, isMisplaced, treeOf } from "./shown-tree.ts";

export interface Settled {
  readonly machines: readonly Machine[];
  /** A machine that has just started. */
  readonly fresh: Machine;
  readonly tokens: Tokens;
  /** Whether a version may be missing: its maker removed it, or another machine published its removal. */
  readonly isDropped: (version: string) => boolean;
  readonly site: Site;
  readonly folders: Folders;
  readonly checks: BucketChecks;
  readonly ports: Pick<Ports, "clock" | "random">;
  /** Whether a machine was away longer than retention: its changes in removed directories move to the root directory. */
  readonly wasAway: boolean;
  /** Waits until all machines are at rest again; returns what prevents it. */
  readonly rest: () => Promise<string[]>;
}

export async function settledFaults(settled: Settled): Promise<string[]> {
  const { machines, fresh, tokens, isDropped, site, folders, checks, ports, wasAway, rest } = settled;
  const unstable = await rest();
  if (unstable.length > 0) return unstable;
  const tree = await treeOf(mountOf(fresh));
  const faults: string[] = [];
  const homes = new Set(["", SHARED_HOME, ...MACHINE_NAMES.map(homeOf)]);
  for (const path of tree.keys()) if (!wasAway && isMisplaced(path, homes)) faults.push(`misplaced: ${path}`);
  const compare = async (what: string, machine: Machine) =>
    faults.push(...differences(tree, await treeOf(mountOf(machine))).map((line) => `${what}: ${line}`));
  for (const machine of machines) {
    await compare(`${machine.name} with caches`, machine);
    faults.push(...(await otherDoorsFaults(machine, tree)));
    machine.mount?.dropCaches();
    await compare(`${machine.name} without caches`, machine);
    machine.kill();
    await machine.start();
  }
  faults.push(...(await folders.differences(mountOf(fresh))));
  await folders.restartAll();
  faults.push(...(await rest()));
  for (const machine of machines) await compare(`${machine.name} after a restart`, machine);
  faults.push(...(await folders.differences(mountOf(fresh))));
  const present = new Set([...tree.values()].flatMap((shown) => tokensIn(Buffer.from(shown, "latin1"))));
  for (const token of tokens.made) if (!present.has(token) && !isDropped(token)) faults.push(`lost: ${token}`);
  const remote = site.served;
  const blocks = new RetryReader(remote.blocks, ports);
  const bucket = await Bucket.open(remote, { blocks, checks });
  const { damage } = await verifyBucket(bucket, { blocks });
  return [...faults, ...damage.map(({ what }) => `damage: ${what}`), ...(await site.audit())];
}

async function otherDoorsFaults({ name, otherDoors }: Machine, tree: ReadonlyMap<string, string>): Promise<string[]> {
  if (otherDoors === undefined) return [];
  const second = differences(tree, await treeOf(otherDoors.mount)).map((line) => `${name}'s second mount: ${line}`);
  const faults = [...second];
  for (const [path, shown] of tree) {
    const bytes = shown.startsWith(REGULAR) ? await otherDoors.webdav.read(path) : undefined;
    if (bytes !== undefined && !shown.endsWith(` ${bytes.toString("latin1")}`))
      faults.push(`${name} over WebDAV: ${path} is ${bytes.toString("latin1")}`);
    if (bytes === undefined && shown.startsWith(REGULAR)) faults.push(`${name} over WebDAV: ${path} is missing`);
  }
  return faults;
}

/** The mode prefix of regular files in descriptions. */
const REGULAR = "100";

function mountOf({ mount, name }: Machine): KernelMount {
  if (mount === undefined) throw new SynclineError("internal", `${name} is not running.`);
  return mount;
}
