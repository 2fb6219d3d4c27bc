/** What decoders refuse in a node, beyond columns that do not fit together: one node has one spelling. */
import { compareRanges } from "../base/bytes.ts";
import type { Node } from "./node.ts";
import { CHILD_VALUE_BYTES, HEAD_BYTES, invalidNode, LINK_BYTES, LINK_PREFIX } from "./node-layout.ts";

/** Throws `format_invalid` unless the node is canonical: keys ascend, columns are in order, links are blocks' addresses. */
export function checkNode(node: Node): void {
  if (node.count === 0 && node.level > 0) throw invalidNode("above the leaves is empty");
  checkEnds(node);
  checkRuns(node);
  checkLinks(node);
  if (node.level > 0) checkChildren(node);
}

function checkEnds(node: Node): void {
  const { count, layout } = node;
  let tail = 0;
  let value = 0;
  for (let index = 0; index < count; index++) {
    const tailEnd = node.tailEnd(index);
    const valueEnd = node.valueEnd(index);
    if (tailEnd < tail || valueEnd < value) throw invalidNode("has offsets that do not ascend");
    tail = tailEnd;
    value = valueEnd;
  }
  if (tail !== layout.tailBytes || value !== layout.valueBytes) throw invalidNode("has bytes that belong to no entry");
}

function checkRuns(node: Node): void {
  const { layout } = node;
  let headed = 0;
  let start = 0;
  for (let run = 0; run < layout.runs; run++) {
    const end = node.runEnd(run);
    if (end <= start || end > node.count) throw invalidNode("has runs that do not ascend");
    if (node.isHeaded(run)) {
      headed++;
      if (headed * HEAD_BYTES > layout.headBytes) throw invalidNode("lacks the head of a run");
    }
    checkKeys(node, run);
    if (run > 0) checkNeighbours(node, run);
    start = end;
  }
  if (start !== node.count) throw invalidNode("has an entry that belongs to no run");
  if (headed * HEAD_BYTES !== layout.headBytes) throw invalidNode("has a head without a run");
}

function checkKeys(node: Node, run: number): void {
  const { bytes, layout } = node;
  const short = !node.isHeaded(run);
  const first = node.runStart(run);
  let previous = 0;
  for (let index = first; index < node.runEnd(run); index++) {
    const from = layout.tails + node.tailStart(index);
    const to = layout.tails + node.tailEnd(index);
    if (short && to - from >= HEAD_BYTES) throw invalidNode("has a long key without a head");
    if (index > first && compareRanges(bytes, previous, from, bytes, from, to) >= 0) {
      throw invalidNode("has keys that do not ascend");
    }
    previous = from;
  }
}

/** The run before must end below this one, and differ in its head. */
function checkNeighbours(node: Node, run: number): void {
  const { bytes } = node;
  const before = node.isHeaded(run - 1);
  if (before && node.isHeaded(run)) {
    const head = node.headAt(run);
    if (compareRanges(bytes, head - HEAD_BYTES, head, bytes, head, head + HEAD_BYTES) < 0) return;
    throw invalidNode("has heads that do not ascend");
  }
  const start = node.runStart(run);
  if (before === node.isHeaded(run) || node.compareKey(start - 1, node.keyAt(start)) >= 0) {
    throw invalidNode("has runs that do not ascend");
  }
}

function checkLinks(node: Node): void {
  const { bytes, layout } = node;
  let links = 0;
  for (let index = 0; index < node.count; index++) links += bytes[layout.linkCounts + index] ?? 0;
  if (links !== layout.linkTotal) throw invalidNode("has link counts that do not sum");
  for (let link = 0; link < links; link++) {
    const at = layout.links + link * LINK_BYTES;
    for (let byte = 0; byte < PREFIX.length; byte++) {
      if (bytes[at + byte] === PREFIX[byte]) continue;
      if (byte !== CODEC_AT || bytes[at + byte] !== RAW || node.level > 0) throw invalidNode("has a malformed link");
    }
  }
}

function checkChildren(node: Node): void {
  for (let index = 0; index < node.count; index++) {
    if (node.linkCount(index) !== 1) throw invalidNode("has an entry without exactly one child");
    if (node.valueEnd(index) !== (index + 1) * CHILD_VALUE_BYTES) throw invalidNode("has a child of unknown size");
    const total = node.childTotal(index);
    if (total === 0 || !Number.isSafeInteger(total)) throw invalidNode("has a child of impossible size");
  }
}

/** A link to a dag-cbor block up to its digest: tag 42, CIDv1, codec, blake3-256. A leaf may link raw blocks too. */
const PREFIX = Uint8Array.of(...LINK_PREFIX, 0x01, 0x71, 0x1e, 0x20);
const CODEC_AT = LINK_PREFIX.length + 1;
const RAW = 0x55;
