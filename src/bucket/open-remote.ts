/** Opens the bucket at an address, in whichever storage that means. */
import { mapConcurrent } from "../base/concurrency.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import type { PackName, WriterId } from "../base/ids.ts";
import type { Ports } from "../base/ports.ts";
import { ROOT_OBJECT } from "../format/blocks/object-name.ts";
import { decodeRootHint } from "../format/blocks/root-hint.ts";
import { decodeRoot } from "../format/blocks/root-object.ts";
import { checkOrigin } from "../net/origin.ts";
import type { MasterAccess } from "../net/access.ts";
import { FileObjectStore } from "../objects/file-object-store.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import type { ProbeReport, RootForm } from "../objects/s3/probe.ts";
import type { S3ObjectStore } from "../objects/s3/s3-object-store.ts";
import { promptDisk } from "../objects/prompt-disk.ts";
import { type FolderAddress, type MasterAddress, parseAddress, type PackedAddress, type S3Address } from "./address.ts";
import type { HttpRemote } from "./http/http-remote.ts";
import type { LocalBlocks } from "./http/http-upload.ts";
import { PackedRemote } from "./packed/packed-remote.ts";
import type { BucketRemote } from "./remote.ts";

export interface RemoteOptions extends Pick<Ports, "clock" | "random"> {
  /** The uploading writer; absent for reading. */
  readonly writer?: (() => WriterId) | undefined;
  /** Access to a master; a bucket in a folder needs none. */
  readonly access?: MasterAccess | undefined;
  /** Copies of blocks on this machine, for a master that lost some. */
  readonly local?: LocalBlocks | undefined;
  /**
   * Called when the masters cannot tell the newest root and `readRoot` answers the last one that they know. Absent: it
   * throws `arbiter_unreachable`. Only for callers that change nothing.
   */
  readonly onStaleRoot?: (() => void) | undefined;
  /** As PackedRemoteOptions.onDoubt. */
  readonly onDoubt?: ((pack: PackName) => void) | undefined;
  /** How a new bucket in S3 keeps its root; absent: as the server's tests show. */
  readonly rootForm?: RootForm | undefined;
}

/** The most requests that are sent at once. */
const LOOKS_AT_ONCE = 16;

/** Opens the bucket without accessing it yet. Throws as `parseAddress`, and `bad_address` for a forbidden master. */
export async function openRemote(address: string, options: RemoteOptions): Promise<BucketRemote> {
  const parsed = parseAddress(address);
  return parsed.isPacked ? openStore(parsed, options) : openAtMaster(parsed, options);
}

/** As openRemote, for what only a bucket without a master can do. Throws `not_supported` for any other. */
export async function openPacked(address: string, options: RemoteOptions): Promise<PackedRemote> {
  const parsed = parseAddress(address);
  if (parsed.isPacked) return openStore(parsed, options);
  throw new SynclineError("not_supported", `${parsed.url} is at a master. This works only on a bucket without one.`, {
    hint: "The master maintains its own storage.",
  });
}

async function openStore(address: PackedAddress, options: RemoteOptions): Promise<PackedRemote> {
  const store = address.scheme === "s3" ? await openS3(address, options) : openFolder(address, options);
  return new PackedRemote(store, options);
}

/** Files in a bucket have modes of their own, but whoever reads its folder reads them all. */
export const NEW_FOLDER_MODE = 0o700;

function openFolder({ path, url }: FolderAddress, options: RemoteOptions): ObjectStore {
  const disk = promptDisk({ path, clock: options.clock });
  return new FileObjectStore({ path, address: url, disk, mode: NEW_FOLDER_MODE, ...options });
}

/** Tests the S3 server of an address; leaves no objects. Throws `not_supported` for other storage, and as `openRemote`. */
export async function probeServer(address: string, options: RemoteOptions): Promise<ProbeReport> {
  const parsed = parseAddress(address);
  if (parsed.scheme !== "s3") throw new SynclineError("not_supported", `${parsed.url} is not in S3.`);
  await using store = await openObjects(parsed, options);
  const { probe } = await import("../objects/s3/probe.ts");
  return await probe({ store, clock: options.clock, random: options.random });
}

export interface BucketInS3 {
  readonly address: string;
  /** How many parts its prefix has. */
  readonly depth: number;
}

/**
 * The bucket at an address in S3, or the nearest above it; with `isAbove` only above it. Undefined: there is none, or it has
 * lost its root, or the key may not read it. Asks for all parts of the prefix at once, one request each. Throws as
 * `openRemote`, and `store_unreachable`.
 */
export async function bucketInS3(
  address: string,
  options: RemoteOptions,
  { isAbove = false } = {},
): Promise<BucketInS3 | undefined> {
  const parsed = parseAddress(address);
  if (parsed.scheme !== "s3") return undefined;
  await using store = await openObjects({ ...parsed, prefix: "" }, options);
  const parts = parsed.prefix.split("/").slice(0, -1);
  const depths = [...parts.keys(), ...(isAbove ? [] : [parts.length])];
  const found = await mapConcurrent(depths, LOOKS_AT_ONCE, (depth) => hasRoot(store, parts.slice(0, depth)));
  const depth = found.lastIndexOf(true);
  if (depth < 0) return undefined;
  const path = [parsed.bucket, ...parts.slice(0, depth)].join("/");
  return { depth, address: `s3://${path}${parsed.url.replace(/^[^?]*/, "")}` };
}

async function hasRoot(store: S3ObjectStore, parts: readonly string[]): Promise<boolean> {
  try {
    const root = await store.below(parts.map((part) => `${part}/`).join("")).get(ROOT_OBJECT);
    if (root === undefined) return false;
    return decodeRootHint(root.bytes) !== undefined || decodeRoot(root.bytes).version > 0;
  } catch (error) {
    // Something else of that name, or forbidden.
    if (hasCode(error, "format_invalid", "store_failed", "bad_token")) return false;
    throw error;
  }
}

async function openS3(address: S3Address, options: RemoteOptions): Promise<ObjectStore> {
  const { clock, random, rootForm } = options;
  const [{ S3BucketStore }, { checkForm, chooseForm }] = await Promise.all([
    import("../objects/s3/s3-bucket-store.ts"),
    import("../objects/s3/probe.ts"),
  ]);
  const store = await openObjects(address, options);
  const tools = { store, clock, random };
  return new S3BucketStore({
    store,
    clock,
    chooseForm: () => chooseForm(tools, address.endpoint, rootForm),
    checkForm: (form) => checkForm(tools, form),
  });
}

/** Loads the S3 code here: other buckets need none of it. */
async function openObjects({ auth, ...address }: S3Address, options: RemoteOptions): Promise<S3ObjectStore> {
  const { S3ObjectStore } = await import("../objects/s3/s3-object-store.ts");
  const { clock, random, access } = options;
  if (auth === "wallet") checkOrigin(address.endpoint ?? "", access?.insecure ?? false);
  const bearer = auth === "wallet" ? access?.bearer(address.endpoint ?? "") : undefined;
  if (auth === "wallet" && bearer === undefined) {
    throw new SynclineError("bad_token", `${address.url} needs a wallet, and there is none.`);
  }
  const { tlsCa, limit, patience } = access ?? {};
  return new S3ObjectStore({ ...address, address: address.url, clock, random, bearer, tlsCa, limit, patience });
}

/** As openRemote, for a bucket at a master. Loads the HTTP code here: a bucket in a folder needs none of it. */
export async function openAtMaster(
  { url, origins, owner, bucket }: MasterAddress,
  options: RemoteOptions,
): Promise<HttpRemote> {
  const { access, local, clock, random, onStaleRoot } = options;
  if (access === undefined) throw new SynclineError("bad_token", `${url} needs a wallet, but none is available.`);
  const { tlsCa, insecure, limit } = access;
  const [{ MasterConnection }, { SendingRate }, { Masters }, { PatientMaster }, { HttpRemote }] = await Promise.all([
    import("../net/master-connection.ts"),
    import("../net/sending-rate.ts"),
    import("../net/masters.ts"),
    import("../net/patient-master.ts"),
    import("./http/http-remote.ts"),
  ]);
  // This machine's line is slow to all masters alike.
  const rate = new SendingRate(clock);
  const { silenceMs } = access.patience ?? {};
  const connect = (origin: string) => {
    const bearer = access.bearer(origin);
    return new MasterConnection(origin, { bearer, clock, tlsCa, insecure, limit, rate, silenceMs });
  };
  const name = { owner: owner ?? "", bucket };
  const masters = new Masters(origins.map(connect), clock, { random, connect, known: access.known?.(origins) });
  const { patience } = access;
  const master = patience === undefined ? masters : new PatientMaster(masters, { ...patience, clock, random });
  return new HttpRemote({ address: url, master, name, local, onStaleRoot, clock, random });
}
