/** `syncline verify` on a bucket in a folder or in S3 whose root is lost: shows what it may have been, and puts it back. */
import { hasCode, isDamage, SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { timeText } from "../../base/clock.ts";
import { unlessSync } from "../../base/unless.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { parseAddress, pinnedUrl } from "../../bucket/address.ts";
import { openPacked } from "../../bucket/open-remote.ts";
import type { PackedRemote } from "../../bucket/packed/packed-remote.ts";
import { putRootBack } from "../../bucket/packed/root-return.ts";
import { type RootCandidate, type RootSearch, searchRoot } from "../../bucket/packed/root-search.ts";
import { damageItem } from "../../bucket/verify/report.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { parseCid } from "../../format/blocks/cid.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import type { Call } from "../command.ts";
import { type BucketOption, repairingAccess, witnessOf } from "../master-access.ts";
import { printText } from "../terminal/text.ts";
import { locateBucket } from "./bucket-path.ts";
import { openCaches } from "./local-copies.ts";

type RootCall = Call<BucketOption | "repair" | "root">;

/** As `locateBucket`, also for a bucket that has lost both its genesis and its root, at its exact address. */
export async function locateRootless(call: RootCall, text: string): Promise<string> {
  try {
    return (await locateBucket(call, text, repairingAccess(call))).address;
  } catch (error) {
    if (!isDamage(error) && !hasCode(error, "no_such_bucket", "arbiter_unreachable")) throw error;
    const address = packedAddress(text);
    if (address === undefined || (await searched(call, address)) === undefined) throw error;
    return address;
  }
}

/**
 * Whether the bucket has a root, or got it back here. If it has none, shows what is known. Throws `usage` and `no_such_root`
 * for a wrong choice, and as `searchRoot`.
 */
export async function settleRoot(call: RootCall, address: string): Promise<"there" | "put back" | "lost"> {
  const { options } = call;
  if (!parseAddress(address).isPacked) return "there";
  const search = await searched(call, address);
  if (search === undefined) {
    if (options.root === undefined) return "there";
    throw new SynclineError("usage", `The root of ${address} can be read. --root chooses one only where it is lost.`, {
      hint: "`syncline restore` brings back an older state.",
    });
  }
  const chosen = choiceOf(call, search);
  if (options.repair === true && chosen !== undefined) {
    await putBack(call, address, search, chosen);
    return "put back";
  }
  show(call, search);
  return "lost";
}

async function searched(call: RootCall, address: string): Promise<RootSearch | undefined> {
  const { options, output, runtime } = call;
  const { clock, random } = runtime;
  const { pinnedGenesis } = parseAddress(address);
  const seen = witnessOf(call, address).known();
  await using remote = await opened(call, address);
  await using local = lazily(() => openCaches(runtime, options.state, address));
  using progress = output.progress("verify");
  progress.step("looking for the root");
  return await searchRoot(remote.store, { clock, random, pinnedGenesis, seen, local });
}

/** Opened when it is first read: hardly any search needs the caches. */
function lazily(open: () => BlockReader & AsyncDisposable): BlockReader & AsyncDisposable {
  let opened: (BlockReader & AsyncDisposable) | undefined;
  return {
    get: (cid) => (opened ??= open()).get(cid),
    getMany: (cids) => (opened ??= open()).getMany(cids),
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  };
}

function opened(call: RootCall, address: string): Promise<PackedRemote> {
  const { clock, random } = call.runtime;
  return openPacked(address, { clock, random, access: repairingAccess(call) });
}

/** Undefined: there is none, or a person has to choose. */
function choiceOf({ options }: RootCall, { commits, newest }: RootSearch): VerifiedCommit | undefined {
  if (options.root === undefined) return newest?.commit;
  const chosen = commits.get(cidIn(options.root));
  if (chosen !== undefined) return chosen;
  throw new SynclineError("no_such_root", `--root: the bucket has no signed commit ${options.root}.`, {
    hint: "`syncline verify URL` lists those that may be the root.",
  });
}

async function putBack(call: RootCall, address: string, search: RootSearch, chosen: VerifiedCommit): Promise<void> {
  await using remote = await opened(call, address);
  await putRootBack(remote.store, search, chosen);
  // Opened anew: it may remember what it read before.
  await using again = await opened(call, address);
  const root = await again.readRoot();
  const what = `put back; it names commit ${root?.commit ?? chosen.cid}`;
  call.output.result({ repaired: ROOT_OBJECT, what }, `repaired ${ROOT_OBJECT}: ${what}`);
}

function show({ output }: RootCall, { lost, candidates, newest, newer }: RootSearch): void {
  const item = damageItem(lost.what, { object: ROOT_OBJECT });
  output.result({ damage: item }, `damaged  ${ROOT_OBJECT}: ${lost.what}`);
  for (const candidate of candidates) {
    const isNewest = candidate === newest;
    output.result({ candidate: valueOf(candidate, isNewest) }, textOf(candidate, isNewest));
  }
  for (const cid of newer) output.result({ newer: cid }, `  ${cid}  written by a newer syncline`);
  output.result(
    { blocks: 0, bytes: 0, roots: 0, damaged: 1, repaired: 0 },
    "Nothing else can be checked without a root.",
  );
  output.notice(`Nothing was changed. ${nextStep(candidates, newest, newer)}`);
}

function nextStep(
  candidates: readonly RootCandidate[],
  newest: RootCandidate | undefined,
  newer: readonly Cid[],
): string {
  if (newer.length > 0)
    return "The newest root may be one that a newer syncline wrote. Upgrade, then run `syncline verify` again.";
  if (newest !== undefined) return "--repair makes this commit the root.";
  if (candidates.length > 0)
    return "It is not certain which commit was the newest root. Choose: --repair --root COMMIT";
  return "The bucket has no signed commit. Put the root back from a copy; after an interrupted `syncline init`, run that again.";
}

function valueOf({ commit: { cid, body }, follows, isWhole }: RootCandidate, isNewest: boolean) {
  const { seq, timeNs, machine } = body;
  return {
    commit: cid,
    seq,
    time: timeText(timeNs),
    machine: machine ?? null,
    follows: follows ?? null,
    complete: isWhole,
    newest: isNewest,
  };
}

function textOf({ commit: { cid, body }, follows, isWhole }: RootCandidate, isNewest: boolean): string {
  const { seq, timeNs, machine } = body;
  const parts = [
    `  ${cid}`,
    `seq ${seq}`,
    timeText(timeNs),
    ...(machine === undefined ? [] : [printText(machine)]),
    ...(follows === undefined ? [] : [FOLLOWS[follows]]),
    isWhole ? "complete" : "incomplete",
    ...(isNewest ? ["newest"] : []),
  ];
  return parts.join("  ");
}

const FOLLOWS = {
  yes: "follows the root seen here",
  no: "does not follow the root seen here",
  unknown: "may follow the root seen here",
};

function packedAddress(text: string): string | undefined {
  const address = unlessSync("bad_address", () => parseAddress(text));
  return address?.isPacked === true ? pinnedUrl(address) : undefined;
}

function cidIn(text: string): Cid {
  try {
    return parseCid(text);
  } catch (cause) {
    throw new SynclineError("usage", `--root: ${JSON.stringify(text)} is not a commit's CID.`, { cause });
  }
}
