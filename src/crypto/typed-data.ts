/**
 * EIP-712 digests of the flat structs that we sign: wallets show them to their owners and sign them.
 *
 * Source: https://eips.ethereum.org/EIPS/eip-712, without arrays, nested structs, chain id and contract.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { SynclineError } from "../base/errors.ts";

export type TypedValue = Uint8Array | bigint | number;

/** One struct to sign: `fields` in the order of its type, each with its Solidity type. */
export interface TypedData {
  readonly domain: TypedDomain;
  readonly struct: string;
  readonly fields: readonly TypedField[];
}

export interface TypedDomain {
  readonly name: string;
  readonly version: string;
}

export interface TypedField {
  readonly name: string;
  readonly type: "address" | "bytes32" | "uint64" | "uint256";
  /** 20 bytes for an address, 32 for bytes32, a natural number for the rest. */
  readonly value: TypedValue;
}

/** The 32 bytes that a wallet signs: keccak("\x19\x01" ‖ domain separator ‖ struct hash). */
export function typedDataDigest(data: TypedData): Uint8Array {
  const typeText = `${data.struct}(${data.fields.map((field) => `${field.type} ${field.name}`).join(",")})`;
  const struct = keccak_256(Buffer.concat([hashText(typeText), ...data.fields.map(encodeField)]));
  return keccak_256(Buffer.concat([PREFIX, domainSeparator(data.domain), struct]));
}

const PREFIX = Uint8Array.of(0x19, 0x01);
const DOMAIN_TYPE = hashText("EIP712Domain(string name,string version)");

function domainSeparator(domain: TypedDomain): Uint8Array {
  return keccak_256(Buffer.concat([DOMAIN_TYPE, hashText(domain.name), hashText(domain.version)]));
}

function hashText(text: string): Uint8Array {
  return keccak_256(Buffer.from(text, "utf8"));
}

const BITS = { uint64: 64, uint256: 256 } as const;
const BYTES = { address: 20, bytes32: 32 } as const;

/** Every value takes 32 bytes; numbers and addresses are right-aligned. */
function encodeField(field: TypedField): Uint8Array {
  const { type, value } = field;
  if (type === "address" || type === "bytes32") {
    if (!(value instanceof Uint8Array) || value.length !== BYTES[type]) throw misfit(field);
    return Buffer.concat([Buffer.alloc(32 - value.length), value]);
  }
  if (value instanceof Uint8Array || (typeof value === "number" && !Number.isSafeInteger(value))) throw misfit(field);
  const number = BigInt(value);
  if (number < 0n || number >> BigInt(BITS[type]) !== 0n) throw misfit(field);
  return Buffer.from(number.toString(16).padStart(64, "0"), "hex");
}

function misfit(field: TypedField): SynclineError {
  return new SynclineError("format_invalid", `The value of ${field.name} does not fit type ${field.type}.`);
}
