/** An attacker with a device of the owner's, who writes arbitrary rows under correctly signed commits. */
import type { FileId, Lamport } from "../../src/base/ids.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import { keptKey, skipOf } from "../../src/bucket/history.ts";
import type { CommitBody } from "../../src/format/commits/commit-body.ts";
import { signCommit } from "../../src/format/commits/commit.ts";
import { KIND_DENTRY } from "../../src/format/files/keys.ts";
import { editTree } from "../../src/tree/edit.ts";
import type { Edit, Entry } from "../../src/tree/entry.ts";
import { range } from "../../src/tree/read.ts";
import type { MemoryRemote } from "./memory-remote.ts";
import { newWriter, nodesOf, openBucket } from "./test-bucket.ts";

export class Attacker {
  readonly #remote: MemoryRemote;
  readonly #bucket: Bucket;
  readonly #writer: Awaited<ReturnType<typeof newWriter>>["writer"];
  #epoch = 0;

  private constructor(remote: MemoryRemote, bucket: Bucket, writer: Awaited<ReturnType<typeof newWriter>>["writer"]) {
    this.#remote = remote;
    this.#bucket = bucket;
    this.#writer = writer;
  }

  static async start(remote: MemoryRemote, seed: number): Promise<Attacker> {
    const bucket = await openBucket(remote);
    return new Attacker(remote, bucket, (await newWriter(bucket, seed)).writer);
  }

  /** All rows of the root's tree. */
  async rows(): Promise<Entry[]> {
    const rows: Entry[] = [];
    for await (const { key, value, links } of range(nodesOf(this.#bucket), (await this.#head()).body.tree))
      rows.push({ key: key.slice(), value: value.slice(), links });
    return rows;
  }

  /** Edits rows and makes the result the root; the last edit of a key counts. `lies` overrides commit fields. */
  async publish(edits: readonly Edit[], lies: Partial<CommitBody> = {}): Promise<void> {
    const bucket = this.#bucket;
    const { blocks } = this.#remote;
    const parent = await this.#head();
    const nodes = nodesOf(bucket);
    const byKey = new Map(edits.map((edit) => [Buffer.from(edit.key).toString("hex"), edit]));
    const sorted = [...byKey.values()].sort((a, b) => Buffer.compare(a.key, b.key));
    const tree = await editTree(nodes, blocks, bucket.treeConfig, parent.body.tree, sorted);
    const kept = { key: keptKey(parent.body.seq), value: new Uint8Array(), links: [parent.cid] };
    const { device, certificate } = this.#writer;
    blocks.put({ cid: certificate.cid, bytes: certificate.bytes });
    const epoch = ++this.#epoch;
    const body: CommitBody = {
      ...parent.body,
      tree,
      parent: parent.cid,
      skip: await skipOf(bucket, parent),
      seq: (parent.body.seq + 1) as Lamport,
      writer: device.writer,
      epoch,
      heads: await bucket.heads.with(parent.body, device.writer, epoch, {
        nodes,
        sink: blocks,
        treeConfig: bucket.treeConfig,
      }),
      kept: await editTree(nodes, blocks, bucket.treeConfig, parent.body.kept, [kept]),
      ...lies,
    };
    const commit = signCommit(body, certificate.cid, device);
    blocks.put(commit);
    this.#remote.forceRoot(commit.cid);
  }

  /** The body of the current root's commit. */
  async head(): Promise<CommitBody> {
    return (await this.#head()).body;
  }

  async #head() {
    const current = await this.#bucket.current();
    if (current === undefined) throw new Error("the bucket has no root");
    return current.commit;
  }
}

/** The key of a name that only a dishonest writer makes. */
export function rawDentryKey(parent: FileId, name: string): Uint8Array {
  return Buffer.concat([Buffer.from(parent, "hex"), Buffer.of(KIND_DENTRY), Buffer.from(name, "latin1")]);
}
