/** The wallet for a command: from SYNCLINE_KEY, from a keystore, or made when first needed. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Wallet } from "../base/ids.ts";
import { MAX_MACHINE_BYTES } from "../base/limits.ts";
import { shellWord } from "../base/names.ts";
import { CHOSEN_COST, decryptKey, RANDOM_COST, encryptKey, walletOfKeystore } from "../crypto/keystore.ts";
import { createWalletKey, walletOfKey, walletSigner, type WalletSigner } from "../crypto/wallet.ts";
import type { Call } from "./command.ts";
import { configFolder } from "./config-file.ts";
import { createSecretFile, passphrasePathOf, readIfThere } from "./key-file.ts";
import { askHidden, canAsk } from "./terminal/prompt.ts";

/**
 * The signer for this call. The address is known at once; the keystore is opened at the first signature, which takes about
 * a second if somebody chose its passphrase. Throws `key_invalid`; signing throws `key_locked`.
 */
export function loadWallet(call: Call): Promise<WalletSigner> {
  const loaded = loadedFor.get(call) ?? load(call);
  loadedFor.set(call, loaded);
  loaded.catch(() => loadedFor.delete(call));
  return loaded;
}

/**
 * From now on the call asks for no passphrase, and makes no key: an agent serves, and nobody may be at its terminal.
 */
export function askNoMore(call: Call): void {
  unattended.add(call);
}

const unattended = new WeakSet<object>();

/**
 * Opens the keystore now if its passphrase is in a file that exists. An agent that starts offline may not need the wallet for
 * days, and would say only then that the passphrase is wrong. Throws `key_locked`, `key_invalid`.
 */
export async function requirePassphrase(call: Call): Promise<void> {
  const path = keyPathOf(call);
  const isKnown = existsSync(call.options.passphraseFile ?? passphrasePathOf(path));
  if (call.runtime.environmentKey !== undefined || !existsSync(path) || !isKnown) return;
  await loadWallet(call);
  await openings.get(call)?.();
}

/** Each call asks for its passphrase once. */
const loadedFor = new WeakMap<object, Promise<WalletSigner>>();
/** Opens a call's keystore, unless it is open. */
const openings = new WeakMap<object, () => Promise<WalletSigner>>();

async function load(call: Call): Promise<WalletSigner> {
  const { environmentKey } = call.runtime;
  if (environmentKey !== undefined) return walletSigner(parsePrivateKey(environmentKey, "SYNCLINE_KEY"));
  const path = keyPathOf(call);
  const text = (await readIfThere(path)) ?? (await makeFirstKey(call, path));
  return lockedSigner(call, path, text);
}

export function keyPathOf(call: Call): string {
  return call.options.key ?? join(configFolder(call.runtime.env), "key.json");
}

/** This machine's name in the bucket's history; undefined for none. Throws `usage`. */
export function machineNameOf({ options }: Call): string | undefined {
  const name = options.machineName ?? hostname();
  if (name === NO_NAME) return undefined;
  if (Buffer.byteLength(name) <= MAX_MACHINE_BYTES) return name;
  throw new SynclineError("usage", `--machine-name takes at most ${MAX_MACHINE_BYTES} bytes.`);
}

const NO_NAME = "-";

/** 64 hex digits, with or without 0x. Throws `key_invalid`, which never shows the text. */
export function parsePrivateKey(text: string, source: string): Uint8Array {
  const digits = text.trim().replace(/^0x/i, "");
  if (!/^[0-9a-fA-F]{64}$/.test(digits)) {
    throw new SynclineError("key_invalid", `${source} is not 64 hex digits.`, {
      hint: "A private key is 64 hex digits, with or without a leading 0x.",
    });
  }
  const key = new Uint8Array(Buffer.from(digits, "hex"));
  walletOfKey(key);
  return key;
}

/** Encrypts the key with a new passphrase and writes it to `path`. Throws `path_exists`. */
export async function storeKey(call: Call, path: string, key: Uint8Array): Promise<Wallet> {
  if ((await readIfThere(path)) !== undefined) {
    throw new SynclineError("path_exists", `${path} already exists.`, {
      hint: "Choose another file with --key; a key is never overwritten.",
    });
  }
  const { random } = call.runtime;
  const { passphrase, cost } = await newPassphrase(call, path);
  await createSecretFile(path, await encryptKey(key, passphrase, random, cost), random);
  return walletOfKey(key);
}

/** Opens a keystore with the passphrase for `path`. Throws `key_locked`, `key_invalid`. */
export async function openKeystore(call: Call, path: string, text: string): Promise<Uint8Array> {
  const passphrase = await knownPassphrase(call, path);
  return namingKeystore(path, () => decryptKey(text, passphrase));
}

/** A malformed keystore's error names its file. */
export async function namingKeystore<Result>(path: string, read: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof SynclineError) || cause.code !== "key_invalid") throw cause;
    throw new SynclineError("key_invalid", `${path}: ${cause.message}`, { cause });
  }
}

async function lockedSigner(call: Call, path: string, text: string): Promise<WalletSigner> {
  const open = async () => walletSigner(await openKeystore(call, path, text));
  const wallet = await namingKeystore(path, () => walletOfKeystore(text));
  if (wallet === undefined) return open();
  let opened: Promise<WalletSigner> | undefined;
  const openOnce = () => {
    opened ??= open();
    // A later call may be able to ask for the passphrase.
    opened.catch(() => (opened = undefined));
    return opened;
  };
  openings.set(call, openOnce);
  return { wallet, sign: async (data) => (await openOnce()).sign(data) };
}

/** Only at the default path: a misspelled --key must not create a new identity, nor must a file that is away for a while. */
async function makeFirstKey(call: Call, path: string): Promise<string> {
  if (unattended.has(call)) {
    throw new SynclineError("key_invalid", `There is no key at ${path}.`, { hint: "If it was moved, put it back." });
  }
  if (call.options.key !== undefined) {
    throw new SynclineError("key_invalid", `There is no key at ${path}.`, {
      hint: `Create one with: syncline key new --key ${shellWord(path)}`,
    });
  }
  try {
    const wallet = await storeKey(call, path, createWalletKey(call.runtime.random));
    call.output.notice(`Created a wallet key: ${path}\nAddress: ${wallet}`);
  } catch (error) {
    // Another command made it in the meantime.
    if (!hasCode(error, "path_exists")) throw error;
  }
  return readFile(path, "utf8");
}

/** `cost`: what each guess must cost, by how the passphrase came to be. */
async function newPassphrase(call: Call, path: string): Promise<{ passphrase: string; cost: number }> {
  const { runtime, options, output } = call;
  const chosen = (passphrase: string) => ({ passphrase, cost: CHOSEN_COST });
  if (options.passphraseFile !== undefined) return chosen(await readPassphrase(options.passphraseFile));
  if (canAsk(runtime)) return chosen(await askTwice(call));
  const passphrasePath = passphrasePathOf(path);
  const random = Buffer.from(runtime.random.bytes(GENERATED_BYTES)).toString("base64url");
  try {
    await createSecretFile(passphrasePath, `${random}\n`, runtime.random);
    output.notice(`Created a passphrase for the wallet key: ${passphrasePath}`);
    return { passphrase: random, cost: RANDOM_COST };
  } catch (error) {
    if (!hasCode(error, "path_exists")) throw error;
    return chosen(await readPassphrase(passphrasePath));
  }
}

async function knownPassphrase(call: Call, path: string): Promise<string> {
  const { runtime, options } = call;
  if (options.passphraseFile !== undefined) return readPassphrase(options.passphraseFile);
  const beside = await readIfThere(passphrasePathOf(path));
  if (beside !== undefined) return withoutNewline(beside);
  if (unattended.has(call)) {
    throw new SynclineError("key_locked", `A running agent does not ask for the passphrase of ${path}.`, {
      hint: "Restart it, or set SYNCLINE_PASSPHRASE_FILE to a file that holds the passphrase.",
    });
  }
  if (canAsk(runtime)) return askHidden(runtime, `Passphrase for ${basename(path)}: `);
  throw new SynclineError("key_locked", `There is no terminal to ask for the passphrase of ${path}.`, {
    hint: `Put it into ${passphrasePathOf(path)}, or set SYNCLINE_PASSPHRASE_FILE to a file that holds it.`,
  });
}

async function askTwice(call: Call): Promise<string> {
  const passphrase = await askHidden(call.runtime, "New passphrase for the wallet key: ");
  if (passphrase === "") throw new SynclineError("usage", "The passphrase must not be empty.");
  if ((await askHidden(call.runtime, "Again: ")) === passphrase) return passphrase;
  throw new SynclineError("usage", "The two passphrases differ.");
}

async function readPassphrase(path: string): Promise<string> {
  const text = await readIfThere(path);
  if (text === undefined) {
    throw new SynclineError("key_locked", `The passphrase file ${path} does not exist.`, {
      hint: "Check --passphrase-file or SYNCLINE_PASSPHRASE_FILE.",
    });
  }
  return withoutNewline(text);
}

/** 192 bits: no one has to type it. */
const GENERATED_BYTES = 24;

function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, "");
}
