/** Root gives a folder's owner what it makes there, and nothing elsewhere. */
import { chownSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemDisk } from "../../../src/objects/disk.ts";
import { FolderRights } from "../../../src/objects/folder-rights.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const OWNER = 65_534;

test.skipIf(process.platform !== "linux" || process.getuid?.() !== 0)(
  "what root makes through a link stays root's",
  async () => {
    const top = await temporaryFolder();
    const [folder, elsewhere] = [join(top, "folder"), join(top, "elsewhere")];
    for (const each of [folder, elsewhere, join(folder, "own")]) mkdirSync(each);
    chownSync(folder, OWNER, OWNER);
    symlinkSync(elsewhere, join(folder, "linked"));
    const rights = new FolderRights(systemDisk, folder);
    for (const name of ["own", "linked"]) {
      await using file = await open(join(folder, name, "file"), "wx");
      await rights.giveToFile(file);
    }
    mkdirSync(join(folder, "linked/folder"));
    await rights.giveToFolder(join(folder, "linked/folder"));
    expect(statSync(join(folder, "own/file")).uid).toBe(OWNER);
    expect(statSync(join(elsewhere, "file")).uid).toBe(0);
    expect(statSync(join(elsewhere, "folder")).uid).toBe(0);
  },
);
