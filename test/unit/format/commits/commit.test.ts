import { describe, expect, test } from "vitest";
import { deviceKeyFromSeed } from "../../../../src/crypto/device-key.ts";
import { walletSigner } from "../../../../src/crypto/wallet.ts";
import { checkCertificate, decodeCertificate, signCertificate } from "../../../../src/format/commits/certificate.ts";
import { decodeCommit, signCommit, verifyCommit } from "../../../../src/format/commits/commit.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { bodyToCbor, MAX_RECOVERED } from "../../../../src/format/commits/commit-body.ts";
import { encodeCbor, Link } from "../../../../src/format/blocks/dag-cbor.ts";
import {
  APPROVAL_FEATURE,
  MACHINE_FEATURE,
  mayWrite,
  NO_FEATURES,
  RECOVERY_FEATURE,
  RETENTION_FEATURE,
  withCompat,
} from "../../../../src/format/commits/features.ts";
import { DEFAULT_RETENTION, LEAST_ALL_S, MOST_RETENTION_S } from "../../../../src/format/commits/retention.ts";
import { createGenesisBody, decodeGenesis, signGenesis } from "../../../../src/format/commits/genesis.ts";
import { headsField, headsFieldToCbor } from "../../../../src/format/commits/heads.ts";
import type { Lamport, WriterId } from "../../../../src/base/ids.ts";
import { blake3 } from "../../../../src/crypto/hash.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { commitBodyAt, createSignedBucket } from "../../../support/signed-bucket.ts";

const bucket = await createSignedBucket();
const { certificate, device, genesis, owner } = bucket;

test("a commit can be verified from its blocks alone", () => {
  const commit = decodeCommit(signCommit(commitBodyAt(bucket, 3), certificate.cid, device).bytes);
  const read = decodeCertificate(certificate.bytes);
  checkCertificate(read, { genesis: decodeGenesis(genesis.bytes).cid, owner: owner.wallet });
  verifyCommit(commit, read);
  expect(commit.body).toEqual(commitBodyAt(bucket, 3));
});

describe("a commit is refused", () => {
  const other = deviceKeyFromSeed(new Uint8Array(32).fill(1));

  test("when another certified device signed it", async () => {
    const theirs = await signCertificate(other, genesis.cid, 2_000_000_000, owner);
    const body = { ...commitBodyAt(bucket, 1), writer: other.writer };
    const commit = signCommit(body, certificate.cid, other);
    expect(() => verifyCommit(commit, certificate)).toThrow(/not signed by the device/);
    expect(() => verifyCommit(commit, theirs)).toThrow(/not signed by the device/);
  });

  test("when it names a writer that is not its signer", () => {
    const body = { ...commitBodyAt(bucket, 1), writer: other.writer };
    expect(() => signCommit(body, certificate.cid, device)).toThrow(/not the signing device/);
  });

  test("when its body was signed for another purpose", () => {
    const commit = signCommit(commitBodyAt(bucket, 1), certificate.cid, device);
    const bare = { ...commit, signature: device.sign(commit.message.subarray(-32)) };
    expect(() => verifyCommit(bare, certificate)).toThrow(/not signed by the device/);
  });
});

test("a device signs the commit's body exactly as encoded in the block", () => {
  const commit = signCommit({ ...commitBodyAt(bucket, 3), note: "x".repeat(300) }, certificate.cid, device);
  const body = encodeCbor(bodyToCbor(commit.body));
  expect(Buffer.from(commit.bytes)).toEqual(
    Buffer.from(encodeCbor([1, bodyToCbor(commit.body), new Link(certificate.cid), commit.signature])),
  );
  expect(Buffer.from(commit.message)).toEqual(Buffer.concat([Buffer.from("syncline/commit/1\0"), blake3(body)]));
});

test("heads are stored in the commit up to 1 KiB, and in a block of their own beyond that", () => {
  const places = new Set<string>();
  for (const epoch of [1, 24, 256, 65_536, 2 ** 32]) {
    const heads = new Map<WriterId, number>();
    for (let writer = 0; writer < 60; writer++) {
      const bytes = encodeCbor(headsFieldToCbor(heads)).length;
      const place = headsField(heads, () => certificate.cid) === heads ? "inline" : "block";
      expect(place, `${bytes} bytes`).toBe(bytes <= 1024 ? "inline" : "block");
      places.add(place);
      heads.set(writer.toString(16).padStart(32, "0") as WriterId, epoch);
    }
  }
  expect([...places]).toEqual(["inline", "block"]);
});

describe("a certificate is refused", () => {
  const facts = { genesis: genesis.cid, owner: owner.wallet };

  test("in another bucket", async () => {
    const elsewhere = await signGenesis(createGenesisBody(owner.wallet, systemRandom), owner);
    const foreign = await signCertificate(device, elsewhere.cid, 2_000_000_000, owner);
    expect(() => checkCertificate(foreign, facts)).toThrow(/another bucket/);
  });

  test("from a wallet that does not own the bucket", async () => {
    const stranger = walletSigner(new Uint8Array(32).fill(7));
    const foreign = await signCertificate(device, genesis.cid, 2_000_000_000, stranger);
    expect(() => checkCertificate(foreign, facts)).toThrow(/may not write/);
  });

  test("for a key of small order", async () => {
    const neutral = Uint8Array.from([1, ...new Uint8Array(31)]);
    const attempt = signCertificate({ publicKey: neutral }, genesis.cid, 2_000_000_000, owner);
    await expect(attempt).rejects.toMatchObject({ code: "key_invalid" });
  });
});

describe("recovered roots", () => {
  const features = { incompat: [], roCompat: [], compat: [RECOVERY_FEATURE] };
  const signed = (many: number, named = features) => {
    const recovered = Array.from({ length: many }, (_, at) => cidOf("dag-cbor", Uint8Array.of(at)));
    return signCommit({ ...commitBodyAt(bucket, 3), features: named, recovered }, certificate.cid, device);
  };

  test("are a field of the commit that readers decode", () => {
    const { recovered } = decodeCommit(signed(MAX_RECOVERED).bytes).body;
    expect(recovered).toHaveLength(MAX_RECOVERED);
    expect(recovered?.[1]).toBe(cidOf("dag-cbor", Uint8Array.of(1)));
  });

  test("are refused if there are none or too many, or without their feature", () => {
    for (const many of [0, MAX_RECOVERED + 1]) expect(() => signed(many)).toThrow(/recovered/);
    expect(() => signed(1, { ...features, compat: [] })).toThrow(/extra field/);
  });
});

describe("the newest approved commit", () => {
  const features = { incompat: [], roCompat: [], compat: [APPROVAL_FEATURE] };
  const signed = (approved: number | undefined, named = features) => {
    const body = {
      ...commitBodyAt(bucket, 3),
      features: named,
      ...(approved !== undefined && { approved: approved as Lamport }),
    };
    return signCommit(body, certificate.cid, device);
  };

  test("is a field of the commit that readers decode", () => {
    expect(decodeCommit(signed(2).bytes).body.approved).toBe(2);
    expect(decodeCommit(signed(3).bytes).body.approved).toBe(3);
    expect("approved" in decodeCommit(signed(undefined).bytes).body).toBe(false);
  });

  test("is refused when it is after the commit, before the first one, or without its feature", () => {
    for (const seq of [0, 4]) expect(() => signed(seq)).toThrow(/approved/);
    expect(() => signed(2, { ...features, compat: [] })).toThrow(/extra field/);
  });

  test("is passed on by a version that does not know it", () => {
    const body = {
      ...commitBodyAt(bucket, 3),
      features: { ...features, compat: ["approval/2"] },
      unknown: { approved: 2 },
    };
    expect(signCommit(body, certificate.cid, device).body).toMatchObject({ unknown: { approved: 2 } });
  });
});

describe("the retention of a commit", () => {
  const retention = { ...DEFAULT_RETENTION, days: 3650 * 86_400 };
  const named = { incompat: [], roCompat: [RETENTION_FEATURE], compat: [] };
  const signed = (body: object) =>
    signCommit({ ...commitBodyAt(bucket, 3), features: named, retention, ...body }, certificate.cid, device);

  test("is stored under either class of its feature, and left out when it is the default", () => {
    for (const features of [named, { ...named, roCompat: [], compat: [RETENTION_FEATURE] }]) {
      expect(decodeCommit(signed({ features }).bytes).body).toMatchObject({ retention, unknown: {} });
      expect(mayWrite(features)).toBe(true);
    }
    expect("retention" in decodeCommit(signed({ retention: undefined }).bytes).body).toBe(false);
  });

  test("is refused without its feature or out of bounds", () => {
    expect(() => signed({ features: NO_FEATURES })).toThrow(/extra field/);
    for (const rule of ["all", "minutes", "hours", "days"] as const)
      for (const seconds of [-1, MOST_RETENTION_S + 1, ...(rule === "all" ? [LEAST_ALL_S - 1] : [])])
        expect(() => signed({ retention: { ...retention, [rule]: seconds } }), `${rule} ${seconds}`).toThrow(
          /retention/,
        );
  });
});

describe("additions by later versions", () => {
  const unknown = { colour: "blue" };

  test("a field that no feature announces is refused", () => {
    const body = { ...commitBodyAt(bucket, 1), unknown };
    expect(() => signCommit(body, certificate.cid, device)).toThrow(/extra field/);
  });

  test("a field of a compatible feature is ignored and kept", () => {
    const features = { incompat: [], roCompat: [], compat: ["colours"] };
    const commit = signCommit({ ...commitBodyAt(bucket, 1), features, unknown }, certificate.cid, device);
    expect(commit.body.unknown).toEqual(unknown);
    expect(mayWrite(commit.body.features)).toBe(true);
  });

  test("a commit's machine counts only if its own writer set it, not if an older version passed it on", () => {
    const features = withCompat(NO_FEATURES, MACHINE_FEATURE);
    const commit = signCommit({ ...commitBodyAt(bucket, 1), features, machine: "laptop" }, certificate.cid, device);
    expect(commit.body).toMatchObject({ machine: "laptop", unknown: {} });
    const handedOn = { machine: { name: "laptop", writer: new Uint8Array(16) } };
    const later = signCommit({ ...commitBodyAt(bucket, 1), features, unknown: handedOn }, certificate.cid, device);
    expect(later.body).toMatchObject({ machine: undefined, unknown: {} });
  });

  test("a machine name that is too long, or lacks its feature, is refused", () => {
    const named = { ...commitBodyAt(bucket, 1), machine: "laptop" };
    expect(() => signCommit(named, certificate.cid, device)).toThrow(/extra field/);
    const features = withCompat(NO_FEATURES, MACHINE_FEATURE);
    expect(() => signCommit({ ...named, features, machine: "m".repeat(256) }, certificate.cid, device)).toThrow(/255/);
  });

  test("features decide whether a bucket can be written, only read, or not opened", () => {
    const named = { incompat: [], roCompat: [], compat: [] };
    expect(mayWrite({ ...named, roCompat: ["quotas"] })).toBe(false);
    expect(() => mayWrite({ ...named, incompat: ["sealing"] })).toThrow(/sealing/);
  });

  test("a commit of another version is refused as such", () => {
    expect(() => decodeCommit(encodeCbor([2, null, null, null]))).toThrow(/version/);
  });
});

test("a genesis that its owner did not sign is refused", async () => {
  const stranger = walletSigner(new Uint8Array(32).fill(7));
  await expect(signGenesis(genesis.body, stranger)).rejects.toMatchObject({ code: "bad_signature" });
});

test("a genesis with rules of a later version is refused with a hint to upgrade", async () => {
  const later = signGenesis({ ...genesis.body, seal: "chacha/1" }, owner);
  await expect(later).rejects.toMatchObject({
    code: "feature_unknown",
    hint: expect.stringContaining("Upgrade") as string,
  });
});
