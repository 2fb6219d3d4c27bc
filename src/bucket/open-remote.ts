/** Opens the bucket at an address: the only place that knows which storage an address means. */
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import type { WriterId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { MasterAccess } from "../net/access.ts";
import { FileObjectStore } from "../objects/file-object-store.ts";
import { promptDisk } from "../objects/prompt-disk.ts";
import { parseAddress, type FolderAddress, type MasterAddress } from "./address.ts";
import type { HttpRemote } from "./http/http-remote.ts";
import type { LocalBlocks } from "./http/http-upload.ts";
import { PackedRemote } from "./packed/packed-remote.ts";
import type { BucketRemote } from "./remote.ts";

export interface RemoteOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** The uploading writer; absent for reading. */
  readonly writer?: WriterId | undefined;
  /** Access to a master; a bucket in a folder needs none. */
  readonly access?: MasterAccess | undefined;
  /** Copies of blocks on this machine, for a master that lost some. */
  readonly local?: LocalBlocks | undefined;
}

/** Opens the bucket without accessing it yet. Throws as `parseAddress`, and `bad_address` for a forbidden master. */
export async function openRemote(address: string, options: RemoteOptions): Promise<BucketRemote> {
  const parsed = parseAddress(address);
  return parsed.isPacked ? openFolder(parsed, options) : openAtMaster(parsed, options);
}

/** As openRemote, for what only a bucket in a folder can do. Throws `not_supported` for any other. */
export function openPacked(address: string, options: RemoteOptions): PackedRemote {
  const parsed = parseAddress(address);
  if (parsed.isPacked) return openFolder(parsed, options);
  throw new SynclineError("not_supported", `${parsed.url} is at a master. This works only on a bucket in a folder.`, {
    hint: "The master maintains its own storage.",
  });
}

function openFolder({ path, url }: FolderAddress, options: RemoteOptions): PackedRemote {
  const disk = promptDisk({ path, clock: options.clock });
  return new PackedRemote(new FileObjectStore({ path, address: url, disk, ...options }), options);
}

/** As openRemote, for a bucket at a master. Loads the HTTP code here: a bucket in a folder needs none of it. */
export async function openAtMaster(
  { url, origins, owner, bucket }: MasterAddress,
  options: RemoteOptions,
): Promise<HttpRemote> {
  const { access, local, clock, random } = options;
  if (access === undefined) throw new SynclineError("bad_token", `${url} needs a wallet, but none is available.`);
  const { tlsCa, insecure } = access;
  const [{ MasterConnection }, { Masters }, { PatientMaster }, { HttpRemote }] = await Promise.all([
    import("../net/master-connection.ts"),
    import("../net/masters.ts"),
    import("../net/patient-master.ts"),
    import("./http/http-remote.ts"),
  ]);
  const connections = origins.map((origin) => {
    return new MasterConnection(origin, { bearer: access.bearer(origin), clock, tlsCa, insecure });
  });
  const name = { owner: owner ?? "", bucket };
  const masters = new Masters(connections, clock);
  const { patience } = access;
  const master = patience === undefined ? masters : new PatientMaster(masters, { ...patience, clock, random });
  return new HttpRemote({ address: url, master, name, local, clock, random });
}
