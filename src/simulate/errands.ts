/** Commands run beside an agent: `put` of a new or existing file, `restore`, and `policy set`. */
import { type FileName, ROOT_ID } from "../base/ids.ts";
import { silentLog } from "../base/log.ts";
import { nameFromText } from "../base/names.ts";
import { listDirectory, lookup, resolvePath } from "../fstree/fs-reader.ts";
import { keptCommits } from "../bucket/history.ts";
import type { PublishContext } from "../bucket/publish.ts";
import type { VerifiedCommit } from "../bucket/verified-commit.ts";
import { type BucketWriter, openWriter, type Path } from "../bucket/writer.ts";
import { sourceOfBytes } from "../bucket/writer/file-source.ts";
import { DEFAULT_POLICY, type Policy } from "../format/commits/policy.ts";
import { NodeStore } from "../tree/node-store.ts";
import { SHARED_HOME } from "./beginning.ts";
import { isDocument, newDocument } from "./documents.ts";
import { type Sabotage, sabotagedMerge } from "./sabotage.ts";
import { tokensUnder } from "./judges/tree-tokens.ts";

export const ERRANDS = ["put", "put over", "put over", "put over", "restore", "restore", "policy set"] as const;

export type Errand = (typeof ERRANDS)[number];

export interface ErrandOptions {
  readonly kind: Errand;
  /** Picks from what exists. */
  readonly pick: number;
  readonly context: Omit<PublishContext, "log">;
  /** Written into the file's contents, or into a glob of text of the policy. */
  readonly token: string;
  /** Called with the versions that it is about to replace or remove. */
  readonly replaces: (tokens: readonly string[]) => void;
  readonly sabotage: Sabotage | undefined;
}

export interface ErrandOutcome {
  /** Whether the result is in the bucket for certain. */
  readonly isDone: boolean;
  /** Whether the token stands for a version of a file. */
  readonly hasMade: boolean;
  readonly faults: readonly string[];
}

/** Throws as the commands do. */
export async function runErrand(options: ErrandOptions): Promise<ErrandOutcome> {
  const { kind, sabotage } = options;
  const merge = sabotage === "a put that drops conflict copies" ? sabotagedMerge("a conflict copy dropped") : undefined;
  const context = { ...options.context, log: silentLog, ...(merge && { merge }) };
  await using writer = await openWriter(context, 1);
  const errand = new ErrandRun(options, writer);
  if (kind === "put") return errand.put([SHARED_HOME, `put ${options.token}`].map(nameFromText));
  if (kind === "put over") return errand.putOver();
  if (kind === "restore") return errand.restore();
  return errand.setPolicy();
}

class ErrandRun {
  readonly #options: ErrandOptions;
  readonly #writer: BucketWriter;
  readonly #nodes: NodeStore;

  constructor(options: ErrandOptions, writer: BucketWriter) {
    this.#options = options;
    this.#writer = writer;
    this.#nodes = new NodeStore(options.context.bucket.blocks, { capacityBytes: CACHE_BYTES });
  }

  async put(path: Path): Promise<ErrandOutcome> {
    const { token, pick } = this.#options;
    const bytes = isDocument(path.at(-1) ?? "") ? newDocument(pick, `${token} put`) : Buffer.from(`${token} put\n`);
    await this.#writer.putFile(path, sourceOfBytes(bytes), { mode: 0o755, uid: 0, gid: 0 });
    return { isDone: await this.#isPublished(), hasMade: true, faults: [] };
  }

  /** Replaces a file in the shared directory. */
  async putOver(): Promise<ErrandOutcome> {
    const { base } = this.#writer;
    const path = await this.#someFile(base);
    if (path === undefined) return NOTHING;
    const found = await resolvePath(this.#nodes, base.body.tree, path);
    // A file with other names keeps its bytes.
    if (found?.names.length === 1) this.#options.replaces(await this.#tokens(base, path));
    return this.put(path);
  }

  /** Restores one name in the shared directory, or all of it, from an older root. */
  async restore(): Promise<ErrandOutcome> {
    const { pick, sabotage } = this.#options;
    const { base } = this.#writer;
    const from = await this.#olderRoot();
    const names = from === undefined ? [] : await this.#names(from);
    const name = names[pick % Math.max(names.length, 1)];
    if (from === undefined || name === undefined) return NOTHING;
    const shared: Path = [nameFromText(SHARED_HOME)];
    const path: Path = pick === 0 ? shared : [...shared, name];
    const before = await this.#tokens(base, path);
    this.#options.replaces(before);
    await this.#writer.restore(sabotage === "a restore of more than was asked for" ? shared : path, from);
    const outcome = await this.#writer.publish("");
    if (outcome.kind !== "published") return NOTHING;
    const root = await this.#options.context.bucket.commit(outcome.root.commit);
    // Another writer's root also holds that writer's changes, which other judges check.
    if (root.body.writer !== this.#options.context.writer.device.writer) return { ...NOTHING, isDone: true };
    const [wanted, is] = [await this.#tokens(from, path), new Set(await this.#tokens(root, []))];
    const lost = wanted.filter((token) => !before.includes(token) && !is.has(token));
    const faults = lost.map((token) => `a restore of ${path.join("/")} does not bring back ${token}`);
    return { isDone: true, hasMade: false, faults };
  }

  async setPolicy(): Promise<ErrandOutcome> {
    const { token, sabotage } = this.#options;
    const forgets = sabotage === "policy set that forgets what others set";
    const policy = (before: Policy) => withText(forgets ? DEFAULT_POLICY : before, `*${token}`);
    return { isDone: (await this.#writer.publish("", { policy })).kind === "published", hasMade: false, faults: [] };
  }

  /** Waits before publishing, as a long read of the input would, while others publish. */
  async #isPublished(): Promise<boolean> {
    await this.#options.context.clock.sleep(this.#options.pick * READING_MS);
    return (await this.#writer.publish("")).kind === "published";
  }

  async #someFile(commit: VerifiedCommit): Promise<Path | undefined> {
    const shared = nameFromText(SHARED_HOME);
    const paths: Path[] = [];
    for (const name of await this.#names(commit)) {
      const found = await resolvePath(this.#nodes, commit.body.tree, [shared, name]);
      if (found?.record.type === "file") paths.push([shared, name]);
    }
    return paths[this.#options.pick % Math.max(paths.length, 1)];
  }

  /** The names in the shared directory. */
  async #names({ body }: VerifiedCommit): Promise<FileName[]> {
    const shared = await lookup(this.#nodes, body.tree, { parent: ROOT_ID, name: nameFromText(SHARED_HOME) });
    const names: FileName[] = [];
    if (shared?.record.type !== "directory") return names;
    for await (const { name } of listDirectory(this.#nodes, body.tree, shared.id)) names.push(name);
    return names;
  }

  async #olderRoot(): Promise<VerifiedCommit | undefined> {
    const kept = [];
    for await (const { cid } of keptCommits(this.#nodes, this.#writer.base)) kept.push(cid);
    const cid = kept[this.#options.pick % Math.max(kept.length, 1)];
    return cid && this.#options.context.bucket.commit(cid);
  }

  #tokens({ body }: VerifiedCommit, path: Path): Promise<string[]> {
    return tokensUnder(this.#options.context.bucket.blocks, body.tree, path);
  }
}

const NOTHING: ErrandOutcome = { isDone: false, hasMade: false, faults: [] };
const READING_MS = 300;
const CACHE_BYTES = 1024 * 1024;

function withText(policy: Policy, glob: string): Policy {
  return { ...policy, text: [...policy.text, glob] };
}
