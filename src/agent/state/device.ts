/**
 * The device of a state: its ed25519 key and the wallet's certificate for one bucket, in `device.json`, mode 0600. The
 * wallet is asked only if there is no certificate, or it is about to expire.
 */
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { Ports } from "../../base/ports.ts";
import { unlessSync } from "../../base/unless.ts";
import { createDeviceKey, deviceKeyFromSeed, type DeviceKey } from "../../crypto/device-key.ts";
import type { WalletSigner } from "../../crypto/wallet.ts";
import {
  checkCertificate,
  decodeCertificate,
  signCertificate,
  type Certificate,
} from "../../format/commits/certificate.ts";
import type { Genesis } from "../../format/commits/genesis.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

export interface Device {
  readonly key: DeviceKey;
  readonly certificate: Certificate;
}

export interface DeviceSetup extends Pick<Ports, "clock" | "random"> {
  readonly stateDir: string;
  readonly genesis: Genesis;
  /** Opens the wallet; called only when something must be signed. */
  readonly wallet: () => Promise<WalletSigner>;
}

/**
 * The device of this state, made and certified if needed. A device certified for an earlier bucket at the address is
 * replaced. `renews` false: a certificate that is about to end, or has ended, is renewed when something is published. Throws
 * `device_not_certified` if the wallet is not the owner's, `state_corrupt`, and as `wallet`.
 */
export async function openDevice(setup: DeviceSetup, renews = true): Promise<Device> {
  const stored = readDevice(setup.stateDir);
  if (stored === undefined || !isCertified(stored, setup.genesis)) return replaceDevice(setup);
  if (!renews || !isEnding(stored, setup.clock)) return stored;
  try {
    return await renewDevice(setup, stored);
  } catch (error) {
    // If the wallet is out of reach, there are weeks left to ask it.
    if (stored.certificate.body.notAfter > nowSeconds(setup.clock)) return stored;
    throw error;
  }
}

/** The same key with a new certificate. Throws as `openDevice`. */
export async function renewDevice(setup: DeviceSetup, { key }: Device): Promise<Device> {
  return certify(setup, key);
}

/** Whether the certificate is in its last month, or has expired. */
export function isEnding({ certificate }: Device, clock: Clock): boolean {
  return certificate.body.notAfter - nowSeconds(clock) <= RENEW_BEFORE_S;
}

/** Whether a new certificate would last longer than this one, by at least a day. */
export function isRenewable({ certificate }: Device, clock: Clock): boolean {
  return nowSeconds(clock) + YEAR_S - certificate.body.notAfter >= DAY_S;
}

/** A new key for a state whose old one has written more than the state remembers (a restored machine). */
export async function replaceDevice(setup: DeviceSetup): Promise<Device> {
  return certify(setup, createDeviceKey(setup.random));
}

const DAY_S = 24 * 60 * 60;
const YEAR_S = 365 * DAY_S;
const RENEW_BEFORE_S = 30 * DAY_S;

function isCertified({ certificate }: Device, { cid, body }: Genesis): boolean {
  const check = () => {
    checkCertificate(certificate, { genesis: cid, owner: body.owner });
    return true;
  };
  return unlessSync("device_not_certified", check, false);
}

async function certify(setup: DeviceSetup, key: DeviceKey): Promise<Device> {
  const signer = await setup.wallet();
  const { owner } = setup.genesis.body;
  if (signer.wallet !== owner) {
    throw new SynclineError(
      "device_not_certified",
      `The bucket belongs to ${owner}, but your wallet is ${signer.wallet}.`,
      { hint: "Use the owner's key: --key FILE or SYNCLINE_KEY." },
    );
  }
  const notAfter = nowSeconds(setup.clock) + YEAR_S;
  const device = { key, certificate: await signCertificate(key, setup.genesis.cid, notAfter, signer) };
  writeDevice(setup.stateDir, device);
  return device;
}

function readDevice(stateDir: string): Device | undefined {
  const path = join(stateDir, FILE);
  const text = readStateFile(path)?.toString("utf8");
  if (text === undefined) return undefined;
  try {
    const stored = JSON.parse(text) as { seed: string; certificate: string };
    const key = deviceKeyFromSeed(Buffer.from(stored.seed, "hex"));
    const certificate = decodeCertificate(Buffer.from(stored.certificate, "base64"));
    if (certificate.writer === key.writer) return { key, certificate };
    throw new SynclineError("format_invalid", "The certificate belongs to another key.");
  } catch (cause) {
    throw new SynclineError("state_corrupt", `${path} does not hold a device key.`, {
      hint: "Unpublished data is safe. Remove the file to get a new device key at the next start.",
      cause,
    });
  }
}

function writeDevice(stateDir: string, { key, certificate }: Device): void {
  const stored = {
    seed: Buffer.from(key.seed).toString("hex"),
    certificate: Buffer.from(certificate.bytes).toString("base64"),
  };
  writeStateFile(join(stateDir, FILE), Buffer.from(JSON.stringify(stored)));
}

const FILE = "device.json";

function nowSeconds(clock: Clock): number {
  return Number(clock.nowNs() / 1_000_000_000n);
}
