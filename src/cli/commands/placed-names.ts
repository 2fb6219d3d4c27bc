/**
 * What a copy put into one directory. A disk may take several of its names for one (case, Unicode): then what the copy put
 * there itself must not be replaced. Remembers something only if a lookup by another spelling shows that the disk does this.
 */
import type { FileName } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import type { DiskPath, DiskStat, SyncDisk } from "../../sync/disk/disk.ts";

type Inode = Pick<DiskStat, "dev" | "ino">;

export class PlacedNames {
  readonly #disk: Pick<SyncDisk, "look" | "list">;
  readonly #directory: DiskPath;
  readonly #untried = new Set([CASE, FORM]);
  readonly #ignored: Spelling[] = [];
  /** Inodes, and names without what the disk ignores: some disks give a file another inode number later. */
  readonly #placed = new Set<bigint | string>();

  constructor(disk: Pick<SyncDisk, "look" | "list">, directory: DiskPath) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** The copy put this inode at a name. */
  async note(name: FileName, placed: Inode): Promise<void> {
    for (const spelling of this.#untried) {
      const other = spelling.other(name);
      if (other === name) continue;
      this.#untried.delete(spelling);
      if (await this.#areOne(name, other, placed)) this.#ignored.push(spelling);
    }
    if (this.#ignored.length > 0) this.#placed.add(keyOf(placed)).add(this.#plain(name));
  }

  /** Whether the copy put there itself what is at a name. */
  async has(name: FileName): Promise<boolean> {
    if (this.#placed.size === 0) return false;
    const there = await this.#disk.look(this.#directory.concat(name));
    return there !== undefined && (this.#placed.has(keyOf(there)) || this.#placed.has(this.#plain(name)));
  }

  /** Two hard links that the disk tells apart are both in the listing. */
  async #areOne(name: FileName, other: FileName, placed: Inode): Promise<boolean> {
    const there = await this.#disk.look(this.#directory.concat(other));
    if (there === undefined || keyOf(there) !== keyOf(placed)) return false;
    const listed = await this.#disk.list(this.#directory).catch(() => []);
    const names = new Set(listed.map((each) => each.name));
    return !names.has(name) || !names.has(other);
  }

  #plain(name: FileName): string {
    return this.#ignored.reduce((plain, { without }) => without(plain), name);
  }
}

/** A difference between names that some disks ignore. */
interface Spelling {
  /** Another spelling; the same name if there is none. */
  other(name: FileName): FileName;
  /** The same for all spellings. */
  without(name: FileName): FileName;
}

function keyOf({ dev, ino }: Inode): bigint {
  return (dev << 64n) | ino;
}

const CASE: Spelling = {
  other(name) {
    const other = name.replace(/[a-z]/gi, (letter) => otherLetter(letter));
    return other === name ? withText(name, (text) => Array.from(text, otherLetter).join("")) : (other as FileName);
  },
  without: (name) => withText(name, (text) => text.toLowerCase()),
};

/** A letter and its accent as one character or as two (NFC, NFD). */
const FORM: Spelling = {
  other: (name) => withText(name, (text) => text.normalize(text.normalize("NFD") === text ? "NFC" : "NFD")),
  without: (name) => withText(name, (text) => text.normalize("NFC")),
};

/** The letter in the other case; one without a one-letter counterpart, such as ß, stays. */
function otherLetter(letter: string): string {
  const [small, capital] = [letter.toLowerCase(), letter.toUpperCase()];
  if (small.toUpperCase() !== capital || capital.toLowerCase() !== small) return letter;
  return letter === small ? capital : small;
}

/** A name that is not UTF-8 stays. */
function withText(name: FileName, change: (text: string) => string): FileName {
  const text = nameToText(name);
  const isText = Buffer.from(text, "utf8").toString("latin1") === name;
  return isText ? (Buffer.from(change(text), "utf8").toString("latin1") as FileName) : name;
}
