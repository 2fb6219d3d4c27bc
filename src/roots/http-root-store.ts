/**
 * Roots kept by a master, read and swapped over HTTP. The master decides; nothing here is resent.
 *
 * An answer can only name a root: a CID and a version. The reader (bucket.ts) checks the commit behind it: signatures,
 * ancestry and genesis are not taken on the master's word.
 */
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { MASTER_SWAP_TIMEOUT_MS } from "../base/limits.ts";
import { orElse } from "../base/unless.ts";
import { parseCid } from "../format/blocks/cid.ts";
import { errorOf, type Refusal } from "../net/answer-errors.ts";
import { type Master, type MasterAnswer, maybeReceived, refusalIn } from "../net/master-connection.ts";
import type { BucketName, Root, RootStore, SwapOutcome } from "./root-store.ts";

/** A swap refused because blocks are missing. `missing` are those that the master named, at most a thousand. */
export class MissingBlocks extends SynclineError {
  readonly missing: readonly Cid[];
  constructor(address: string, missing: readonly Cid[]) {
    super(
      "missing_blocks",
      `${address} lacks blocks of this commit, such as ${missing[0] ?? "some that it did not name"}.`,
      {
        hint: "Agents keep unpublished data. `syncline verify --repair` uploads blocks that a cache or synced folder of this machine still holds.",
      },
    );
    this.missing = missing;
  }
}

export interface ReadRoot {
  readonly root: Root;
  /** The master's last known answer: there may be newer roots. Only for reading, never the base of a change. */
  readonly isStale: boolean;
}

export class HttpRootStore implements RootStore {
  readonly #master: Master;

  constructor(master: Master) {
    this.#master = master;
  }

  get(name: BucketName): Promise<Root | undefined> {
    return this.#patiently(async () => {
      const read = await this.read(name);
      if (read?.isStale !== true) return read?.root;
      // A stale root would look like a rollback of the bucket.
      throw new SynclineError("arbiter_unreachable", `${this.#master.address} cannot reach its own arbiter of roots.`, {
        hint: "The master is running but cannot reach its roots. See its log.",
      });
    });
  }

  /** As `get`, but answers the newest root that the masters remember while none of them reaches its arbiter. */
  async read(name: BucketName): Promise<ReadRoot | undefined> {
    const request = { method: "GET", path: rootPath(name), statuses: [200, 404] } as const;
    const answer = await this.#reach(() => this.#master.call(request));
    if (answer.status === 404) {
      const refusal = await refusalIn(answer);
      if (refusal.code === "no_such_bucket") return undefined;
      // An answer from some other server says nothing about the bucket.
      throw asArbiterError(errorOf(this.#master.address, { ...refusal, code: "store_unreachable" }));
    }
    const value = await this.#reach(() => answer.json());
    const read = { root: rootFrom(value), isStale: asObject(value)["stale"] === true };
    if (!read.isStale || answer.leave?.("its root is stale") !== true) return read;
    try {
      const other = await this.read(name);
      const isOlder = other?.isStale === true && other.root.version < read.root.version;
      return isOlder ? read : other;
    } catch (error) {
      if (!hasCode(error, "arbiter_unreachable")) throw error;
      return read;
    }
  }

  /** Also throws `missing_blocks` (a MissingBlocks), and the master's refusal of the commit; then nothing changed. */
  swap(
    name: BucketName,
    expected: Cid | undefined,
    next: Cid,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<SwapOutcome> {
    return this.#patiently(() => this.#swap(name, expected, next, headers));
  }

  async #swap(
    name: BucketName,
    expected: Cid | undefined,
    next: Cid,
    headers: Readonly<Record<string, string>>,
  ): Promise<SwapOutcome> {
    const body = Buffer.from(JSON.stringify({ root: next }));
    const condition = expected === undefined ? { "if-none-match": "*" } : { "if-match": `"${expected}"` };
    await this.#reach(() => this.#master.capabilities());
    let answer: MasterAnswer;
    try {
      answer = await this.#master.call({
        method: "PUT",
        path: rootPath(name),
        headers: { ...headers, ...condition },
        body: { type: "application/json", bytes: body.length, pieces: [body] },
        statuses: [200, 409, 412, ...SERVER_ERRORS],
        silenceMs: MASTER_SWAP_TIMEOUT_MS,
        again: "if not received",
      });
    } catch (cause) {
      if (!hasCode(cause, "store_unreachable")) throw cause;
      if (!maybeReceived(cause)) throw asArbiterError(cause);
      return { kind: "unknown", cause };
    }
    return this.#outcome(answer, name, next);
  }

  async #outcome(answer: MasterAnswer, name: BucketName, next: Cid): Promise<SwapOutcome> {
    const { status } = answer;
    if (status === 200) {
      try {
        const root = rootFrom({ root: next, ...asObject(await answer.json()) });
        if (root.commit === next) return { kind: "committed", root };
        return { kind: "unknown", cause: malformed(this.#master.address) };
      } catch (cause) {
        // The status says that the swap took place; only the body was lost.
        return { kind: "unknown", cause };
      }
    }
    // A refusal whose body breaks off is still a refusal: nothing changed.
    const refusal = await this.#reach(() => refusalIn(answer));
    if (status === 412 && refusal.code === "conflict") return this.#conflict(refusal, name);
    const error = errorOf(this.#master.address, refusal);
    if (status === 409 && refusal.code === "missing_blocks") {
      throw new MissingBlocks(this.#master.address, cidsOf(refusal.value["missing"]));
    }
    if (status < 500) throw error;
    if (refusal.value["outcome"] === "unchanged") throw asArbiterError(error);
    return { kind: "unknown", cause: error };
  }

  async #conflict({ value }: Refusal, name: BucketName): Promise<SwapOutcome> {
    if (value["current"] === null) return { kind: "conflict", current: undefined };
    try {
      return { kind: "conflict", current: rootFrom({ ...value, root: value["current"] }) };
    } catch {
      // The conflict did not include the current root or its version.
      return { kind: "conflict", current: await this.get(name) };
    }
  }

  /** What throws has changed nothing. */
  #patiently<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#master.patiently?.(work) ?? work();
  }

  async #reach<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw asArbiterError(error);
    }
  }
}

/** Below `/v1`: the caller's own bucket, or another owner's. */
export function bucketPath({ owner, bucket }: BucketName): string {
  const path = `/buckets/${encodeURIComponent(bucket)}`;
  return owner === "" ? `/v1${path}` : `/v1/owners/${encodeURIComponent(owner)}${path}`;
}

const SERVER_ERRORS = Array.from({ length: 100 }, (_, index) => 500 + index);

function rootPath(name: BucketName): string {
  return `${bucketPath(name)}/root`;
}

/** Throws `store_failed` if the value is not a root. */
export function rootFrom(value: unknown): Root {
  const { root, version } = asObject(value);
  if (typeof root !== "string" || typeof version !== "number" || !Number.isSafeInteger(version) || version < 1) {
    throw malformed("The master");
  }
  try {
    return { commit: parseCid(root), version };
  } catch (cause) {
    throw malformed("The master", cause);
  }
}

function cidsOf(value: unknown): Cid[] {
  if (!Array.isArray(value)) return [];
  const texts = value.filter((text): text is string => typeof text === "string").slice(0, MAX_MISSING);
  return orElse([], () => texts.map(parseCid));
}

const MAX_MISSING = 1_000;

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function asArbiterError(error: unknown): unknown {
  if (!hasCode(error, "store_unreachable")) return error;
  return new SynclineError("arbiter_unreachable", error.message, { hint: error.hint, cause: error });
}

function malformed(address: string, cause?: unknown): SynclineError {
  return new SynclineError("store_failed", `${address} answered with an invalid root.`, { cause });
}
