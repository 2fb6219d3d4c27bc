/** `syncline init`: makes a bucket. */
import { existsSync } from "node:fs";
import { unless } from "../../base/unless.ts";
import { rootFile } from "../../agent/state/root-file.ts";
import { stateRoot } from "../../agent/state/state-dir.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import { createDeviceKey } from "../../crypto/device-key.ts";
import { Bucket } from "../../bucket/bucket.ts";
import { parseAddress } from "../../bucket/address.ts";
import { bucketInS3, NEW_FOLDER_MODE, openRemote } from "../../bucket/open-remote.ts";
import type { BucketRemote } from "../../bucket/remote.ts";
import type { SeenRoot } from "../../bucket/root-witness.ts";
import { type BucketPath, locateBucket } from "./bucket-path.ts";
import { type Call, command } from "../command.ts";
import { type BucketOption, writingAccess, BUCKET_OPTIONS } from "../master-access.ts";
import { loadWallet } from "../wallet.ts";

/** Windows has no modes: folders there inherit who may read them. */
const ALONE =
  process.platform === "win32" ? "" : `\nFolder: readable by you alone (mode 0${NEW_FOLDER_MODE.toString(8)})`;

/** The device that signs the first commit is used only for that. */
const FIRST_DEVICE_SECONDS = 3600;

export const register = command({
  name: "init",
  arguments: [["<url>", "where to create the bucket"]],
  summary: "create a bucket; an existing one stays unchanged",
  options: [...BUCKET_OPTIONS, "roots"],
  examples: [
    "syncline init file:///srv/bucket",
    "syncline init http://127.0.0.1:3600/notes",
    "syncline init 's3://my-bucket/notes?endpoint=https://minio.example:9000'",
  ],
  exits: [4, 5, 6],
  async run(call) {
    const { args, options, output, runtime } = call;
    const { clock, random } = runtime;
    const parsed = parseAddress(args[0] ?? "");
    const address = parsed.url;
    const makesFolder = parsed.scheme === "file" && !existsSync(parsed.path);
    await using remote = await openRemote(address, {
      access: writingAccess(call),
      clock,
      random,
      rootForm: options.roots,
    });
    if (await hasRoot(remote, parsed.isRemote)) {
      throw new SynclineError("bucket_exists", `A bucket already exists at ${address}.`, {
        hint: "Mount it, or choose another address.",
      });
    }
    await refuseWithinBucket(call, address);
    const memory = rootFile(stateRoot(runtime.env, options.state), address);
    if (options.accept !== true) await refuseAgain(remote, address, memory.read());
    const owner = await loadWallet(call);
    const notAfter = Number(clock.nowNs() / 1_000_000_000n) + FIRST_DEVICE_SECONDS;
    const ownership = { mode: 0o755, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const device = createDeviceKey(random);
    const { genesis, root } = await Bucket.create(remote, { owner, device, notAfter, clock, random, ...ownership });
    memory.replace(root);
    const pinned = `${address}#${genesis.cid}`;
    output.result(
      { address, genesis: genesis.cid, owner: owner.wallet, pinned },
      `Created a bucket at ${address}\nOwner: ${owner.wallet}\nGenesis: ${genesis.cid}${makesFolder ? ALONE : ""}`,
    );
  },
});

/** If a bucket was seen here before, its disk may just be away. */
async function refuseAgain(remote: BucketRemote, address: string, seen: SeenRoot | undefined): Promise<void> {
  if (seen === undefined) return;
  const lost = await remote.lostRoot?.();
  if (lost?.hint !== undefined)
    throw new SynclineError("bucket_exists", lost.message, { hint: lost.hint, cause: lost });
  throw new SynclineError("foreign_bucket", `The bucket ${seen.genesis} was at ${address}, but is missing now.`, {
    hint: "If its disk is not mounted, mount it. If it was removed on purpose, run the command again with --accept.",
  });
}

/** A bucket's folder holds nothing else: `init BUCKET/PATH` was probably meant to make a directory. */
async function refuseWithinBucket(call: Call<BucketOption>, address: string): Promise<void> {
  if (/^https?:/.test(address)) return;
  const { clock, random } = call.runtime;
  const isInS3 = address.startsWith("s3:");
  const above = await (isInS3
    ? bucketInS3(address, { clock, random, access: writingAccess(call) }, { isAbove: true })
    : bucketAbove(call, address));
  if (above === undefined) return;
  throw new SynclineError(
    "bucket_exists",
    `${address} is inside the ${isInS3 ? "" : "folder of the "}bucket ${above.address}.`,
    {
      hint: "Choose an address outside it. To make a directory in the bucket, use `syncline put -r`, or mkdir in a mount.",
    },
  );
}

async function bucketAbove(call: Call<BucketOption>, address: string): Promise<BucketPath | undefined> {
  return unless("no_such_bucket", () => locateBucket(call, new URL(`${address}/..`).href, writingAccess(call)));
}

/**
 * If an earlier `init` was interrupted, the bucket has a genesis and no root: making it again completes it. Throws as reading
 * does if a server does not answer.
 */
async function hasRoot(remote: BucketRemote, isRemote: boolean): Promise<boolean> {
  try {
    return (await remote.readRoot()) !== undefined;
  } catch (error) {
    if (!hasCode(error, "arbiter_unreachable", "store_unreachable")) throw error;
    if (isRemote && (await remote.lostRoot?.()) === undefined) throw error;
    return false;
  }
}
