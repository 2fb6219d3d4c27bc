/** `syncline key new | show | import`: this user's wallet key. */
import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import { SynclineError } from "../../base/errors.ts";
import { decryptKey } from "../../crypto/keystore.ts";
import { createWalletKey, walletOfKey } from "../../crypto/wallet.ts";
import { addCommand, type Call, type Program } from "../command.ts";
import { readIfThere } from "../key-file.ts";
import { askHidden, canAsk } from "../terminal/prompt.ts";
import { printText } from "../terminal/text.ts";
import { keyPathOf, loadWallet, namingKeystore, parsePrivateKey, storeKey } from "../wallet.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "key new",
    summary: "create a wallet key and print its file and address",
    examples: ["syncline key new"],
    exits: [4],
    async run(call) {
      const path = keyPathOf(call);
      report(call, { path, address: await storeKey(call, path, createWalletKey(call.runtime.random)) });
    },
  });
  addCommand(program, {
    name: "key show",
    summary: "print the wallet that commands act for, and where its key comes from",
    examples: ["syncline key show", "SYNCLINE_KEY=… syncline key show --json"],
    exits: [5],
    async run(call) {
      await requireKey(call);
      const { wallet } = await loadWallet(call);
      report(call, {
        path: call.runtime.environmentKey === undefined ? keyPathOf(call) : "SYNCLINE_KEY",
        address: wallet,
      });
    },
  });
  addCommand(program, {
    name: "key import",
    arguments: [["<file>", "64 hex digits or a keystore; - for stdin"]],
    summary: "import a wallet key created elsewhere",
    examples: ["syncline key import wallet.json", "pass show wallet | syncline key import -"],
    exits: [4, 5],
    async run(call) {
      const path = keyPathOf(call);
      report(call, { path, address: await storeKey(call, path, await readForeignKey(call)) });
    },
  });
}

/** Only checks for a key: commands that need one make the first. Throws `key_invalid`. */
async function requireKey(call: Call): Promise<void> {
  const path = keyPathOf(call);
  if (call.runtime.environmentKey !== undefined || (await readIfThere(path)) !== undefined) return;
  throw new SynclineError("key_invalid", `There is no wallet key yet: ${printText(path)} does not exist.`, {
    hint: "Create one with `syncline key new`. The first command that needs a key also creates one.",
  });
}

function report({ output }: Call, facts: { path: string; address: string }): void {
  output.result(facts, `${facts.address}  ${facts.path}`);
}

async function readForeignKey(call: Call): Promise<Uint8Array> {
  const [source = "-"] = call.args;
  const text = source === "-" ? await readAll(call.runtime.stdin) : await readFile(source, "utf8");
  if (!text.trimStart().startsWith("{")) return parsePrivateKey(text, source === "-" ? "The input" : source);
  if (!canAsk(call.runtime) || source === "-") {
    throw new SynclineError("key_locked", "Cannot ask for the passphrase of the keystore.", {
      hint: "Import it from a file on a terminal, or copy it to the path given by --key.",
    });
  }
  const passphrase = await askHidden(call.runtime, `Passphrase of ${source}: `);
  const key = await namingKeystore(source, () => decryptKey(text, passphrase));
  walletOfKey(key);
  return key;
}
