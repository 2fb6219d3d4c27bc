/** Opens nodes from elsewhere, and rejects non-canonical ones. */
import { compareRanges } from "../../base/bytes.ts";
import { HASH_BYTES } from "../../crypto/hash.ts";
import { Node } from "./node.ts";
import { isFramedAs } from "./node-stretch.ts";
import { CHILD_VALUE_BYTES, HEAD_BYTES, invalidNode, LINK_BYTES, LINK_PREFIX } from "./node-layout.ts";

/**
 * Opens a node from a store. If it has the keys of `like`, a canonical node, and values and links of equal length, only its
 * links are checked: so are most nodes of two similar trees. Throws `format_invalid`.
 */
export function decodeNode(bytes: Uint8Array, like?: Node): Node {
  if (like !== undefined && isFramedAs(bytes, like)) {
    const known = new Node(bytes, like.layout);
    checkLinks(known);
    if (known.level > 0) checkChildren(known);
    return known;
  }
  const node = new Node(bytes);
  checkNode(node);
  return node;
}

/** Throws unless the node is canonical: its columns agree, keys ascend, and links are block CIDs. */
function checkNode(node: Node): void {
  if (node.count === 0 && node.level > 0) throw invalidNode("is empty but above the leaves");
  checkEnds(node);
  checkRuns(node);
  checkLinks(node);
  if (node.level > 0) checkChildren(node);
}

function checkEnds(node: Node): void {
  const { count, layout, view } = node;
  const { tailEnds, valueEnds } = layout;
  let tail = 0;
  let value = 0;
  for (let index = 0; index < count; index++) {
    const tailEnd = view.getUint32(tailEnds + 4 * index, true);
    const valueEnd = view.getUint32(valueEnds + 4 * index, true);
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
    const isHeaded = node.isHeaded(run);
    if (isHeaded) headed++;
    if (headed * HEAD_BYTES > layout.headBytes) throw invalidNode("lacks the head of a run");
    checkKeys(node, start, end, isHeaded);
    if (run > 0) checkNeighbours(node, run);
    start = end;
  }
  if (start !== node.count) throw invalidNode("has an entry that belongs to no run");
  if (headed * HEAD_BYTES !== layout.headBytes) throw invalidNode("has a head without a run");
}

function checkKeys(node: Node, first: number, end: number, headed: boolean): void {
  const { view, layout } = node;
  const { tails, tailEnds } = layout;
  let previous = 0;
  let from = tails + node.tailStart(first);
  for (let index = first; index < end; index++) {
    const to = tails + view.getUint32(tailEnds + 4 * index, true);
    if (!headed && (to === from || to - from >= HEAD_BYTES))
      throw invalidNode("has an empty key, or a long key without its head");
    if (index > first && !ascend(view, previous, from, to)) throw invalidNode("has keys that do not ascend");
    previous = from;
    from = to;
  }
}

/** Whether bytes [from, middle) sort before [middle, to). Compares four bytes at a time: neighbors share long prefixes. */
function ascend(view: DataView, from: number, middle: number, to: number): boolean {
  const shared = Math.min(middle - from, to - middle);
  let at = 0;
  for (; at + 4 <= shared; at += 4) {
    const a = view.getUint32(from + at);
    const b = view.getUint32(middle + at);
    if (a !== b) return a < b;
  }
  for (; at < shared; at++) {
    const a = view.getUint8(from + at);
    const b = view.getUint8(middle + at);
    if (a !== b) return a < b;
  }
  return middle - from < to - middle;
}

/** The previous run must end below this one, and have a different head. */
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
  const { bytes, count, layout, level, view } = node;
  let links = 0;
  for (let index = 0; index < count; index++) links += bytes[layout.linkCounts + index] ?? 0;
  if (links !== layout.linkTotal) throw invalidNode("has link counts that do not add up");
  for (let at = layout.links, link = 0; link < links; link++, at += LINK_BYTES) {
    const cid = view.getUint32(at + CID_AT);
    const known = cid === TO_DAG_CBOR || (cid === TO_RAW && level === 0);
    if (!known || view.getUint32(at) !== LINK_START || bytes[at + HASH_LENGTH_AT] !== HASH_BYTES)
      throw invalidNode("has a malformed link");
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

// A link up to its digest: LINK_PREFIX with the multibase identity, CID version 1, codec, blake3-256, its length.
const LINK_START = 0xd82a5825;
const CID_AT = LINK_PREFIX.length - 1;
const TO_DAG_CBOR = 0x0001711e;
/** Leaves may link contents; inner nodes link only nodes. */
const TO_RAW = 0x0001551e;
const HASH_LENGTH_AT = CID_AT + 4;
