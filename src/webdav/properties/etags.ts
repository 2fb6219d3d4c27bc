/**
 * Entity tags: strong, and derived from the name of a file's bytes. One content has one tag on every agent of the bucket,
 * before and after it is published, and across restarts. Two contents never share one, whatever their times.
 */
import type { Cid, Ino } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { addressOf } from "../../blocks/block-codec.ts";
import type { ContentConfig } from "../../content/config.ts";
import { type ContentWriter, isOneChunk, namingBytes, namingWriter } from "../../content/write.ts";
import { type ContentName, type ContentNames, nameOfContent } from "../../vfs/content-names.ts";
import type { Attributes, FileSystem, ListedAttributes } from "../../vfs/filesystem.ts";
import { type ChecksumStore, KnownChecksums } from "./checksums.ts";
import { MAX_NAMING_BYTES, NAMED_AT_ONCE_BYTES } from "../limits.ts";

export class Etags {
  readonly checksums: KnownChecksums;
  readonly #names: ContentNames;
  readonly #config: ContentConfig;
  /** Distinguishes this run's versions from those of others. */
  readonly #run: string;
  /** Memory of the names that are being computed. */
  #namingBytes = 0;

  constructor(names: ContentNames, config: ContentConfig, random: Random, checksums?: ChecksumStore) {
    this.checksums = new KnownChecksums(checksums);
    this.#names = names;
    this.#config = config;
    this.#run = Buffer.from(random.bytes(12)).toString("base64url");
  }

  /**
   * A file's tag, with its quotes. Large contents that were not written through this door have a temporary tag until they
   * are published. Throws BlockMiss.
   */
  of(fs: FileSystem, attributes: ListedAttributes): string {
    const { size, contentName } = attributes;
    const bytes = size.toString(36);
    if (contentName !== undefined) return `"${shortName(contentName)}.${bytes}"`;
    const { ino } = attributes;
    const { name = this.#nameNow(fs, ino, size), version } = this.#names.contentName(ino);
    return name === undefined
      ? `"${this.#run}.${ino.toString(36)}.${version.toString(36)}.${bytes}"`
      : `"${shortName(name)}.${bytes}"`;
  }

  /** For bytes that are being written: `size` of them, if known. Undefined if they are few, or too many bodies arrive already. */
  naming(size: number | undefined): BodyName | undefined {
    if (size === undefined || size <= NAMED_AT_ONCE_BYTES) return undefined;
    const bytes = namingBytes(this.#config, size);
    if (this.#namingBytes + bytes > MAX_NAMING_BYTES) return undefined;
    this.#namingBytes += bytes;
    return new BodyName(this.#names, namingWriter(this.#config, size), () => void (this.#namingBytes -= bytes));
  }

  /** Identifies a file's current bytes, for later comparison, by its current attributes. Throws BlockMiss. */
  bytesOf({ ino, size, ctimeNs }: Attributes): Bytes {
    return { ...this.#names.contentName(ino), ino, size, ctimeNs };
  }

  /** Whether the file still has these bytes. Throws BlockMiss. */
  has(fs: FileSystem, bytes: Bytes): boolean {
    const now = this.#names.contentName(bytes.ino);
    if (now.name !== undefined && bytes.name !== undefined) return now.name === bytes.name;
    if (now.version === bytes.version && now.name === bytes.name) return true;
    // Either published or changed meanwhile. The ctime tells, which programs cannot set.
    const { size, ctimeNs } = fs.getAttributes(bytes.ino);
    return now.name !== undefined && size === bytes.size && ctimeNs === bytes.ctimeNs;
  }

  /** `to` has the same bytes now. */
  copied({ name }: Bytes, to: Ino): void {
    if (name !== undefined) this.#names.nameContent(to, name);
  }

  #nameNow(fs: FileSystem, ino: Ino, size: number): Cid | undefined {
    if (size > NAMED_AT_ONCE_BYTES) return undefined;
    // A listed size may be outdated.
    const bytes = Buffer.allocUnsafe(size + 1);
    if (fs.read(ino, 0, size + 1, bytes) !== size) return undefined;
    return this.whole(ino, bytes.subarray(0, size));
  }

  /** The file has exactly these bytes. If they are few, they are named now, and need not be read again. */
  whole(ino: Ino, bytes: Uint8Array): Cid | undefined {
    const isShort = bytes.length <= this.#config.inlineLimit;
    if (!isShort && (bytes.length > NAMED_AT_ONCE_BYTES || !isOneChunk(this.#config, bytes.length))) return undefined;
    const name = addressOf("raw", bytes);
    this.#names.nameContent(ino, name);
    return name;
  }
}

/**
 * The letter that tells a chunk from a list, and 158 bits of the hash: finding two contents that share them would take 2^79
 * tries. Some clients have little room for a tag: litmus puts two of them and a lock's token into 200 bytes.
 */
function shortName(name: Cid): string {
  return `${name[CODEC_AT]}${name.slice(-TAG_LETTERS)}`;
}

const CODEC_AT = 3;
const TAG_LETTERS = 32;

export interface Bytes extends ContentName {
  readonly ino: Ino;
  readonly size: number;
  readonly ctimeNs: bigint;
}

/** Computes the name of a body while it arrives. */
export class BodyName implements Disposable {
  readonly #names: ContentNames;
  readonly #writer: ContentWriter;
  readonly #release: () => void;

  constructor(names: ContentNames, writer: ContentWriter, release: () => void) {
    this.#names = names;
    this.#writer = writer;
    this.#release = release;
  }

  push(bytes: Uint8Array): Promise<void> {
    return this.#writer.push(bytes);
  }

  /** All bytes have arrived, and are in the file. */
  async finish(ino: Ino): Promise<void> {
    this.#names.nameContent(ino, nameOfContent(await this.#writer.finish()));
  }

  /** Call it once. */
  [Symbol.dispose](): void {
    this.#release();
  }
}
