/** What people do in a synced folder. Choice numbers are resolved against what is there at that moment. */
import type { FileName } from "../../base/ids.ts";
import { nameFromText } from "../../base/names.ts";
import { SHARED_HOME } from "../beginning.ts";
import { type Tokens, tokensIn } from "../judges/tokens.ts";
import type { MemorySyncDisk } from "./memory-sync-disk.ts";

export const FOLDER_KINDS = [
  "create",
  "create",
  "overwrite",
  "append",
  "save",
  "backup",
  "make",
  "move",
  "move",
  "remove",
  "chmod",
] as const;

export interface FolderAction {
  readonly kind: (typeof FOLDER_KINDS)[number];
  readonly pick: number;
  readonly to: number;
}

/** Returns a description of what was done; undefined: nothing. */
export function performInFolder(
  disk: MemorySyncDisk,
  { kind, pick, to }: FolderAction,
  names: readonly string[],
  token: string,
  tokens: Tokens,
): string | undefined {
  // Names are bytes, represented as Latin-1 text.
  const shared = nameFromText(SHARED_HOME);
  const tree = new Map([...disk.tree()].filter(([path]) => path === shared || path.startsWith(`${shared}/`)));
  const folders = [...tree].flatMap(([path, text]) => (text === "dir" ? [path] : []));
  const files = [...tree].flatMap(([path, text]) => (text === "dir" || text.startsWith("-> ") ? [] : [path]));
  const inside = [...tree.keys()].filter((path) => path !== shared);
  const fresh = `${folders[to % Math.max(folders.length, 1)]}/${nameFromText(names[pick % names.length] ?? "r")}`;
  const file = files[pick % Math.max(files.length, 1)];
  const path = inside[pick % Math.max(inside.length, 1)];
  const line = `${token} ${kind} ${"x".repeat(pick * 3)}\n`;
  const lose = (old: string, text: string): void => {
    tokens.lose(
      tokensIn(Buffer.from(old)).filter((each) => !text.includes(each)),
      token,
    );
  };
  const write = (at: string, text: string, how: "write" | "save"): string => {
    lose(tree.get(at) ?? "", text);
    return wrote(at, text, how);
  };
  const wrote = (at: string, text: string, how: "write" | "save"): string => {
    disk[how](split(at), text);
    tokens.made.add(token);
    tokens.durable.add(token);
    return `${how} ${at} ${token}`;
  };
  if (folders.length === 0) return undefined;
  switch (kind) {
    case "create":
      return tree.has(fresh) ? undefined : write(fresh, line, "write");
    case "overwrite":
      return file && write(file, line, "write");
    case "append":
      return file && write(file, `${tree.get(file)}${line}`, "write");
    case "save":
      return file && write(file, line, "save");
    case "backup":
      if (file === undefined || tree.get(`${file}~`) === "dir") return undefined;
      lose(tree.get(`${file}~`) ?? "", tree.get(file) ?? "");
      disk.move(split(file), split(`${file}~`));
      return `with a backup: ${wrote(file, line, "write")}`;
    case "make":
      if (tree.has(fresh)) return undefined;
      disk.make(split(fresh));
      return `make ${fresh}`;
    case "chmod":
      if (file === undefined) return undefined;
      disk.chmod(split(file), [0o600, 0o755, 0o700][to % 3] ?? 0o644);
      return `chmod ${file}`;
    case "move":
      if (path === undefined || tree.has(fresh) || fresh.startsWith(`${path}/`)) return undefined;
      disk.move(split(path), split(fresh), "free");
      return `move ${path} ${fresh}`;
    case "remove":
      if (path === undefined) return undefined;
      for (const [at, text] of tree)
        if (at === path || at.startsWith(`${path}/`)) tokens.lose(tokensIn(Buffer.from(text)), token);
      disk.remove(split(path));
      return `remove ${path}`;
  }
}

function split(path: string): FileName[] {
  return path.split("/") as FileName[];
}
