/**
 * Commits: the roots of a bucket, in a linear history, each signed by the device that made it (docs/reference/formats.md,
 * Commit).
 *
 * Block: dag-cbor `[1, body, certificate, signature]`; the device signs "syncline/commit/1\0" ‖ blake3(body).
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { DEVICE_SIGNATURE_BYTES, type DeviceKey, verifyDeviceSignature } from "../../crypto/device-key.ts";
import { blake3 } from "../../crypto/hash.ts";
import { asBytes, asLink, asList, misfit } from "../blocks/cbor-shape.ts";
import type { Certificate } from "./certificate.ts";
import { CID_BYTES, cidOf } from "../blocks/cid.ts";
import { bodyFromCbor, bodyToCbor, type CommitBody } from "./commit-body.ts";
import { decodeCbor, encodeCbor, Link } from "../blocks/dag-cbor.ts";

export const MAX_COMMIT_BYTES = 64 * 1024;

export interface Commit {
  readonly cid: Cid;
  readonly bytes: Uint8Array;
  readonly body: CommitBody;
  readonly certificate: Cid;
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** The signed bytes. */
  readonly message: Uint8Array;
}

/** Encodes and signs. `certificate` is the block that certifies `device`; `body.writer` must be the device's. */
export function signCommit(body: CommitBody, certificate: Cid, device: DeviceKey): Commit {
  if (body.writer !== device.writer) throw misfit("writer", "is not the signing device");
  const encoded = encodeCbor(bodyToCbor(body));
  const signature = device.sign(messageOf(encoded));
  // The list embeds the body exactly as signed.
  const [version, rest] = [encodeCbor([VERSION]), encodeCbor([new Link(certificate), signature])];
  return decodeCommit(Buffer.concat([LIST_OF_FOUR, version.subarray(1), encoded, rest.subarray(1)]));
}

/** Whether it begins as a commit: a list of four, 1, and a map. No node, chunk list or certificate does. */
export function looksLikeCommit([list = 0, version = 0, body = 0]: Uint8Array): boolean {
  return list === 0x84 && version === VERSION && body >> 5 === MAP;
}

/** Decodes without checking the signature. Throws `format_invalid`, `feature_unknown` for another version. */
export function decodeCommit(bytes: Uint8Array): Commit {
  const [version, body, certificate, signature] = asList(decodeCbor(bytes, MAX_COMMIT_BYTES), "a commit", 4);
  if (version !== VERSION) {
    throw new SynclineError("feature_unknown", "A commit has an unknown version.", {
      hint: "A newer syncline wrote it. Upgrade to read it.",
    });
  }
  if (body === undefined) throw misfit("a commit", "lacks its body");
  return {
    cid: cidOf("dag-cbor", bytes),
    bytes,
    body: bodyFromCbor(body),
    certificate: asLink(certificate, "certificate", "dag-cbor"),
    signature: asBytes(signature, "a signature", DEVICE_SIGNATURE_BYTES),
    message: messageOf(bytes.subarray(BODY_OFFSET, bytes.length - BEHIND_BODY_BYTES)),
  };
}

/**
 * Checks that the certified device made this commit. The certificate is checked separately (`checkCertificate`), once for
 * all of a device's commits. Throws `bad_signature`.
 */
export function verifyCommit(commit: Commit, certificate: Certificate): void {
  const sound =
    commit.certificate === certificate.cid &&
    commit.body.writer === certificate.writer &&
    verifyDeviceSignature(certificate.body.key, commit.message, commit.signature);
  if (!sound) {
    throw new SynclineError("bad_signature", `Commit ${commit.cid} is not signed by the device that it names.`, {
      hint: "The bucket's storage was changed by someone else, or is damaged. Run `syncline verify`.",
    });
  }
}

const VERSION = 1;
/** The major type of maps. */
const MAP = 5;
/** The one-byte head of a list of four. The parts before and after the body have fixed lengths. */
const LIST_OF_FOUR = Uint8Array.of(0x84);
const BODY_OFFSET = LIST_OF_FOUR.length + 1;
const BEHIND_BODY_BYTES = 5 + CID_BYTES + 2 + DEVICE_SIGNATURE_BYTES;
const CONTEXT = Buffer.from("syncline/commit/1\0");

function messageOf(body: Uint8Array): Uint8Array {
  return Buffer.concat([CONTEXT, blake3(body)]);
}
