/** Uploads without real commits and trees: blocks and commits are opaque here, as to a store of packs. */
import type { Block } from "../../src/blocks/block-store.ts";
import type { BucketRemote, Upload } from "../../src/bucket/remote.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import type { Root } from "../../src/roots/root-store.ts";

/** A bucket whose first commit is "one". */
export async function made<Remote extends BucketRemote>(open: () => Promise<Remote>): Promise<Remote> {
  const remote = await open();
  if (!(await remote.create(node("genesis"), upload("one")))) throw new Error("there is a bucket already");
  return remote;
}

/** Publishes a commit with this name on top of the root. */
export async function publish(remote: BucketRemote, name: string, content: Block[], nodes: Block[]): Promise<Root> {
  await using session = remote.beginUpload();
  for (const block of content) await session.putContent(block);
  const prepared = await session.prepare(await rootOf(remote), { ...upload(name), blocks: nodes });
  const outcome = await prepared.swap();
  if (outcome.kind !== "committed") throw new Error(`the swap of ${name} was ${outcome.kind}`);
  return outcome.root;
}

export async function rootOf(remote: BucketRemote): Promise<Root> {
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("the bucket has no root");
  return root;
}

export function upload(name: string): Upload {
  return { commit: node(`commit ${name}`), blocks: [] };
}

export function node(content: string): Block {
  return { cid: cidOf("dag-cbor", Buffer.from(content)), bytes: Buffer.from(content) };
}

export function raw(content: string): Block {
  return { cid: cidOf("raw", Buffer.from(content)), bytes: Buffer.from(content) };
}

/** A content block of this size, different for every label. */
export function randomLooking(label: string, size: number): Block {
  const bytes = Buffer.alloc(size);
  let state = Buffer.from(label).reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 7);
  for (let at = 0; at + 4 <= size; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes.writeInt32LE(state, at);
  }
  return { cid: cidOf("raw", bytes), bytes };
}
