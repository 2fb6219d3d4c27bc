/** Opens the store of a master's packs: a folder, or S3. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import type { Ports } from "../../base/ports.ts";
import { unless } from "../../base/unless.ts";
import { parseAddress, type S3Address } from "../../bucket/address.ts";
import { unreachable } from "../../objects/disk.ts";
import { FileObjectStore, type FileObjectStoreOptions } from "../../objects/file-object-store.ts";
import type {
  ByteRange,
  ObjectBody,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoredObject,
} from "../../objects/object-store.ts";
import type { S3ObjectStore } from "../../objects/s3/s3-object-store.ts";
import { type MasterObjects, PAST_OBJECT } from "./pack-objects.ts";

/** Changes nothing: a folder is made with its first object. Throws `bad_address`, `not_supported`, and the store's errors. */
export async function openMasterObjects(address: string, ports: StorePorts): Promise<MasterObjects> {
  const parsed = parseAddress(address);
  if (parsed.scheme === "http") {
    throw new SynclineError("not_supported", `${parsed.url} is not a store of packs.`, {
      hint: "Give a folder (file:///srv/packs) or S3 (s3://bucket/prefix?endpoint=…).",
    });
  }
  const objects = parsed.scheme === "s3" ? await openS3(parsed, ports) : openFolder(parsed.path, parsed.url, ports);
  try {
    if (parsed.scheme === "s3" || existsSync(parsed.path)) await objects.top.initialize();
    return objects;
  } catch (error) {
    await objects[Symbol.asyncDispose]();
    throw error;
  }
}

type StorePorts = Pick<Ports, "clock" | "random">;

const OWNER = /^owners\/(0x[0-9a-f]{40})\//;

async function openS3({ auth, ...address }: S3Address, ports: StorePorts): Promise<MasterObjects> {
  if (auth === "wallet") {
    throw new SynclineError("not_supported", "A master's store needs keys of its own: auth=wallet is for agents.", {
      hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
    });
  }
  const { S3ObjectStore: Store } = await import("../../objects/s3/s3-object-store.ts");
  const top: S3ObjectStore = new Store({ ...address, address: address.url, ...ports });
  return {
    address: address.url,
    top,
    of: (owner) => top.below(`owners/${owner}/`),
    async owners() {
      const owners = new Set<Wallet>();
      for await (const { name } of top.list("owners/")) {
        const owner = OWNER.exec(name)?.[1];
        if (owner !== undefined) owners.add(owner as Wallet);
      }
      return [...owners].toSorted();
    },
    [Symbol.asyncDispose]: () => top[Symbol.asyncDispose](),
  };
}

function openFolder(path: string, address: string, ports: StorePorts): MasterObjects {
  const top = new TopFolder({ path, address, ...ports });
  return {
    address,
    top,
    of: (owner) =>
      new OwnerFolder({ path: join(path, "owners", owner), address: `${address}/owners/${owner}`, ...ports }, top),
    async owners() {
      const names = await unless("ENOENT", () => readdir(join(path, "owners")), []);
      return names.filter((name) => OWNER.test(`owners/${name}/`)).toSorted() as Wallet[];
    },
    [Symbol.asyncDispose]: () => top[Symbol.asyncDispose](),
  };
}

/** A folder that is made with its first object. */
class LazyFolder extends FileObjectStore implements ObjectStore {
  #made: Promise<void> | undefined;

  override async putNew(name: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    this.#made ??= this.initialize();
    await this.#made.catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return super.putNew(name, body, options);
  }
}

/**
 * The store's folder. If its disk goes away while a master runs, an empty folder is left at the mount point. The object that
 * names the arbiter is then missing, which tells this from an empty store.
 */
class TopFolder extends LazyFolder {
  #isUsed = false;

  /** Throws `store_unreachable` if the object that is never deleted is missing. */
  override async get(name: string): Promise<StoredObject | undefined> {
    const found = await super.get(name);
    if (name === PAST_OBJECT && found === undefined && this.#isUsed) throw unreachable(this.address);
    if (name === PAST_OBJECT) this.#isUsed = found !== undefined;
    return found;
  }
}

/** An owner's folder. An object that is missing may be on a disk that is away. */
class OwnerFolder extends LazyFolder {
  readonly #top: TopFolder;

  constructor(options: FileObjectStoreOptions, top: TopFolder) {
    super(options);
    this.#top = top;
  }

  override async initialize(): Promise<void> {
    await this.#top.get(PAST_OBJECT);
    await super.initialize();
  }

  override getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    return this.#unlessAway(super.getRanges(name, ranges));
  }

  override getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    return this.#unlessAway(super.getTail(name, length));
  }

  async #unlessAway<Result>(reading: Promise<Result>): Promise<Result> {
    try {
      return await reading;
    } catch (error) {
      if (hasCode(error, "object_not_found")) await this.#top.get(PAST_OBJECT);
      throw error;
    }
  }
}
