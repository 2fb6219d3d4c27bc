/**
 * Makes a self-signed server certificate (RFC 5280): ECDSA on P-256, for given names and a limited time. node:crypto can
 * sign, but not make certificates; this structure needs only a little DER. Libraries bring many packages (`@peculiar/x509`
 * eleven): take one if we ever need other certificates.
 */
import { generateKeyPairSync, sign } from "node:crypto";
import { isIP } from "node:net";
import type { Random } from "../base/random.ts";

export interface SelfSigned {
  /** In PEM. */
  readonly cert: string;
  readonly key: string;
}

/** `names` are host names and addresses, at least one; times are Unix times in milliseconds. */
export function makeSelfSigned(
  names: readonly string[],
  notBeforeMs: number,
  notAfterMs: number,
  random: Random,
): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = sequence(tlv(SET, sequence(oid(OID.commonName), tlv(UTF8, Buffer.from("Syncline WebDAV")))));
  // Positive, and of fixed length.
  const serial = Buffer.concat([Buffer.of(1), random.bytes(15)]);
  const body = sequence(
    tlv(explicit(0), integer(Buffer.of(VERSION_3))),
    integer(serial),
    sequence(oid(OID.ecdsaWithSha256)),
    name,
    sequence(time(notBeforeMs), time(notAfterMs)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    tlv(explicit(3), sequence(...extensions(names))),
  );
  const signature = bits(sign("sha256", body, privateKey));
  const cert = pem("CERTIFICATE", sequence(body, sequence(oid(OID.ecdsaWithSha256)), signature));
  return { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }) as string };
}

function extensions(names: readonly string[]): Buffer[] {
  const extension = (id: string, value: Buffer, isCritical: boolean) =>
    sequence(oid(id), ...(isCritical ? [tlv(BOOLEAN, Buffer.of(0xff))] : []), tlv(OCTETS, value));
  return [
    // Not a CA: clients that trust it trust this server only.
    extension(OID.basicConstraints, sequence(), true),
    extension(OID.keyUsage, tlv(BITS, Buffer.of(7, DIGITAL_SIGNATURE)), true),
    extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth)), false),
    extension(OID.subjectAltName, sequence(...names.map(generalName)), false),
  ];
}

function generalName(name: string): Buffer {
  return isIP(name) === 0 ? tlv(DNS_NAME, Buffer.from(name, "ascii")) : tlv(IP_ADDRESS, addressBytes(name));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) => text.split(":").filter(Boolean);
  const missing = address.includes("::") ? 8 - groups(head).length - groups(tail).length : 0;
  const all = [...groups(head), ...Array.from({ length: missing }, () => "0"), ...groups(tail)];
  return Buffer.from(all.map((group) => group.padStart(4, "0")).join(""), "hex");
}

/** Two-digit years until 2049 (RFC 5280, section 4.1.2.5). */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return digits < "2050" ? tlv(UTC_TIME, Buffer.from(digits.slice(2))) : tlv(GENERALIZED_TIME, Buffer.from(digits));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(SEQUENCE, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return tlv(INTEGER, bytes);
}

function bits(bytes: Buffer): Buffer {
  return tlv(BITS, Buffer.concat([Buffer.of(0), bytes]));
}

function oid(hex: string): Buffer {
  return tlv(OBJECT_ID, Buffer.from(hex, "hex"));
}

/** Tag, length, value (X.690, 8.1). */
function tlv(tag: number, value: Buffer): Buffer {
  const { length } = value;
  const bytes = length < 0x100 ? [length] : [length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...(length < 0x80 ? bytes : [0x80 | bytes.length, ...bytes])]), value]);
}

function explicit(index: number): number {
  return 0xa0 | index;
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BITS = 0x03;
const OCTETS = 0x04;
const OBJECT_ID = 0x06;
const UTF8 = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Tags of a GeneralName. */
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

const VERSION_3 = 2;
const DIGITAL_SIGNATURE = 0x80;

const OID = {
  commonName: "550403",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  ecdsaWithSha256: "2a8648ce3d040302",
} as const;
