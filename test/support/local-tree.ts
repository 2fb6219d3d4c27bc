/** The contents of a local folder, name by name, precise enough to compare two folders. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Path, one char per byte → type, names of a file, mode, owner, mtime in ns, and content hash or link target. */
export function census(folder: string): Map<string, string> {
  const seen = new Map<string, string>();
  visit(Buffer.from(folder), "", seen);
  return seen;
}

function visit(folder: Buffer, prefix: string, seen: Map<string, string>): void {
  for (const name of readdirSync(folder, { encoding: "buffer" })) {
    const path = Buffer.concat([folder, Buffer.from("/"), name]);
    const key = prefix + name.toString("latin1");
    const stat = lstatSync(path, { bigint: true });
    const what = stat.isDirectory()
      ? "directory"
      : stat.isSymbolicLink()
        ? "symlink"
        : stat.isFile()
          ? "file"
          : "other";
    const owner = process.getuid?.() === 0 ? `${stat.uid}:${stat.gid}` : "";
    const mode = (stat.mode & 0o7777n).toString(8);
    const links = stat.isFile() ? String(stat.nlink) : "";
    seen.set(key, [what, links, mode, owner, String(stat.mtimeNs), heldBy(path, what)].join(" "));
    if (what === "directory") visit(path, `${key}/`, seen);
  }
}

function heldBy(path: Buffer, what: string): string {
  if (what === "symlink") return readlinkSync(path, "latin1");
  return what === "file" ? createHash("sha256").update(readFileSync(path)).digest("hex") : "";
}
