/** The files of a wallet key: the keystore, and a generated passphrase beside it. Readable by their owner only. */
import { link, open, readFile, rm } from "node:fs/promises";
import { dirname, join, parse } from "node:path";
import { makeFolders } from "../runtime/make-folders.ts";
import { unless } from "../base/unless.ts";
import { SynclineError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { failedWith } from "../base/system-errors.ts";
import { syncFolder, systemDisk } from "../objects/disk.ts";

/** Where a generated passphrase goes: `key.pass` for `key.json`. */
export function passphrasePathOf(keyPath: string): string {
  const { dir, name } = parse(keyPath);
  return join(dir, `${name}.pass`);
}

/** The file's text, or undefined if it does not exist. */
export async function readIfThere(path: string): Promise<string | undefined> {
  return unless("ENOENT", () => readFile(path, "utf8"));
}

/**
 * Makes the file atomically and durably, mode 0600. Throws `path_exists` if it exists already: a key is never overwritten.
 */
export async function createSecretFile(path: string, text: string, random: Random): Promise<void> {
  const folder = dirname(path);
  makeFolders(folder, 0o700);
  const temporary = `${path}.${Buffer.from(random.bytes(8)).toString("hex")}`;
  try {
    await using file = await open(temporary, "wx", 0o600);
    await file.writeFile(text);
    await file.sync();
    await link(temporary, path);
  } catch (cause) {
    if (!failedWith(cause, "EEXIST")) throw cause;
    throw new SynclineError("path_exists", `${path} already exists.`, {
      hint: "Choose another file with --key; a key is never overwritten.",
      cause,
    });
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(systemDisk, folder);
}
