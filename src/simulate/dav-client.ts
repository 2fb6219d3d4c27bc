/**
 * A careful program that works over WebDAV. When it replaces or removes a file, it names the version that it saw, so that
 * later versions survive. Folders are removed with their contents of that moment.
 */
import { ERRNO } from "../base/errno.ts";
import { SynclineError } from "../base/errors.ts";
import type { Ports } from "../base/ports.ts";
import { FsError } from "../vfs/filesystem.ts";
import { type DavAnswer, type DavDoor, type DavRequest, urlOf } from "./dav-door.ts";

export interface DavClientOptions extends Pick<Ports, "clock" | "random"> {
  readonly door: DavDoor;
  /** Told whether the request under way names the versions that it removes; the program then counts these itself. */
  readonly isCareful: (careful: boolean) => void;
  /** Whether the door ignores a request's conditions. */
  readonly forgetsConditions: boolean;
}

/** Throws FsError for what the door refuses, and `store_unreachable` for server errors. */
export class DavClient {
  readonly #options: DavClientOptions;

  constructor(options: DavClientOptions) {
    this.#options = options;
  }

  async create(path: string, bytes: Uint8Array): Promise<void> {
    await this.#send({ method: "PUT", path, body: bytes, headers: { "if-none-match": "*" } });
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#send({ method: "MKCOL", path });
  }

  async edit(path: string, change: (before: Buffer) => Buffer): Promise<void> {
    const { bytes, tag } = await this.#seen(path);
    await this.#send({ method: "PUT", path, body: change(bytes), headers: { "if-match": tag } });
  }

  /** `gone` gets the contents of a file that this replaces. */
  async rename(path: string, to: string, gone: (contents: Buffer) => void): Promise<void> {
    const target = await this.#find(to);
    if (target !== undefined && target.tag === undefined) throw new FsError(ERRNO.EISDIR, "a folder");
    if (target !== undefined && path !== to) gone(target.bytes);
    const condition = target?.tag === undefined ? {} : { if: `<${urlOf(to)}> ([${target.tag}])` };
    const headers = { destination: urlOf(to), overwrite: target === undefined ? "F" : "T", ...condition };
    await this.#send({ method: "MOVE", path, headers });
  }

  async unlink(path: string, gone: (contents: Buffer) => void): Promise<void> {
    const { bytes, tag } = await this.#seen(path);
    gone(bytes);
    await this.#send({ method: "DELETE", path, headers: { "if-match": tag } });
  }

  /** Removes a folder with its contents. */
  async removeTree(path: string): Promise<void> {
    const found = await this.#find(path);
    if (found === undefined) throw new FsError(ERRNO.ENOENT, "no such path");
    if (found.tag !== undefined) throw new FsError(ERRNO.ENOTDIR, "not a folder");
    await this.#send({ method: "DELETE", path: `${path}/` }, false);
  }

  /** A file's bytes; undefined if there is no file. */
  async read(path: string): Promise<Buffer | undefined> {
    const found = await this.#find(path);
    return found?.tag === undefined ? undefined : found.bytes;
  }

  async #seen(path: string): Promise<{ readonly bytes: Buffer; readonly tag: string }> {
    const { bytes, tag } = (await this.#find(path)) ?? {};
    const { clock, random } = this.#options;
    await clock.sleep(random.fraction() * EDIT_MS);
    if (bytes === undefined) throw new FsError(ERRNO.ENOENT, "no such path");
    if (tag === undefined) throw new FsError(ERRNO.EISDIR, "a folder");
    return { bytes, tag };
  }

  /** `tag` is undefined for a folder. */
  async #find(path: string): Promise<{ readonly bytes: Buffer; readonly tag: string | undefined } | undefined> {
    try {
      const { bytes, headers } = await this.#send({ method: "GET", path });
      return { bytes, tag: headers["etag"]?.toString() };
    } catch (error) {
      if (error instanceof FsError && error.errno === ERRNO.ENOENT) return undefined;
      throw error;
    }
  }

  async #send(request: DavRequest, careful = true): Promise<DavAnswer> {
    const { door, clock, random, forgetsConditions, isCareful } = this.#options;
    await clock.sleep(random.fraction() * TRAVEL_MS);
    const headers = forgetsConditions ? withoutConditions(request.headers ?? {}) : request.headers;
    isCareful(careful);
    const answer = await door.send({ ...request, ...(headers && { headers }) });
    isCareful(false);
    if (answer.status < 300) return answer;
    const { bytes, status } = answer;
    if (status >= 500) throw new SynclineError("store_unreachable", `${request.method}: ${status} ${bytes.toString()}`);
    throw new FsError(ERRNOS.get(status) ?? ERRNO.EIO, `${request.method}: ${status} ${bytes.toString()}`);
  }
}

function withoutConditions(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "if-match" && name !== "if"));
}

const ERRNOS: ReadonlyMap<number, number> = new Map([
  [404, ERRNO.ENOENT],
  [405, ERRNO.EEXIST],
  [409, ERRNO.ENOENT],
  [412, ERRNO.EEXIST],
]);
/** The longest time between reading a version and replacing or removing it. */
const EDIT_MS = 2_000;
/** The longest time that a request travels. */
const TRAVEL_MS = 40;
