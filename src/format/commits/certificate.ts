/**
 * Device certificates: a wallet lets a device key write to one bucket (docs/reference/formats.md, Device certificate).
 *
 * Block: dag-cbor `[1, {bucket, key, notAfter, wallet}, signature]`; the wallet signs
 * Device(address wallet,bytes32 key,bytes32 bucket,uint64 notAfter).
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet, WriterId } from "../../base/ids.ts";
import { checkDeviceKey, DEVICE_KEY_BYTES, writerOf } from "../../crypto/device-key.ts";
import type { TypedData } from "../../crypto/typed-data.ts";
import type { WalletSigner } from "../../crypto/wallet.ts";
import {
  recoverWallet,
  WALLET_BYTES,
  WALLET_SIGNATURE_BYTES,
  walletFromBytes,
  walletToBytes,
} from "../../crypto/wallet.ts";
import { asBytes, asCount, asList, asMap } from "../blocks/cbor-shape.ts";
import { cidOf, digestOf } from "../blocks/cid.ts";
import { decodeCbor, encodeCbor } from "../blocks/dag-cbor.ts";
import { SYNCLINE_DOMAIN } from "./genesis.ts";

export interface CertificateBody {
  readonly wallet: Wallet;
  /** The device's ed25519 public key: 32 bytes. */
  readonly key: Uint8Array;
  /** Digest of the genesis CID: 32 bytes. */
  readonly bucket: Uint8Array;
  /** Seconds since 1970. Enforced at swaps, not for history. */
  readonly notAfter: number;
}

export interface Certificate {
  readonly cid: Cid;
  readonly bytes: Uint8Array;
  readonly body: CertificateBody;
  readonly writer: WriterId;
}

/** Certifies a device for the bucket of this genesis. Throws `key_invalid` for unsafe keys. */
export async function signCertificate(
  device: { readonly publicKey: Uint8Array },
  genesis: Cid,
  notAfter: number,
  signer: WalletSigner,
): Promise<Certificate> {
  const body: CertificateBody = { wallet: signer.wallet, key: device.publicKey, bucket: digestOf(genesis), notAfter };
  const map = { wallet: walletToBytes(body.wallet), key: body.key, bucket: body.bucket, notAfter };
  return decodeCertificate(encodeCbor([VERSION, map, await signer.sign(typedDevice(body))]));
}

/** Decodes the block, and checks signature and key. Throws `format_invalid`, `bad_signature`, `key_invalid`. */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  const [version, encoded, signature] = asList(decodeCbor(bytes, MAX_CERTIFICATE_BYTES), "a certificate", 3);
  if (version !== VERSION) {
    throw new SynclineError("feature_unknown", "A device certificate has an unknown version.", {
      hint: "A newer syncline wrote it. Upgrade to read it.",
    });
  }
  const map = asMap(encoded, "a certificate", ["wallet", "key", "bucket", "notAfter"]);
  const body: CertificateBody = {
    wallet: walletFromBytes(asBytes(map["wallet"], "wallet", WALLET_BYTES)),
    key: asBytes(map["key"], "key", DEVICE_KEY_BYTES),
    bucket: asBytes(map["bucket"], "bucket", 32),
    notAfter: asCount(map["notAfter"], "notAfter"),
  };
  checkDeviceKey(body.key);
  const signer = recoverWallet(typedDevice(body), asBytes(signature, "a signature", WALLET_SIGNATURE_BYTES));
  if (signer !== body.wallet) {
    throw new SynclineError("bad_signature", "A device certificate is not signed by the wallet that it names.");
  }
  return { cid: cidOf("dag-cbor", bytes), bytes, body, writer: writerOf(body.key) };
}

/**
 * Whether this device may write to the bucket; the swap checks the expiry. Throws `device_not_certified`: the certificate
 * is for another bucket or by another wallet.
 */
export function checkCertificate(
  certificate: Certificate,
  bucket: { readonly genesis: Cid; readonly owner: Wallet },
): void {
  if (!Buffer.from(certificate.body.bucket).equals(digestOf(bucket.genesis))) {
    throw new SynclineError("device_not_certified", "A device certificate is for another bucket.");
  }
  if (certificate.body.wallet !== bucket.owner) {
    throw new SynclineError("device_not_certified", `Wallet ${certificate.body.wallet} may not write to this bucket.`, {
      hint: `Only devices of its owner ${bucket.owner} may. Use the owner's key (--key).`,
    });
  }
}

const VERSION = 1;
const MAX_CERTIFICATE_BYTES = 1024;

function typedDevice(body: CertificateBody): TypedData {
  return {
    domain: SYNCLINE_DOMAIN,
    struct: "Device",
    fields: [
      { name: "wallet", type: "address", value: walletToBytes(body.wallet) },
      { name: "key", type: "bytes32", value: body.key },
      { name: "bucket", type: "bytes32", value: body.bucket },
      { name: "notAfter", type: "uint64", value: body.notAfter },
    ],
  };
}
