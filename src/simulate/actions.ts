/**
 * The actions of programs on a mount. A plan's numbers choose among what the mount shows at that moment, so that actions
 * hit the same files, and a shortened plan still does something. Each new version holds a unique token, which later tells
 * whether it was lost.
 */
import { FsError } from "../vfs/filesystem.ts";
import type { DavClient } from "./dav-client.ts";
import { isDocument, newDocument, withEntry, withoutEntry } from "./documents.ts";
import { isDirectory } from "./judges/shown.ts";
import { Tokens, tokensIn } from "./judges/tokens.ts";
import type { KernelMount } from "./kernel-mount.ts";

export const KINDS = [
  ...([
    "create",
    "create",
    "makeDirectory",
    "makeDirectory",
    "overwrite",
    "append",
    "append",
    "save",
    "unnamed",
  ] as const),
  ...(["patch", "truncate", "rename", "rename", "rename", "exchange", "link", "symlink", "unlink", "unlink"] as const),
  ...(["removeDirectory", "removeTree", "chmod", "setXattr", "fsync"] as const),
];

export type Kind = (typeof KINDS)[number];

/** Chooses a path: the directories to descend, and a name there, an existing one or any. */
export interface Choice {
  readonly down: readonly number[];
  readonly name: number;
  readonly existing: boolean;
}

export interface Action {
  readonly kind: Kind;
  readonly at: Choice;
  readonly to: Choice;
  /** In the agent's own directory; otherwise in the shared one. */
  readonly own: boolean;
}

export const USUAL_PADDING = 3;
/** With this padding most files exceed their rows and have blocks of their own. */
export const LONG_PADDING = 150;

/** Names for a history's files and directories: few, so that operations meet. */
export const NAMES: readonly string[] = ["p.txt", "q.log", "r", "d", "e"];
/** Names of repositories and databases, which the default policy keeps whole. */
export const UNIT_NAMES: readonly string[] = [".git", "m.db", "m.db-wal", "m.db-shm", "m.db-journal", "d"];
/** Names that some filesystems and editors treat as equal: other cases, a letter composed and decomposed. */
export const VARIANT_NAMES: readonly string[] = ["f.json", "F.json", "\u00e9.txt", "e\u0301.txt", "d", "D"];
/** Structured text, which is merged by lines and then checked. */
export const DOCUMENT_NAMES: readonly string[] = ["f.json", "f.json", "d"];

/** An operation with its paths. `pick` decides lengths and similar details. */
export interface PlacedAction {
  readonly kind: Kind;
  readonly path: string;
  readonly target: string;
  readonly token: string;
  readonly pick: number;
  /** How much longer than its token a version may be; `pick` decides. */
  readonly padding: number;
}

export async function placeAction(
  mount: KernelMount,
  root: string,
  { kind, at, to }: Action,
  token: string,
  names = NAMES,
  padding = USUAL_PADDING,
): Promise<PlacedAction> {
  const path = await resolve(mount, root, { ...at, existing: !NEW.has(kind) }, names);
  const target = await resolve(mount, root, { ...to, existing: kind === "exchange" || to.existing }, names);
  return { kind, path, target, token, pick: to.name, padding };
}

const NEW: ReadonlySet<string> = new Set(["create", "makeDirectory", "unnamed", "symlink"]);

/** Performs the operation. Returns 0 or a Linux error number; `tokens` notes the versions made and destroyed. */
export function perform(mount: KernelMount, operation: PlacedAction, tokens = new Tokens()): Promise<number> {
  return performing(tokens, (made) => run(mount, operation, made, tokens));
}

/** As `perform`, over WebDAV; operations that WebDAV lacks are skipped. */
export function performOverDav(client: DavClient, operation: PlacedAction, tokens: Tokens): Promise<number> {
  return performing(tokens, (made) => runOverDav(client, operation, made, tokens));
}

/** `run` adds the tokens that it creates to `made`. */
async function performing(tokens: Tokens, run: (made: string[]) => Promise<void>): Promise<number> {
  const made: string[] = [];
  try {
    await run(made);
    for (const token of made) tokens.made.add(token);
    return 0;
  } catch (error) {
    if (error instanceof FsError) return error.errno;
    throw error;
  }
}

async function run(mount: KernelMount, operation: PlacedAction, made: string[], tokens: Tokens): Promise<void> {
  const { kind, path, target, token, pick } = operation;
  const { fresh } = contentsFor(operation);
  switch (kind) {
    case "create":
      await mount.create(path, fresh);
      made.push(token);
      return;
    case "unnamed":
      await mount.createUnnamed(path, fresh);
      made.push(token);
      return;
    case "symlink":
      await mount.makeSymlink(path, token);
      made.push(token);
      return;
    case "makeDirectory":
      return mount.makeDirectory(path);
    case "overwrite":
    case "append":
    case "patch":
    case "truncate":
      return edit((before) => changeFor(operation, before));
    case "save":
      if ((await mount.show(`${path}~`)) === undefined) await mount.create(`${path}~`, fresh);
      else await edit(() => whole(fresh), `${path}~`);
      made.push(token);
      return mount.rename(`${path}~`, path, false, destroy);
    case "rename":
      return mount.rename(path, target, false, destroy);
    case "exchange":
      return mount.rename(path, target, true);
    case "link":
      return mount.link(path, target);
    case "unlink":
      return mount.unlink(path, destroy);
    case "removeDirectory":
      return mount.removeDirectory(path);
    case "removeTree":
      return removeTree(path);
    case "fsync":
      return mount.fsync(path, synced);
    case "chmod":
      return mount.chmod(path, [0o600, 0o755, 0o700][pick % 3] ?? 0o644);
    case "setXattr":
      return mount.setXattr(path, "user.x", Buffer.from(token));
  }

  function destroy(contents: Buffer): void {
    lose(tokensIn(contents));
  }

  function lose(lost: readonly string[]): void {
    tokens.lose(lost, token);
  }

  function synced(contents: Buffer): void {
    for (const token of tokensIn(contents)) tokens.durable.add(token);
  }

  async function edit(change: (before: Buffer) => Change, file = path): Promise<void> {
    let before: string[] = [];
    let after: string[] = [];
    const changing = mount.edit(file, (bytes) => {
      const next = change(bytes);
      before = tokensIn(bytes);
      after = tokensIn(changed(bytes, next));
      lose(before.filter((old) => !after.includes(old)));
      if (next.size !== undefined) tokens.rewrite(before, token);
      if (bytes.subarray(next.offset, next.offset + next.bytes.length).includes(0))
        tokens.overwriteZeros(Tokens.makerOf(token));
      return next;
    });
    await changing.catch((error: unknown) => {
      // The disk was full: the file may be truncated but not rewritten.
      lose(before);
      throw error;
    });
    made.push(...after.filter((fresh) => !before.includes(fresh)));
  }

  async function removeTree(at: string): Promise<void> {
    for (const name of (await mount.show(at))?.names ?? []) {
      const inside = `${at}/${name}`;
      const shown = await mount.show(inside);
      if (shown !== undefined && isDirectory(shown.attributes)) await removeTree(inside);
      else await mount.unlink(inside, destroy);
    }
    await mount.removeDirectory(at);
  }
}

async function runOverDav(client: DavClient, operation: PlacedAction, made: string[], tokens: Tokens): Promise<void> {
  const { kind, path, target, token } = operation;
  const { fresh } = contentsFor(operation);
  const destroy = (contents: Buffer) => tokens.lose(tokensIn(contents), token);
  switch (kind) {
    case "create":
    case "unnamed":
      await client.create(path, fresh);
      made.push(token);
      return;
    case "makeDirectory":
      return client.makeDirectory(path);
    case "overwrite":
    case "append":
    case "patch":
    case "truncate":
    case "save":
      return client.edit(path, (before) => {
        const bytes = kind === "save" ? fresh : changed(before, changeFor(operation, before));
        const [old, now] = [tokensIn(before), tokensIn(bytes)];
        tokens.lose(
          old.filter((each) => !now.includes(each)),
          token,
        );
        made.push(...now.filter((each) => !old.includes(each)));
        return bytes;
      });
    case "rename":
      return client.rename(path, target, destroy);
    case "unlink":
      return client.unlink(path, destroy);
    case "removeDirectory":
    case "removeTree":
      return client.removeTree(path);
    case "exchange":
    case "link":
    case "symlink":
    case "chmod":
    case "setXattr":
    case "fsync":
      return;
  }
}

/** What the action writes: a version, and the bytes of a new file. */
function contentsFor({ kind, path, token, pick, padding }: PlacedAction): {
  readonly version: string;
  readonly fresh: Buffer;
} {
  const version = `${token} ${kind} ${"x".repeat(pick * padding)}`;
  return { version, fresh: isDocument(path) ? newDocument(pick, version) : Buffer.from(`${version}\n`) };
}

/** How a file's bytes change. A JSON file is rewritten as a whole. */
function changeFor(operation: PlacedAction, before: Buffer): Change {
  const { kind, path, pick } = operation;
  const { version, fresh } = contentsFor(operation);
  const document = isDocument(path) ? documentChange(kind, before, pick, version) : undefined;
  if (document !== undefined) return whole(document);
  if (kind === "overwrite") return whole(fresh);
  const line = Buffer.from(`${version}\n`);
  if (kind === "append") return { offset: before.length, bytes: line };
  if (kind === "patch") return { offset: pick * 10, bytes: line };
  return { offset: 0, bytes: Buffer.alloc(0), size: pick * 15 };
}

function documentChange(kind: Kind, before: Buffer, pick: number, version: string): Buffer | undefined {
  if (kind === "append") return withEntry(before, pick, version);
  return withoutEntry(before, pick, kind === "truncate" ? undefined : version);
}

/** Replaces the whole contents. */
function whole(bytes: Uint8Array): Change {
  return { offset: 0, bytes, size: 0 };
}

interface Change {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly size?: number;
}

function changed(before: Buffer, { offset, bytes, size = before.length }: Change): Buffer {
  const end = bytes.length === 0 ? 0 : offset + bytes.length;
  const after = Buffer.alloc(Math.max(size, end));
  before.copy(after, 0, 0, size);
  if (bytes.length > 0) after.set(bytes, offset);
  return after;
}

async function resolve(
  mount: KernelMount,
  root: string,
  { down, name, existing }: Choice,
  given: readonly string[],
): Promise<string> {
  let at = root;
  for (const pick of down) {
    const inside = await directoriesIn(mount, at);
    const next = inside[pick % Math.max(inside.length, 1)];
    if (next === undefined) break;
    at = `${at}/${next}`;
  }
  const names = (await mount.show(at))?.names ?? [];
  const known = existing ? names[name % Math.max(names.length, 1)] : undefined;
  return `${at}/${known ?? given[name % given.length] ?? "r"}`;
}

async function directoriesIn(mount: KernelMount, path: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await mount.show(path))?.names ?? []) {
    const shown = await mount.show(`${path}/${name}`);
    if (shown !== undefined && isDirectory(shown.attributes)) found.push(name);
  }
  return found;
}
